"""A copy that may be begun again: as often as the order says, with its pause."""

from collections.abc import Callable

import structlog

from barmand.model.backup import Copied
from barmand.model.errors import Failure, Stopped
from barmand.model.order import Order
from barmand.model.progress import Phase
from barmand.operations.ports import Report, Stop

log = structlog.get_logger()


def with_retries(
    attempt: Callable[[], Copied],
    order: Order,
    may_heal: type[Failure],
    *,
    stop: Stop,
    report: Report,
) -> Copied:
    """The first attempt that succeeds; the failure of the last, or one that cannot heal, is raised.

    A stop ends the pause: Stopped.
    """
    for attempts_left in range(order.retry_times, -1, -1):
        try:
            return attempt()
        except may_heal as error:
            if not attempts_left:
                raise
            log.warning("copy failed, another attempt follows", error=error.message)
            report(Phase.RETRYING, None, None)
            if stop.wait(order.retry_sleep):
                raise Stopped(stop.reason) from error
    raise AssertionError("the last attempt returns or raises")
