"""Steps on files that fail, and are tried again where waiting may help."""

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from barmand.model.errors import Stopped, StorageFailed
from barmand.storage.pace import Stop

log = structlog.get_logger()

T = TypeVar("T")

_MAY_HEAL = frozenset(
    {
        *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EREMOTEIO, errno.ENOTCONN),
        *(errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH),
        *(errno.ECONNRESET, errno.ECONNREFUSED, errno.ENOLINK),
        *(errno.ENOSPC, errno.EDQUOT),
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS),
        *(errno.EAGAIN, errno.EBUSY, errno.EINTR),
    }
)


def may_heal(error: StorageFailed) -> bool:
    """Can the same step succeed a little later, with nobody's hand on the cluster?

    Yes: a device or a mounted file system that answers with an error, a full disk or quota, and
    what the machine has run out of. No: what somebody must set right first, as missing rights, a
    read-only file system or a file that is not there; with rsync these are not tried again either.
    """
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in _MAY_HEAL


@dataclass(frozen=True, slots=True)
class Attempts:
    """Each step has `retries` further attempts, `pause_seconds` apart; a stop ends the pause."""

    stop: Stop
    retries: int = 0
    pause_seconds: float = 0.0
    report_pause: Callable[[], None] = lambda: None

    def run(self, step: Callable[[], T]) -> T:
        """`step` finds what it left when it failed. Raises its last failure, Stopped."""
        for attempts_left in range(self.retries, -1, -1):
            try:
                return step()
            except StorageFailed as error:
                if not attempts_left or not may_heal(error):
                    raise
                log.warning("copy failed, another attempt follows", error=error.message)
                self.report_pause()
                if self.stop.wait(self.pause_seconds):
                    raise Stopped(self.stop.reason) from error
        raise AssertionError("the last attempt returns or raises")
