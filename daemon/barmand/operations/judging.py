"""One server's backups, judged by all that is known of them now; and what hinders every deletion.

Only looks. `operations.expire` carries out what was found here, and asks again before each step.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from barmand.catalog.backups import Backups
from barmand.catalog.clock_watches import ClockWatches
from barmand.catalog.holds import Holds
from barmand.catalog.proofs import Proofs
from barmand.catalog.servers import Servers
from barmand.catalog.wal_runs import WalRuns
from barmand.model.backup import RESTORABLE, Backup, Status
from barmand.model.clock_watch import JUMP, Reading, why_doubted
from barmand.model.errors import PostgresFailed
from barmand.model.judge import judge
from barmand.model.keeping import Kept
from barmand.model.verdict import Known, Rules, Verdict
from barmand.model.wal import Held
from barmand.operations.absent import absent
from barmand.operations.ports import Clock
from barmand.storage import keep_marks
from barmand.storage.ground import complaint
from barmand.storage.layout import Layout

TRUST = "`barmanctl trust-clock` says that the clock is right."


@dataclass(frozen=True, slots=True)
class Judging:
    """`reading` is of both clocks of the machine, `ask_postgres` of PostgreSQL's."""

    server: str
    layout: Layout
    backups: Backups
    wal_runs: WalRuns
    holds: Holds
    servers: Servers
    proofs: Proofs
    clock_watches: ClockWatches
    rules: Rules
    now: Clock
    reading: Callable[[], Reading]
    ask_postgres: Callable[[], datetime]

    def verdicts(self) -> tuple[Verdict, ...]:
        """One for each backup, oldest first. Raises StorageFailed where a mark cannot be read."""
        backups = self.backups.of_server(self.server)
        return self.of(backups, self.keeps(backups))

    def of(self, backups: Sequence[Backup], keeps: Mapping[str, Kept]) -> tuple[Verdict, ...]:
        """As `verdicts`, for who has asked for all of the server's backups, and for their marks."""
        return judge(backups, self.rules, self._known(backups, keeps), self.now())

    def keeps(self, backups: Sequence[Backup]) -> dict[str, Kept]:
        """By id. Raises StorageFailed."""
        return keep_marks.kept_ones(self.layout, (each.id for each in backups))

    def hindrance(self, *, remembers: bool) -> str | None:
        """Why nothing at all is deleted, by the clock and the disk; None where all is well.

        A daemon's own pass `remembers` what it thinks of the clock; a question does not.
        """
        is_known = self.servers.system_id(self.server) is not None
        return complaint(self.layout, is_known=is_known) or self.doubt(remembers=remembers)

    def doubt(self, *, remembers: bool) -> str | None:
        """As `hindrance`, by the clock alone."""
        watches = self.clock_watches
        watched = (watches.look if remembers else watches.think)(self.reading())
        doubt = why_doubted(watched)
        return f"{doubt}. {TRUST}" if doubt is not None else self._from_the_future()

    def ahead_of_postgres(self) -> str | None:
        """As `hindrance`, by PostgreSQL's clock; one that does not answer says nothing."""
        before = self.now()
        try:
            theirs = self.ask_postgres()
        except PostgresFailed:
            return None
        if before - theirs <= JUMP:
            return None
        return (
            f"this machine's clock shows {before:%Y-%m-%d %H:%M %z}, "
            f"PostgreSQL's {theirs.astimezone(before.tzinfo):%Y-%m-%d %H:%M %z}: "
            "one of them must be set right"
        )

    def _from_the_future(self) -> str | None:
        """A backup that has not ended yet, by this clock: it was wrong then, or is so now."""
        latest = self.now() + JUMP
        for backup in self.backups.of_server(self.server):
            if backup.status in RESTORABLE and backup.copied and backup.copied.end_time > latest:
                end = backup.copied.end_time.astimezone()
                return (
                    f"backup {backup.id} ended at {end:%Y-%m-%d %H:%M %z}, which is in the future: "
                    "set the clock right, or delete that backup by name"
                )
        return None

    def _known(self, backups: Sequence[Backup], keeps: Mapping[str, Kept]) -> Known:
        held = Held(self.wal_runs.of_server(self.server))
        lacking = {
            backup.id
            for backup in backups
            if backup.status is Status.DONE
            and (needed := backup.needed()) is not None
            and held.missing(needed)
        }
        return Known(
            keeps=keeps,
            held=self.holds.of_server(self.server),
            lacking=lacking,
            damaged=self.proofs.damaged(self.server),
            absent=absent(self.layout, backups),
        )
