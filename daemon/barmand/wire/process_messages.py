"""Requests and results about what is being worked on: Barman's list-processes."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from barmand.wire.messages import ProgressView, Reply, Request, ServerName

TaskWord = Annotated[str, Meta(min_length=1, max_length=300)]


class ProcessView(Struct, frozen=True, kw_only=True):
    """`task` is Barman's word for it; `id` is the task, and the backup that it is about if any.

    `progress` of backups and restores; `phase` of everything.
    """

    id: str
    task: str
    backup_id: str | None
    since: datetime | None
    phase: str
    progress: ProgressView | None


class ProcessesReply(Reply, frozen=True, kw_only=True):
    server: str
    processes: list[ProcessView]


class ListProcesses(Request, frozen=True, kw_only=True):
    method = "list-processes"
    is_look = True
    result = ProcessesReply
    server: ServerName


class TerminatedReply(Reply, frozen=True, kw_only=True):
    """`ended`: false while it is still coming to its end. `hint`: what begins again by itself."""

    server: str
    process: ProcessView
    ended: bool
    hint: str | None


class TerminateProcess(Request, frozen=True, kw_only=True):
    """`task`: a task's name if the server has one of it, or its id."""

    method = "terminate-process"
    result = TerminatedReply
    server: ServerName
    task: TaskWord


ProcessRequest = ListProcesses | TerminateProcess
