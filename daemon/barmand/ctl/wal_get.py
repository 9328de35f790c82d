"""get-wal: a WAL file, whole or not at all, for restore_command."""

from __future__ import annotations

import os

from barmand.ctl.connection import Connection
from barmand.ctl.wal_files import ask_for, hand_out, received

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.spool import Spool

FOUND, NOT_FOUND = 0, 1


class Wanted:
    """One file: of which server, under which name, and where it shall go."""

    def __init__(
        self,
        server: str,
        name: str,
        target: str | None = None,
        *,
        folder: str | None = None,
        partial: bool = False,
        prefetch: int = 0,
        spool: str | None = None,
    ) -> None:
        self.server = server
        self.name = name
        self.target = os.path.join(folder, name) if folder else target  # noqa: PTH118 - pathlib is too slow to load
        """None: stdout."""
        self.partial = partial
        self.prefetch = prefetch
        self.spool = spool


def get(socket_path: str, wanted: Wanted) -> int:
    """FOUND, or NOT_FOUND: barmand has no such file. Raises Failure for all else."""
    spool = _spool(wanted) if wanted.prefetch or wanted.spool else None
    with Connection(socket_path) as connection:
        code = _deliver(connection, wanted, spool)
    if code == FOUND and wanted.prefetch and spool is not None:
        from barmand.ctl.prefetch import prefetch  # noqa: PLC0415 - only who asks for it pays for it

        prefetch(socket_path, wanted.server, wanted.name, wanted.prefetch, spool)
    return code


def _spool(wanted: Wanted) -> Spool:
    from barmand.ctl.spool import Spool  # noqa: PLC0415 - only who asks for it pays for it

    return Spool.of(wanted.server, wanted.spool)


def _deliver(connection: Connection, wanted: Wanted, spool: Spool | None) -> int:
    held = spool.find(wanted.name) if spool else None
    stamp = held.stamp if held else None
    result = ask_for(connection, wanted.server, wanted.name, partial=wanted.partial, stamp=stamp)
    if not result["found"]:
        return NOT_FOUND
    if held is not None and result["is_same"]:
        hand_out(held.file, held.size, wanted.target)
    else:
        hand_out(received(connection, result), result["size_bytes"], wanted.target)
    if spool is not None:
        spool.drop(wanted.name)
    return FOUND
