"""Barman's list-processes and terminate-process: their words, and what is seen of them."""

from __future__ import annotations

import argparse

from barmand.ctl import subjects, values
from barmand.ctl.command import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.command import Params


def _add_task(parser: argparse.ArgumentParser) -> None:
    subjects.add_server(parser)
    parser.add_argument(
        "task", metavar="TASK", type=values.word, help="a task or an id of `list-processes`"
    )


def _task_params(options: argparse.Namespace) -> Params:
    return {"server": options.server, "task": options.task}


PROCESS_COMMANDS = {
    "list-processes": Command(
        "what is being worked on", subjects.add_server, subjects.server_params
    ),
    "terminate-process": Command("end a piece of work", _add_task, _task_params),
}
