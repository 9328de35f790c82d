"""Where a failure of work ends: it is told, and the daemon lives."""

from collections.abc import Callable

import structlog

from barmand.model.errors import Failure

log = structlog.get_logger()


def do_chore(name: str, chore: Callable[[], None]) -> None:
    server = name.partition(" ")[2]
    with structlog.contextvars.bound_contextvars(server=server, job=name):
        bounded(chore, tell_chore)


def bounded(work: Callable[[], None], tell: Callable[[Failure], None]) -> None:
    """One of the two boundaries: what happens in `work` is told and ends here; the daemon lives."""
    try:
        work()
    except Failure as failure:
        tell(failure)
    except Exception:
        log.exception("work ended in a fault of barmand")


def tell_job(failure: Failure) -> None:
    """A job has told its failure itself, and stored it."""
    log.debug("job ended in failure", code=failure.kind, error=failure.message)


def tell_chore(failure: Failure) -> None:
    log.error("chore failed", code=failure.kind, error=failure.message, hint=failure.hint)
