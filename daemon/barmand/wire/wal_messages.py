"""Requests and results about WAL: its archive, its stream, its gaps."""

from typing import Literal

from barmand.wire.messages import BackupWord, Reply, Request, ServerName


class ArchivedReply(Reply, frozen=True, kw_only=True):
    """One pass over what had arrived: segments taken into the archive."""

    server: str
    archived: int


class ArchiveWal(Request, frozen=True, kw_only=True):
    method = "archive-wal"
    result = ArchivedReply
    server: ServerName


class FilesReply(Reply, frozen=True, kw_only=True):
    """Comes behind the `files` notes; `count` is how many paths those told."""

    server: str
    backup_id: str
    target: str
    count: int


class ListFiles(Request, frozen=True, kw_only=True):
    method = "list-files"
    is_look = True
    result = FilesReply
    server: ServerName
    backup: BackupWord
    target: Literal["standalone", "data", "wal", "full"] = "standalone"


WalRequest = ArchiveWal | ListFiles
