"""How an rsync gets to the host: by one connection for all, or by its own if that is in use."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from barmand.outside.process import Stop
from barmand.outside.rsync import Rsync
from barmand.outside.ssh_ciphers import quick_ciphers
from barmand.outside.ssh_shared import shared_connection


@dataclass(frozen=True, slots=True)
class Ways:
    """`shared` is for one command at a time: two would share the work of one process of ssh's."""

    shared: Rsync
    apart: Rsync
    _free: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def one(self) -> Iterator[Rsync]:
        if not self._free.acquire(blocking=False):
            yield self.apart
            return
        try:
            yield self.shared
        finally:
            self._free.release()


@contextmanager
def ways_of(rsync: Rsync, stop: Stop) -> Iterator[Ways]:
    """For one copy. Raises ConfigInvalid, Stopped, ToolFailed where there is no ssh."""
    if rsync.ssh is None:
        yield Ways(rsync, rsync)
        return
    ciphers = quick_ciphers(rsync.ssh, stop)
    options = () if ciphers is None else (f"Ciphers={ciphers}",)
    with shared_connection(
        rsync.ssh, rsync.connect_seconds, rsync.silence_seconds, options, stop
    ) as sharing:
        yield Ways(
            replace(rsync, ssh_options=(*options, *sharing)), replace(rsync, ssh_options=options)
        )
