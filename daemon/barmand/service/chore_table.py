"""The daemon's own chores: what is done for each server again and again.

To add one, add a line to `SERVER_CHORES`; `service/chores.py` keeps its time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from barmand.service.house import Kit
from barmand.service.stopping import StopFlag


@dataclass(frozen=True, slots=True, kw_only=True)
class Chore:
    """`deed` returns whether more is left, which is then done at once.

    `every` is None where wal_poll_interval says it. What `is_seldom` has its last run remembered,
    and is tried again within the hour after a failure.
    """

    name: str
    deed: Callable[[Kit, StopFlag], bool]
    every: timedelta | None = None
    is_seldom: bool = False


def _archive(kit: Kit, stop: StopFlag) -> bool:
    return bool(kit.archive.run(stop.is_set).left)


def _prune(kit: Kit, stop: StopFlag) -> bool:
    return kit.prune.run(stop=stop)


def _retention(kit: Kit, stop: StopFlag) -> bool:
    kit.rebuild.forget_gone.run()
    kit.expire.run(stop=stop, is_current=kit.is_current)
    return False


def _compare(kit: Kit, stop: StopFlag) -> bool:
    kit.rebuild.forget_gone.run()
    kit.accounts.compare(stop.is_set)
    return False


def _pay_hooks(kit: Kit, stop: StopFlag) -> bool:
    kit.hooks.pay_done(stop=stop)
    return False


SERVER_CHORES = (
    # WAL that no event told of, and the backups that wait for it.
    Chore(name="archive", deed=_archive),
    # A safety net: a backup that becomes DONE and a deletion ask for it at once.
    Chore(name="prune", deed=_prune, every=timedelta(hours=1)),
    # A safety net too: the hooks of a backup that became DONE are asked for at once.
    Chore(name="done-hooks", deed=_pay_hooks, every=timedelta(hours=1)),
    # Backups that no policy keeps any more, failed ones, keeps that have ended. Likewise.
    Chore(name="retention", deed=_retention, every=timedelta(hours=1)),
    # Every archived file looked for, whatever the catalogue believes.
    Chore(name="compare", deed=_compare, every=timedelta(days=1), is_seldom=True),
)
