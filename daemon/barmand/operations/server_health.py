"""What a server's own answer says of a backup's chances."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from barmand.model.finding import Finding, Measure, demanded, failed, passed, warned
from barmand.operations.ports import Readiness

OLDEST_VERSION = 130_000
_DO_NOTHING = frozenset({"true", "/bin/true", "/usr/bin/true", ":", "exit 0"})
"""archive_commands by which PostgreSQL believes that its WAL is safe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An answer, and when the question was put and answered by our own clock."""

    readiness: Readiness
    before: datetime
    after: datetime

    @property
    def skew(self) -> timedelta:
        """How far the server's clock is from ours, at least: ahead is positive."""
        if self.readiness.clock < self.before:
            return self.readiness.clock - self.before
        return max(timedelta(0), self.readiness.clock - self.after)


@dataclass(frozen=True, slots=True, kw_only=True)
class WalWays:
    """How this server's WAL comes to us, and whether a backup waits for archive_command."""

    is_streamed: bool
    is_pushed: bool
    awaits_archiver: bool


def server_findings(asked: Asked, ways: WalWays, most_skew: timedelta) -> Iterator[Finding]:
    readiness = asked.readiness
    yield demanded(
        "PostgreSQL version",
        f"{readiness.version}, of at least {OLDEST_VERSION}",
        is_ok=readiness.version >= OLDEST_VERSION,
    )
    if readiness.is_standby:
        yield passed("PostgreSQL server is standby", "it is in recovery: a backup of it is fine")
    yield demanded("wal_level", readiness.wal_level, is_ok=readiness.wal_level != "minimal")
    yield _checksums(readiness)
    yield _clock(asked.skew, most_skew)
    yield from _archiving(readiness, ways)


def _checksums(readiness: Readiness) -> Finding:
    state = readiness.data_checksums or "unknown"
    notes = {"off": "off: bad pages cannot be told from good ones, neither here nor in a backup"}
    return passed("data checksums", notes.get(state, state))


def _clock(skew: timedelta, most: timedelta) -> Finding:
    seconds = skew.total_seconds()
    measure = Measure("clock_skew", round(abs(seconds), 3), "s", most.total_seconds())
    if abs(skew) <= most:
        words = "as ours" if not seconds else f"{abs(seconds):.1f} s apart from ours"
        return passed("clock", words, measure=measure)
    side = "ahead of" if seconds > 0 else "behind"
    return warned(
        "clock",
        f"the server's is {abs(seconds):.0f} s {side} ours, of at most {most.total_seconds():.0f}: "
        "see to NTP on both machines; a recovery to a moment goes by the server's clock",
        measure=measure,
    )


def _archiving(readiness: Readiness, ways: WalWays) -> Iterator[Finding]:
    is_on, is_only_way = readiness.archive_mode != "off", not ways.is_streamed
    if ways.is_pushed and is_only_way:
        # A standby archives only with `always`; but what it was told to do is seen once promoted.
        hint = f"it is {readiness.archive_mode}"
        if not is_on:
            hint += "; set it to on (a restart) and archive_command to `barmanctl wal-push …`"
        yield demanded("archive_mode", hint, is_ok=is_on)
    if is_on and readiness.archive_command is not None:
        yield _command(readiness, keeps_from_backup=ways.is_pushed and is_only_way)
    if is_on and readiness.archiving_fails:
        yield _failing(readiness, ways)
    elif is_on:
        yield passed("continuous archiving", "its last attempt succeeded, or none was made yet")


def _command(readiness: Readiness, *, keeps_from_backup: bool) -> Finding:
    name, command = "archive_command", (readiness.archive_command or "").strip()
    if readiness.archive_library:
        return passed(name, f"archive_library {readiness.archive_library} archives")
    if command in ("", "(disabled)"):
        why = "it is empty while archive_mode is on: WAL stays on the server until its disk is full"
    elif command in _DO_NOTHING:
        why = f"it is {command!r}: PostgreSQL takes its WAL for archived, and nobody has it"
    else:
        return passed(name, command)
    if keeps_from_backup:
        return failed(name, why, keeps_from_backup=True)
    return warned(name, why)


def _failing(readiness: Readiness, ways: WalWays) -> Finding:
    """pg_basebackup waits for it on a primary; a copy by files with streamed WAL does not."""
    words = "archive_command fails"
    if readiness.last_failed_wal:
        words += f" at {readiness.last_failed_wal}"
    words += "; see PostgreSQL's log"
    if not ways.awaits_archiver:
        return warned("continuous archiving", words)
    hint = f"{words}: the end of a backup would wait for it"
    return failed("continuous archiving", hint, keeps_from_backup=True)


def room_findings(
    readiness: Readiness, *, senders: int, wants_slot: bool, where: str = ""
) -> Iterator[Finding]:
    """Is there room for what is not connected yet: `senders` of ours, and a slot?"""
    at = f"{where}: " if where else ""
    free = readiness.most_senders - readiness.senders
    words = f"{at}{free} of {readiness.most_senders} free"
    if senders and free < senders:
        yield warned("max_wal_senders", f"{words}, {senders} needed: raise it (a restart)")
    elif senders:
        yield passed("max_wal_senders", words)
    free = readiness.most_slots - readiness.slots
    words = f"{at}{free} of {readiness.most_slots} free"
    if wants_slot and free < 1:
        yield failed("max_replication_slots", f"{words}, none for ours: raise it (a restart)")
    elif wants_slot:
        yield passed("max_replication_slots", words)
