"""Requests and results about archived WAL: passes, gaps, files, the catalogue again."""

from typing import Annotated, Literal

from msgspec import Meta

from barmand.wire.messages import BackupWord, GapView, Reply, Request, ServerName

GapNumber = Annotated[int, Meta(ge=1, le=(1 << 63) - 1)]
Reason = Annotated[str, Meta(min_length=1, max_length=1000)]

WalName = Annotated[str, Meta(min_length=1, max_length=255)]


class ArchivedReply(Reply, frozen=True, kw_only=True):
    """One pass over what had arrived: segments taken into the archive."""

    server: str
    archived: int


class ArchiveWal(Request, frozen=True, kw_only=True):
    method = "archive-wal"
    result = ArchivedReply
    server: ServerName


class GapsReply(Reply, frozen=True, kw_only=True):
    server: str
    gaps: list[GapView]


class WalGaps(Request, frozen=True, kw_only=True):
    """`all` lists also those that are healed, or nobody's concern any more."""

    method = "wal-gaps"
    is_look = True
    result = GapsReply
    server: ServerName
    all: bool = False


class GapReply(Reply, frozen=True, kw_only=True):
    gap: GapView


class AcknowledgeGap(Request, frozen=True, kw_only=True):
    method = "acknowledge-gap"
    result = GapReply
    server: ServerName
    gap: GapNumber
    reason: Reason


class RebuiltReply(Reply, frozen=True, kw_only=True):
    """What lay on disk and the catalogue did not know; what it knew and is gone."""

    server: str
    adopted_backups: int
    forgotten_backups: int
    adopted_wals: int
    lost_wals: int


class RebuildServer(Request, frozen=True, kw_only=True):
    method = "rebuild"
    result = RebuiltReply
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


WalRequest = ArchiveWal | WalGaps | AcknowledgeGap | RebuildServer | ListFiles
