"""Stand-ins with our ports' shapes, and a bench: one server's operations over real folders."""

import itertools
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock

import google_crc32c

from barmand.catalog.backup_counts import BackupCounts
from barmand.catalog.memory import Catalog
from barmand.model import backup as backups
from barmand.model.backup import ACTIVE, Backup, Cluster, Damage, Reason, Tablespace
from barmand.model.clock_watch import Reading
from barmand.model.compression import Compression
from barmand.model.door import MAGICS
from barmand.model.errors import Failure, PostgresFailed, Stopped, ToolFailed
from barmand.model.event import Event
from barmand.model.hook import HOOKS, Ended, HookEvent, Patience
from barmand.model.order import Order
from barmand.model.packing import Packing
from barmand.model.progress import Phase
from barmand.model.retention import Policy
from barmand.model.verdict import Rules
from barmand.model.wal import Segment, format_lsn
from barmand.operations import ports
from barmand.operations.absent import ForgetGone
from barmand.operations.accounts import Accounts
from barmand.operations.apart_health import ApartHealth
from barmand.operations.archive import ALL_AT_ONCE, Archive, Batches
from barmand.operations.backup import TakeBackup
from barmand.operations.backup_health import BackupHealth, BackupLimits
from barmand.operations.branches import Branches
from barmand.operations.check import Check, Limits
from barmand.operations.closing import Closing
from barmand.operations.copying import ByPgBasebackup
from barmand.operations.delete import Delete
from barmand.operations.door import Door
from barmand.operations.expire import Expire
from barmand.operations.fetch import Fetch
from barmand.operations.flow import Flow, Pulse
from barmand.operations.forecast import Forecast
from barmand.operations.hands import Hands
from barmand.operations.hook_health import HookHealth
from barmand.operations.hook_runner import HookRunner
from barmand.operations.hooked_intake import HookedTakeIn
from barmand.operations.hooks import Hooks
from barmand.operations.inquiry import Lines
from barmand.operations.judging import Judging
from barmand.operations.keep import KeepBackup
from barmand.operations.noticed import Noticed
from barmand.operations.prune import Prune
from barmand.operations.push import Push
from barmand.operations.quarantine import Quarantine
from barmand.operations.rebuild import Rebuild
from barmand.operations.record import Record
from barmand.operations.restart import Restart
from barmand.operations.restore import Restore
from barmand.operations.restore_wal import RestoreWal
from barmand.operations.retention_health import RetentionHealth
from barmand.operations.schedule_health import ScheduleHealth
from barmand.operations.space_health import SpaceHealth
from barmand.operations.taking_in import WORKERS, TakeIn
from barmand.operations.wal_health import WalHealth
from barmand.outside.postgres import Identity, Slot
from barmand.outside.readiness import Readiness
from barmand.storage.in_hand import InHand
from barmand.storage.intake import Intake
from barmand.storage.layout import Layout
from barmand.storage.wals import WalArchive

MB = 1024 * 1024
SYSTEM = "7300000000000000001"
NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)

# ----------------------------------------------------------------------------------- clock and stop


class FakeClock:
    """A second later at each look, so that no two moments are the same."""

    def __init__(self, moment: datetime = NOON) -> None:
        self.moment = moment
        self.jumped = timedelta()

    def __call__(self) -> datetime:
        self.moment += timedelta(seconds=1)
        return self.moment

    def seconds(self) -> float:
        return (self.moment - NOON).total_seconds() - self.jumped.total_seconds()

    def jump(self, by: timedelta) -> None:
        """It is set: that much shows at once, and no time passes."""
        self.moment += by
        self.jumped += by

    def reading(self) -> Reading:
        return Reading(self(), "this start", self.seconds())

    def ticking(self) -> float:
        """As `seconds`, and each look is a second later."""
        self()
        return self.seconds()


class Stop:
    """Set by hand, or by itself after so many questions. A pause is noted, never waited."""

    def __init__(self, *, after: int | None = None) -> None:
        self.left = after
        self.reason = "the test stopped it"
        self.pauses: list[float | None] = []

    def set(self) -> None:
        self.left = 0

    def is_set(self) -> bool:
        if self.left is None:
            return False
        self.left = max(-1, self.left - 1)
        return self.left < 0

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout)
        return self.is_set()


class Told:
    """A report that remembers."""

    def __init__(self, also: Callable[[Phase], None] = lambda _phase: None) -> None:
        self.lines: list[tuple[Phase, int | None, int | None]] = []
        self.also = also

    def __call__(self, phase: Phase, done: int | None, total: int | None) -> None:
        self.lines.append((phase, done, total))
        self.also(phase)

    @property
    def phases(self) -> list[Phase]:
        """Each phase once, in the order in which they came."""
        return [phase for phase, _ in itertools.groupby(line[0] for line in self.lines)]


# ---------------------------------------------------------------------------------------------- WAL


def wal_segment(
    number: int,
    *,
    timeline: int = 1,
    size: int = MB,
    system_id: str = SYSTEM,
    fill: bytes = b"\0",
    major: int = 15,
) -> bytes:
    """A whole segment with a true first page."""
    magic, is_long, block = MAGICS[major], 0x0002, 8192
    short = struct.pack("=HHIQI4x", magic, is_long, timeline, number * size, 0)
    header = short + struct.pack("=QII", int(system_id), size, block)
    return header + fill * ((size - len(header)) // len(fill))


def segment_name(number: int, *, timeline: int = 1, size: int = MB) -> str:
    return Segment(timeline, number).name(size)


def lay_segment(
    folder: Path,
    number: int,
    *,
    timeline: int = 1,
    size: int = MB,
    system_id: str = SYSTEM,
    fill: bytes = b"\0",
    major: int = 15,
) -> Path:
    path = folder / segment_name(number, timeline=timeline, size=size)
    path.write_bytes(
        wal_segment(
            number, timeline=timeline, size=size, system_id=system_id, fill=fill, major=major
        )
    )
    return path


def flip(path: Path, at: int) -> None:
    """One bit of a file changes in place, as a medium that rots changes it."""
    with path.open("r+b", buffering=0) as file:
        byte = os.pread(file.fileno(), 1, at)[0]
        os.pwrite(file.fileno(), bytes([byte ^ 1]), at)


# --------------------------------------------------------------------------------------- PostgreSQL


def control_file(system_id: str, size: int = 288) -> bytes:
    """As pg_control: the system identifier first, the CRC32C of all before it last."""
    head = int(system_id).to_bytes(8, "little").ljust(size - 4, b"c")
    return (head + google_crc32c.value(head).to_bytes(4, "little")).ljust(8192, b"\0")


@dataclass
class FakePostgres:
    """A server as its two connections show it. Its WAL stands at `lsn`."""

    server: str = "main"
    system_id: str = SYSTEM
    streaming_system_id: str | None = None
    version: int = 150_018
    timeline: int = 1
    segment_size: int = MB
    lsn: int = 3 * MB + 0x28
    pgdata: str = "/srv/pg"
    config_file: str | None = "/srv/pg/postgresql.conf"
    tablespaces: tuple[Tablespace, ...] = ()
    is_standby: bool = False
    wal_level: str = "replica"
    archive_mode: str = "on"
    archiving_fails: bool = False
    reads_settings: bool = True
    switches_wal: bool = True
    starts_backups: bool = True
    reads_stats: bool = True
    checkpoints: bool | None = True
    lists_wal: bool = True
    archive_command: str | None = "barmanctl wal-push main %p"
    data_checksums: str = "on"
    size: int | None = None
    shown: Callable[[], datetime] = lambda: NOON
    """What its clock shows in an answer to a check."""
    most_senders: int = 10
    senders: int = 0
    most_slots: int = 10
    role: str = "barman"
    slots: dict[str, Slot] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    """The methods that find nobody who answers."""
    patience: list[int] = field(default_factory=list)
    """How long each check was ready to wait, in seconds."""
    closed: list[int] = field(default_factory=list)
    """The segments that `close_segment` closed."""
    clock: Callable[[], datetime] | None = None
    """What its own shows, where a test asks for that."""

    def within(self, seconds: int) -> "FakePostgres":
        self.patience.append(seconds)
        return self

    def facts(self) -> Cluster:
        self._answer("facts")
        if not self.reads_settings:
            raise PostgresFailed("connection to main: permission denied to examine data_directory")
        return Cluster(
            system_id=self.system_id,
            version=self.version,
            segment_size=self.segment_size,
            pgdata=self.pgdata,
            config_file=self.config_file,
            tablespaces=self.tablespaces,
            is_standby=self.is_standby,
            size=self.size,
        )

    def known_tablespaces(self) -> tuple[Tablespace, ...]:
        self._answer("known_tablespaces")
        return self.tablespaces

    def readiness(self) -> Readiness:
        self._answer("readiness")
        return Readiness(
            version=self.version,
            system_id=self.system_id,
            is_standby=self.is_standby,
            clock=self.shown(),
            role=self.role,
            pgdata=self.pgdata if self.reads_settings else None,
            data_checksums=self.data_checksums,
            wal_level=self.wal_level,
            archive_mode=self.archive_mode,
            archive_command=self.archive_command,
            archiving_fails=self.archiving_fails,
            last_failed_wal=segment_name(3) if self.archiving_fails else None,
            reads_settings=self.reads_settings,
            reads_stats=self.reads_stats,
            checkpoints=self.checkpoints,
            forbidden=self._forbidden(),
            most_senders=self.most_senders,
            senders=self.senders,
            most_slots=self.most_slots,
            slots=len(self.slots),
        )

    def _forbidden(self) -> list[str]:
        may = {
            "pg_backup_start(text,boolean)": self.starts_backups,
            "pg_backup_stop(boolean)": self.starts_backups,
            "pg_ls_waldir()": self.lists_wal,
            "pg_switch_wal()": self.switches_wal,
        }
        return [function for function, is_allowed in may.items() if not is_allowed]

    def moment(self) -> datetime:
        if self.clock is None:
            raise PostgresFailed(f"connection to {self.server}: nobody answers")
        return self.clock()

    def identify(self) -> Identity:
        self._answer("identify")
        return Identity(self.streaming_system_id or self.system_id, self.timeline, self.lsn)

    def slot(self, name: str) -> Slot | None:
        self._answer("slot")
        return self.slots.get(name)

    def create_slot(self, name: str) -> None:
        self._answer("create_slot")
        if name in self.slots:
            raise PostgresFailed(f'connection to main: replication slot "{name}" already exists')
        self.slots[name] = Slot(is_active=False, has_reserved_wal=True)

    def drop_slot(self, name: str) -> None:
        self._answer("drop_slot")
        del self.slots[name]

    def close_segment(self, lsn: int) -> None:
        self._answer("close_segment")
        if not self.switches_wal:
            raise PostgresFailed("connection to main: permission denied for function pg_switch_wal")
        if self.lsn < lsn:
            self.closed.append(self.lsn // self.segment_size)
            self.switch()

    def switch(self) -> None:
        """The next record goes to a new segment, unless this one is still empty."""
        self.lsn = -(-self.lsn // self.segment_size) * self.segment_size

    def write(self, count: int = 1) -> None:
        self.lsn += count

    def _answer(self, question: str) -> None:
        if question in self.silent:
            raise PostgresFailed(f"connection to {self.server}: nobody answers")


@dataclass
class FakeCopyTool:
    """Lays a small data directory, as pg_basebackup would for `postgres`."""

    postgres: FakePostgres
    major: int | Failure = 15
    troubles: list[Exception] = field(default_factory=list)
    """Raised by one attempt each, in mid-copy."""
    damages: tuple[Damage, ...] = ()
    """The bad pages that each copy tells."""
    has_manifest: bool = True
    tells_end: bool = True
    timelines: tuple[int, ...] = ()
    """What the manifest's WAL ranges name, if not the server's own timeline."""
    closes_segment: bool = True
    """pg_backup_stop on a primary does."""
    attempts: list[str] = field(default_factory=list)
    """The label of each."""
    orders: list[Order] = field(default_factory=list)
    during: Callable[[], None] = lambda: None

    def version(self) -> int:
        if isinstance(self.major, Failure):
            raise self.major
        return self.major

    def refusal_of(self, compression: Compression) -> str | None:
        del compression
        return None

    def copy(
        self,
        *,
        data: Path,
        tablespaces: Sequence[Tablespace],
        label: str,
        order: Order,
        compression: Compression | None = None,
        stop: ports.Stop,
        report: ports.Report,
    ) -> backups.Told:
        self.orders.append(order)
        assert compression is None or not compression.is_tar, "it lays plain files only"
        self.attempts.append(label)
        try:
            end_point = self._copy(data, tablespaces, stop, report)
        except OSError as error:
            raise ToolFailed("pg_basebackup ended with exit code 1", hint=str(error)) from error
        return backups.Told(end_point, self.damages)

    def _copy(
        self,
        data: Path,
        tablespaces: Sequence[Tablespace],
        stop: ports.Stop,
        report: ports.Report,
    ) -> str | None:
        begin = self.postgres.lsn
        report(Phase.COPYING, 0, 1000)
        _lay(data, {"base/1/1259": b"half" * 10})
        self.during()
        if self.troubles:
            raise self.troubles.pop(0)
        if stop.is_set():
            raise Stopped("pg_basebackup was stopped")
        self.postgres.write(0x100)
        end = self.postgres.lsn
        if self.closes_segment:
            self.postgres.switch()
        _lay(data, self._cluster(begin, end))
        for space in tablespaces:
            folder = data.parent / str(space.oid)
            _lay(folder, {"PG_15_202209061/5/16390": b"in a tablespace"})
            (data / "pg_tblspc" / str(space.oid)).symlink_to(folder)
        report(Phase.COPYING, 1000, 1000)
        return format_lsn(end) if self.tells_end else None

    def _cluster(self, begin: int, end: int) -> dict[str, bytes]:
        size, timeline = self.postgres.segment_size, self.postgres.timeline
        segment = segment_name(begin // size, timeline=timeline, size=size)
        ranges = ", ".join(
            f'{{ "Timeline": {each}, "Start-LSN": "{format_lsn(begin)}", '
            f'"End-LSN": "{format_lsn(end)}" }}'
            for each in self.timelines or (timeline,)
        )
        files = {
            "PG_VERSION": b"15\n",
            "backup_label": (
                f"START WAL LOCATION: {format_lsn(begin)} (file {segment})\n"
                f"CHECKPOINT LOCATION: {format_lsn(begin + 0x38)}\nBACKUP METHOD: streamed\n"
            ).encode(),
            "base/1/1259": b"pg_class" * 100,
            "global/pg_control": b"control" * 10,
            "pg_wal/archive_status/.keep": b"",
            "pg_tblspc/.keep": b"",
            "postgresql.conf": b"archive_mode = on\n",
            "postgresql.auto.conf": b"# do not edit\n",
        }
        if self.has_manifest:
            files["backup_manifest"] = (
                '{ "PostgreSQL-Backup-Manifest-Version": 1,\n"Files": [\n],\n"WAL-Ranges": [\n'
                f'{ranges}\n],\n"Manifest-Checksum": "00"}}\n'
            ).encode()
        return files


def _lay(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@dataclass
class FakeProgram:
    """A program that tells its version."""

    major: int | Failure = 15

    def version(self) -> int:
        if isinstance(self.major, Failure):
            raise self.major
        return self.major


@dataclass
class FakeHookProgram:
    """Runs nothing: what a command ends with is in `codes`, one for each try, the last for ever.

    A code may be a deed, which is done and then gives the code.
    """

    codes: dict[str, list[int | Callable[[], int | None] | None]] = field(default_factory=dict)
    told: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """The command and the environment of each run."""
    limits: list[float] = field(default_factory=list)
    doubts: dict[str, str] = field(default_factory=dict)

    def run(
        self, command: str, environment: Mapping[str, str], *, timeout_seconds: float, stop: Stop
    ) -> Ended:
        self.told.append((command, dict(environment)))
        self.limits.append(timeout_seconds)
        codes = self.codes.get(command, [0])
        code = codes[0] if len(codes) == 1 else codes.pop(0)
        if callable(code):
            code = code()
        if stop.is_set():
            raise Stopped("sh was stopped")
        if code is None:
            return Ended(None, "ran longer than 5 s", 5.0, "half", timed_out=True)
        return Ended(code, f"ended with exit code {code}", 0.1, f"said by {command}")

    def doubt(self, command: str) -> str | None:
        return self.doubts.get(command)

    @property
    def commands(self) -> list[str]:
        return [command for command, _ in self.told]

    def environment_of(self, command: str) -> dict[str, str]:
        """Of its last run."""
        return next(told for name, told in reversed(self.told) if name == command)


# -------------------------------------------------------------------------------------------- bench


def layout_in(home: Path, server: str = "main") -> Layout:
    """As Barman lays a server's folders out."""
    names = ("base", "wals", "incoming", "streaming", "errors")
    return Layout(server, home, *(home / name for name in names))


@dataclass(frozen=True)
class Bench:
    """One server's operations over a real catalogue and real folders, with fakes outside."""

    layout: Layout
    catalog: Catalog
    postgres: FakePostgres
    tool: FakeCopyTool
    clock: FakeClock
    rung: list[str]
    wals: WalArchive
    record: Record
    check: Check
    take: TakeBackup
    archive: Archive
    push: Push
    fetch: Fetch
    delete: Delete
    expire: Expire
    forecast: Forecast
    keep: KeepBackup
    prune: Prune
    restore: Restore
    restart: Restart
    rebuild: Rebuild
    accounts: Accounts
    hooks: Hooks
    scripts: FakeHookProgram

    def queue(self, name: str | None = None) -> Backup:
        return self.catalog.backups.queue(
            "main", method="postgres", name=name, requester="tester", now=self.clock()
        )

    def run(self, backup: Backup, order: Order | None = None, stop: Stop | None = None) -> Backup:
        return self.take.run(backup, order or Order(), stop=stop or Stop(), report=Told())

    def copied_backup(self, name: str | None = None) -> Backup:
        """A backup that waits for its WAL."""
        self.postgres.write(0x28)
        return self.run(self.queue(name))

    def done_backup(self, name: str | None = None) -> Backup:
        backup = self.copied_backup(name)
        self.stream(*self.needs(backup))
        self.pass_wal()
        return self.now(backup)

    def failed_backup(self) -> Backup:
        return self.record.fail(self.queue(), Reason("ToolFailed", "it failed"))

    def needs(self, backup: Backup) -> list[int]:
        needed = backup.needed()
        assert needed is not None
        return list(range(needed.first, needed.last + 1))

    def stream(self, *numbers: int, timeline: int = 1) -> None:
        """These segments arrive in streaming/."""
        for number in numbers:
            major = self.postgres.version // 10_000
            lay_segment(self.layout.streaming, number, timeline=timeline, major=major)

    def pass_wal(self) -> None:
        self.archive.run(lambda: False)

    def now(self, backup: Backup) -> Backup:
        return self.catalog.backups.get("main", backup.id)

    def archived(self) -> list[str]:
        """The names of all WAL files in the archive."""
        return sorted(path.name for path in self.layout.wals.rglob("*") if path.is_file())

    def pass_retention(self, stop: Stop | None = None) -> int:
        """`stop` is the daemon's end, which every deletion hears of."""
        expire = self.expire
        if stop is not None:
            expire = replace(expire, alone=lambda _backup, deletion: deletion(stop))
        return expire.run(stop=stop or Stop(), is_current=lambda: True)

    def events(self, kind: str) -> list[Event]:
        return [event for event in self.catalog.events.of_server("main") if event.kind == kind]


def bench_over(
    catalog: Catalog,
    home: Path,
    *,
    postgres: FakePostgres | None = None,
    clock: FakeClock | None = None,
    minimum_redundancy: int = 0,
    policy: Policy | None = None,
    rules: Rules | None = None,
    is_prepared: bool = True,
    packing: Packing | None = None,
    batches: Batches = ALL_AT_ONCE,
    hooks: Sequence[str] = (),
    scripts: FakeHookProgram | None = None,
    stopping: Stop | None = None,
) -> Bench:
    """As barmand.wiring puts a kit together. Each of `hooks` is set, its command is its name."""
    postgres, clock = postgres or FakePostgres(), clock or FakeClock()
    postgres.shown = lambda: clock.moment
    layout = layout_in(home)
    if is_prepared:
        layout.prepare()
    tool, wals, guard, rung = FakeCopyTool(postgres), WalArchive(layout), Lock(), list[str]()
    scripts = scripts or FakeHookProgram()
    runner = HookRunner(
        server="main",
        commands={HOOKS[name]: name for name in hooks},
        surroundings={"BARMAN_CONFIGURATION": "/etc/barmand.conf"},
        program=scripts,
        runs=catalog.hook_runs,
        events=catalog.events,
        patience=Patience(100, 3, 2),
        wal_patience=Patience(10, 2, 1),
        now=clock,
        monotonic=clock.seconds,
    )
    around = Hooks(runner, layout, catalog.backups, catalog.holds)
    record = Record(
        catalog.backups,
        layout,
        clock,
        when_done=lambda: rung.append("prune"),
        owes_hook=around.has_after(HookEvent.BACKUP_DONE),
    )
    method = ByPgBasebackup(layout, tool, clock, clock.seconds)
    counts = BackupCounts(catalog.database)
    judging = Judging(
        server="main",
        layout=layout,
        backups=catalog.backups,
        wal_runs=catalog.wal_runs,
        holds=catalog.holds,
        servers=catalog.servers,
        proofs=catalog.proofs,
        clock_watches=catalog.clock_watches,
        rules=rules or Rules(minimum_redundancy=minimum_redundancy),
        now=clock,
        reading=clock.reading,
        ask_postgres=postgres.moment,
    )
    check = Check(
        server="main",
        layout=layout,
        servers=catalog.servers,
        postgres=postgres,
        wal_server=None,
        primary=None,
        method=method,
        receiver=FakeProgram(),
        slot_name=None,
        makes_slot=True,
        receiving=lambda: Flow(Pulse.FLOWING, "streaming"),
        takes_pushed_wal=True,
        wal_health=WalHealth(
            server="main",
            layout=layout,
            wal_gaps=catalog.wal_gaps,
            wal_runs=catalog.wal_runs,
            most_waiting=None,
            oldest=None,
            now=clock,
        ),
        backup_health=BackupHealth(
            server="main",
            layout=layout,
            backups=catalog.backups,
            counts=counts,
            proofs=catalog.proofs,
            limits=BackupLimits(redundancy=minimum_redundancy),
            now=clock,
        ),
        schedule_health=ScheduleHealth(
            server="main",
            lines=(),
            runs=catalog.schedule_runs,
            backups=catalog.backups,
            counts=counts,
            latest_ready=lambda *_: None,
            now=clock,
        ),
        space_health=SpaceHealth(
            server="main",
            layout=layout,
            counts=counts,
            wal_runs=catalog.wal_runs,
            method="postgres",
        ),
        apart_health=ApartHealth(layout, catalog.database.path.parent),
        retention_health=RetentionHealth(judging),
        hook_health=HookHealth(runner),
        limits=Limits(),
        lines=Lines(),
        seconds=0,
        now=clock,
    )
    door = Door("main", catalog.servers, catalog.backups, catalog.wal_runs)
    quarantine = Quarantine("main", wals, catalog.events, clock)
    noticed = Noticed("main", wals, catalog.servers, catalog.wal_runs, catalog.events, guard, clock)
    branches = Branches("main", wals, catalog.wal_runs, catalog.wal_gaps, clock)
    take_in = TakeIn(
        server="main",
        door=door,
        quarantine=quarantine,
        wals=wals,
        intake=Intake(layout, packing),
        wal_runs=catalog.wal_runs,
        branches=branches,
        now=clock,
        hands=Hands(WORKERS),
    )
    archive = Archive(
        server="main",
        layout=layout,
        wals=wals,
        wal_runs=catalog.wal_runs,
        backups=catalog.backups,
        take_in=HookedTakeIn(take_in, around, stopping or Stop())
        if around.has(HookEvent.ARCHIVE)
        else take_in,
        events=catalog.events,
        record=record,
        guard=guard,
        passing=Lock(),
        in_hand=InHand(),
        now=clock,
        batches=batches,
    )
    prune = Prune(
        server="main",
        layout=layout,
        wals=wals,
        wal_runs=catalog.wal_runs,
        backups=catalog.backups,
        servers=catalog.servers,
        holds=catalog.holds,
        events=catalog.events,
        policy=policy or Policy(),
        hooks=around,
        guard=guard,
        now=clock,
    )
    delete = Delete(
        layout=layout,
        backups=catalog.backups,
        prune=prune,
        hooks=around,
        minimum_redundancy=minimum_redundancy,
        guard=guard,
        now=clock,
    )
    keep = KeepBackup(
        layout, catalog.backups, catalog.events, guard, clock, lambda: rung.append("expire")
    )
    return Bench(
        layout=layout,
        catalog=catalog,
        postgres=postgres,
        tool=tool,
        clock=clock,
        rung=rung,
        wals=wals,
        record=record,
        check=check,
        take=TakeBackup(
            layout=layout,
            servers=catalog.servers,
            record=record,
            check=check,
            postgres=postgres,
            closing=Closing(catalog.events, postgres, None, clock),
            method=method,
            hooks=around,
            ring_archive=lambda: rung.append("archive"),
            demand_slot=lambda _seconds: None,
            now=clock,
            monotonic=clock.seconds,
        ),
        archive=archive,
        push=Push(
            server="main",
            layout=layout,
            wals=wals,
            door=door,
            quarantine=quarantine,
            ring_archive=lambda: rung.append("archive"),
            takes_pushed=True,
        ),
        fetch=Fetch("main", layout, catalog.servers, catalog.wal_runs, catalog.wal_gaps, noticed),
        delete=delete,
        expire=Expire(
            server="main",
            judging=judging,
            keeping=keep,
            delete=delete,
            alone=lambda _backup, deletion: deletion(Stop()),
            backups=catalog.backups,
            events=catalog.events,
            now=clock,
        ),
        forecast=Forecast("main", layout, wals, catalog.wal_runs, catalog.backups, judging),
        keep=keep,
        prune=prune,
        restore=Restore(
            layout=layout,
            wals=wals,
            wal=RestoreWal(wals, catalog.wal_runs, catalog.wal_gaps, noticed),
            holds=catalog.holds,
            hooks=around,
            proofs=catalog.proofs,
            forbidden=(home,),
            now=clock,
            monotonic=clock.ticking,
        ),
        restart=Restart(
            catalog.backups, record, archive, delete, lambda _backup, deletion: deletion(Stop())
        ),
        rebuild=Rebuild(
            server="main",
            layout=layout,
            wals=wals,
            backups=catalog.backups,
            servers=catalog.servers,
            wal_runs=catalog.wal_runs,
            wal_gaps=catalog.wal_gaps,
            forget_gone=ForgetGone("main", layout, catalog.backups, catalog.servers, guard, clock),
            now=clock,
        ),
        accounts=Accounts("main", wals, catalog.wal_runs, branches, guard, clock),
        hooks=around,
        scripts=scripts,
    )


def start_again(bench: Bench) -> None:
    """What the daemon does at start with what an earlier life left behind."""
    bench.catalog.holds.release_all()
    bench.catalog.hook_runs.interrupt_all()
    bench.rebuild.run()
    for backup in bench.catalog.backups.in_status(*ACTIVE):
        if backup.server != "main":
            continue
        bench.restart.fail_if_active(backup)
    bench.push.forget()
    bench.restart.go_on("main", stop=Stop())
    bench.pass_wal()
    bench.hooks.pay_done(stop=Stop())
