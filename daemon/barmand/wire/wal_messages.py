"""Requests and results about WAL: its archive, its stream, its gaps."""

from barmand.wire.messages import Reply, Request, ServerName


class ArchivedReply(Reply, frozen=True, kw_only=True):
    """One pass over what had arrived: segments taken into the archive."""

    server: str
    archived: int


class ArchiveWal(Request, frozen=True, kw_only=True):
    method = "archive-wal"
    result = ArchivedReply
    server: ServerName


WalRequest = ArchiveWal
