"""What hooks were run and what came of it, the latest of each; which are still owed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from barmand.catalog import rows
from barmand.catalog.database import Database
from barmand.model.backup import Backup
from barmand.model.hook import GOOD, Outcome

KEPT_RUNS = 100
"""Of each hook of each server: archive hooks run for every segment."""

_runs = rows.hook_runs
_debts = rows.hook_debts


@dataclass(frozen=True, slots=True, kw_only=True)
class HookRun:
    """`subject` is what it stood around: a backup's id, a file's name. `output` is its end."""

    server: str
    hook: str
    subject: str
    backup_id: str | None
    attempt: int
    is_test: bool
    started_at: datetime
    seconds: float | None = None
    exit_code: int | None = None
    outcome: Outcome = Outcome.RUNNING
    words: str = ""
    output: str = ""


@dataclass(frozen=True, slots=True)
class HookRuns:
    database: Database

    def begin(self, run: HookRun) -> int:
        """Its number. The oldest of its hook go."""
        values = {name: getattr(run, name) for name in HookRun.__slots__}
        with self.database.writing() as connection:
            number = connection.execute(insert(_runs).values(values).returning(_runs.c.id))
            key = int(number.scalar_one())
            same = (_runs.c.server == run.server, _runs.c.hook == run.hook)
            last = select(_runs.c.id).where(*same).order_by(_runs.c.id.desc()).offset(KEPT_RUNS)
            oldest = last.limit(1).scalar_subquery()
            connection.execute(delete(_runs).where(*same, _runs.c.id <= oldest))
        return key

    def end(
        self,
        key: int,
        outcome: Outcome,
        *,
        seconds: float,
        exit_code: int | None = None,
        words: str = "",
        output: str = "",
    ) -> None:
        with self.database.writing() as connection:
            connection.execute(
                update(_runs)
                .where(_runs.c.id == key)
                .values(
                    outcome=outcome,
                    seconds=seconds,
                    exit_code=exit_code,
                    words=words,
                    output=output,
                )
            )

    def interrupt_all(self) -> None:
        """At start: no run of an earlier life goes on."""
        with self.database.writing() as connection:
            connection.execute(
                update(_runs)
                .where(_runs.c.outcome == Outcome.RUNNING)
                .values(outcome=Outcome.INTERRUPTED, words="barmand ended while it ran")
            )

    def latest(self, server: str, hook: str | None, most: int) -> list[HookRun]:
        """Newest first; of all hooks, or of one."""
        wanted = [] if hook is None else [_runs.c.hook == hook]
        return self._select(most, _runs.c.server == server, *wanted)

    def last_of(self, server: str, hook: str) -> HookRun | None:
        """The last one in earnest that has ended."""
        found = self._select(
            1,
            _runs.c.server == server,
            _runs.c.hook == hook,
            _runs.c.is_test.is_(False),
            _runs.c.outcome != Outcome.RUNNING,
        )
        return found[0] if found else None

    def last_of_each(self, server: str) -> list[HookRun]:
        """The last run of each hook in earnest that has ended, the latest first."""
        ended = (_runs.c.server == server, _runs.c.is_test.is_(False))
        last = select(func.max(_runs.c.id)).where(*ended, _runs.c.outcome != Outcome.RUNNING)
        return self._select(KEPT_RUNS, _runs.c.id.in_(last.group_by(_runs.c.hook)))

    def bad_of(self, server: str, backup_id: str) -> list[HookRun]:
        """What did not go well of the hooks of one backup, newest first."""
        return self._select(
            KEPT_RUNS,
            _runs.c.server == server,
            _runs.c.backup_id == backup_id,
            _runs.c.outcome.not_in(GOOD),
            _runs.c.is_test.is_(False),
        )

    def under_way(self, server: str) -> list[HookRun]:
        return self._select(KEPT_RUNS, _runs.c.server == server, _runs.c.outcome == Outcome.RUNNING)

    def owed(self, server: str) -> Sequence[str]:
        """The ids of the backups that became DONE and whose hook has not been run, oldest first."""
        with self.database.reading() as connection:
            found = select(_debts.c.backup_id).where(_debts.c.server == server)
            return connection.scalars(found.order_by(_debts.c.backup_id)).all()

    def pay(self, server: str, backup_id: str) -> None:
        with self.database.writing() as connection:
            connection.execute(
                delete(_debts).where(_debts.c.server == server, _debts.c.backup_id == backup_id)
            )

    def _select(self, most: int, *conditions: object) -> list[HookRun]:
        statement = select(_runs).order_by(_runs.c.id.desc()).limit(most)
        with self.database.reading() as connection:
            found = connection.execute(statement.where(*conditions))  # type: ignore[arg-type] # conditions are of this module
            return [_run(row) for row in found]


def owe_hook(connection: Connection, backup: Backup, now: datetime) -> None:
    """Within the transaction that makes it DONE."""
    owed = upsert(_debts).values(server=backup.server, backup_id=backup.id, since=now)
    connection.execute(owed.on_conflict_do_nothing())


def _run(row: Row[tuple[object, ...]]) -> HookRun:
    values = {name: getattr(row, name) for name in HookRun.__slots__}
    return HookRun(**values | {"outcome": Outcome(values["outcome"])})
