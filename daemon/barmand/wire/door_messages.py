"""Requests and results of the doors: WAL files that are pushed in and fetched out."""

from typing import Annotated

from msgspec import Meta

from barmand.wire.messages import Reply, Request, ServerName

WalName = Annotated[str, Meta(min_length=1, max_length=255)]


class PushedReply(Reply, frozen=True, kw_only=True):
    """The file is durable with us; not `is_new`: it was so before, with the same content."""

    server: str
    name: str
    is_new: bool


class WalPush(Request, frozen=True, kw_only=True):
    """Take a WAL file, which comes as an open file (SCM_RIGHTS), under this name."""

    method = "wal-push"
    takes_file = True
    result = PushedReply
    server: ServerName
    name: WalName


class PushReadyReply(Reply, frozen=True, kw_only=True):
    server: str


class AskPushReady(Request, frozen=True, kw_only=True):
    """Would a WAL file of this server be taken now? Nothing is."""

    method = "push-ready"
    result = PushReadyReply
    server: ServerName


class FetchedReply(Reply, frozen=True, kw_only=True):
    """`found`: the file goes along as an open one of `size_bytes`, unless it `is_same`.

    `stamp` changes with the file; a `source` is archive, incoming, streaming or partial.
    """

    server: str
    name: str
    found: bool
    is_same: bool = False
    size_bytes: int | None = None
    stamp: str | None = None
    source: str | None = None


class GetWal(Request, frozen=True, kw_only=True):
    """Hand out a WAL file, unpacked and whole; `held`: the stamp of the copy that one has."""

    method = "get-wal"
    result = FetchedReply
    server: ServerName
    name: WalName
    partial: bool = False
    held: Annotated[str, Meta(max_length=255)] | None = None


class WalNamesReply(Reply, frozen=True, kw_only=True):
    server: str
    names: list[str]


class PeekWal(Request, frozen=True, kw_only=True):
    """The names of at most `count` segments that we have, from `name` on, without a gap."""

    method = "peek-wal"
    result = WalNamesReply
    server: ServerName
    name: WalName
    count: Annotated[int, Meta(ge=1, le=10_000)]


DoorRequest = WalPush | AskPushReady | GetWal | PeekWal
