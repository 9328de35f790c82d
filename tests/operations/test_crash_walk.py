"""The crash walk: the daemon dies at every step of every story; what it finds at its next start.

Two ways to die: at the k-th write to the catalogue (before or after its commit), and at the k-th
step on the disk, which the functions of Python that take it tell just before. After the fatal one
neither disk nor catalogue does anything more for this life, so no cleanup runs that a dead process
would not run either. And a third trouble: the disk refuses one step, and all live on.
"""

import builtins
import errno
import io
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection

from barmand.catalog.database import Database
from barmand.catalog.memory import Catalog, open_catalog
from barmand.model.backup import ACTIVE, Backup, Status
from barmand.model.errors import Failure
from barmand.model.keeping import Kept
from barmand.model.retention import Keep
from barmand.model.retention_policy import Redundancy
from barmand.model.verdict import Rules
from barmand.storage import backup_info
from fakes import Bench, FakeClock, FakePostgres, Stop, bench_over, segment_name, start_again
from fakes import wal_segment as segment

DISK_STEPS = (
    (builtins, "open"),
    (io, "open"),
    *((os, name) for name in ("chmod", "listdir", "mkdir", "open", "remove", "rename", "replace")),
    *((os, name) for name in ("rmdir", "scandir", "symlink", "truncate", "unlink", "utime")),
)
STATE = "state"
MOST = 400  # steps of a story


class Died(BaseException):
    """The end of this life."""


@dataclass
class Fate:
    """So many steps are taken; the next is not, nor any after it."""

    left: int
    is_over: bool = False

    def step(self) -> None:
        if self.left == 0:
            self.is_over = True
        self.live()
        self.left -= 1

    def live(self) -> None:
        if self.is_over:
            raise Died


@dataclass
class Refusal(Fate):
    """After so many steps one is refused, once."""

    def step(self) -> None:
        self.left -= 1
        if self.left == -1:
            self.is_over = True
            raise OSError(errno.EIO, "the disk refused")

    def live(self) -> None:
        """Always."""


# ------------------------------------------------------------------------------ the two ways to die


@dataclass(frozen=True, slots=True)
class MortalDatabase(Database):
    """A database whose process may die at a write, on one side of the commit or the other."""

    fate: Fate = field(default_factory=lambda: Fate(-1))
    dies: str = "elsewhere"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        self.fate.live()
        with Database.reading(self) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        self.fate.live()
        with Database.writing(self) as connection:
            yield connection
            if self.dies == "before the commit":
                self.fate.step()
        if self.dies == "after the commit":
            self.fate.step()


@contextmanager
def mortal_disk(root: Path, fate: Fate) -> Iterator[None]:
    """Each step below `root` is one of `fate`.

    No audit hook: it cannot be removed, and with one a thread that starts under coverage may die
    ("another trace function is being installed").
    """

    def fated(take: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object, **options: object) -> object:
            path = arguments[0] if arguments else None
            if isinstance(path, (str, Path)) and str(path).startswith(str(root)):
                fate.step()
            return take(*arguments, **options)

        return step

    with pytest.MonkeyPatch.context() as patch:
        for module, name in DISK_STEPS:
            patch.setattr(module, name, fated(getattr(module, name)))
        yield


# ------------------------------------------------------------------------------------------ stories


def before_take(bench: Bench) -> None:
    bench.done_backup("one")


def take(bench: Bench) -> None:
    """The second backup of a server that has one."""
    bench.copied_backup("two")


def before_archive(bench: Bench) -> None:
    bench.done_backup("one")
    backup = bench.copied_backup("two")
    last = bench.needs(backup)[-1]
    bench.stream(last, last + 1)
    bench.postgres.lsn += bench.postgres.segment_size


def archive(bench: Bench) -> None:
    """The segment that makes a waiting backup DONE, and one behind it."""
    bench.pass_wal()


def before_delete(bench: Bench) -> None:
    bench.done_backup("one")
    bench.done_backup("two")


def delete(bench: Bench) -> None:
    """The older of two backups, with the WAL that only it needed."""
    bench.delete.run(bench.catalog.backups.of_server("main")[0], actor="tester", stop=Stop())


def before_expire(bench: Bench) -> None:
    """One goes by its failure's age, one by redundancy; one of the others is kept."""
    bench.failed_backup()
    kept, *_ = (bench.done_backup() for _ in range(4))
    bench.keep.keep(kept, Kept(target=Keep.STANDALONE, reason="for ever"))
    bench.clock.moment += timedelta(days=31)
    bench.expire.judging.hindrance(remembers=True)
    bench.catalog.clock_watches.believe(bench.clock.reading())


def expire(bench: Bench) -> None:
    bench.pass_retention()


def before_keep(bench: Bench) -> None:
    bench.done_backup("one")


def keep(bench: Bench) -> None:
    """Kept, kept otherwise, and released."""
    backup = bench.catalog.backups.of_server("main")[0]
    for target in (Keep.FULL, Keep.STANDALONE):
        bench.keep.keep(backup, Kept(target=target, until=bench.clock() + timedelta(days=9)))
    bench.keep.release(backup, actor="tester")


Story = Callable[[Bench], None]


def take_with_hooks(bench: Bench) -> None:
    take(bench)


def delete_with_hooks(bench: Bench) -> None:
    delete(bench)


def done_with_hooks(bench: Bench) -> None:
    """The segment that makes a backup DONE, and the hooks that are owed to it then."""
    archive(bench)
    bench.hooks.pay_done(stop=Stop())


WITH_HOOKS = {
    take_with_hooks: ["pre_backup_script", "post_backup_retry_script"],
    delete_with_hooks: ["pre_delete_retry_script", "post_delete_script", "post_wal_delete_script"],
    done_with_hooks: ["pre_archive_script", "post_archive_script", "post_backup_done_script"],
}
STORIES: list[tuple[Story, Story]] = [
    (before_take, take),
    (before_archive, archive),
    (before_delete, delete),
    (before_keep, keep),
]
HOOKED: list[tuple[Story, Story]] = [
    (before_take, take_with_hooks),
    (before_delete, delete_with_hooks),
    (before_archive, done_with_hooks),
]
STRIDES = pytest.mark.parametrize(
    "stride", [5, pytest.param(1, marks=pytest.mark.soak)], ids=["each fifth", "each"]
)
"""A story has a hundred steps on the disk: `./dev soak` takes each, the suite each fifth."""
each_story = pytest.mark.parametrize(
    ("prepare", "story"), STORIES, ids=[story.__name__ for _, story in STORIES]
)


@dataclass
class World:
    """A home and a state file, prepared once and lived in many times."""

    folder: Path
    empty_state: Path
    clock: FakeClock = field(default_factory=FakeClock)
    postgres: FakePostgres = field(default_factory=FakePostgres)
    hooks: Sequence[str] = ()
    """Of all lives but the first one, which prepares."""

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def prepare(self, prepare: Story) -> None:
        self.home.mkdir(parents=True)
        shutil.copy(self.empty_state, self.folder / STATE)
        with self.life() as bench:
            prepare(bench)
        shutil.copytree(self.folder, self.folder.with_name("prepared"))

    def rewind(self) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self.folder.with_name("prepared"), self.folder)

    @contextmanager
    def life(self, fate: Fate | None = None, dies: str = "elsewhere") -> Iterator[Bench]:
        """One process: a catalogue of its own; the server and the clock outlive it."""
        catalog = open_catalog(self.folder / STATE)
        try:
            yield bench_over(
                catalog if fate is None else mortal(catalog, fate, dies),
                self.home,
                postgres=self.postgres,
                clock=self.clock,
                hooks=self.hooks,
                rules=Rules(policy=Redundancy(2), failed_age=timedelta(days=30)),
            )
        finally:
            catalog.close()


def mortal(catalog: Catalog, fate: Fate, dies: str) -> Catalog:
    old = catalog.database
    database = MortalDatabase(old.path, old.engine, old.bell, fate, dies)
    rooms = {
        each.name: replace(getattr(catalog, each.name), database=database)
        for each in fields(catalog)
        if each.name != "database"
    }
    return Catalog(database=database, **rooms)


@pytest.fixture
def world(tmp_path: Path, empty_state: Path) -> World:
    return World(tmp_path / "world", empty_state)


# --------------------------------------------------------------------------------------- invariants


def assert_sane(bench: Bench, wal_before: set[str]) -> None:
    backups = bench.catalog.backups.of_server("main")
    assert bench.catalog.hook_runs.under_way("main") == []
    assert bench.catalog.hook_runs.owed("main") == []
    assert not [backup for backup in backups if backup.status in ACTIVE | {Status.DELETING}]
    for backup in backups:
        assert_agrees(bench, backup)
    assert_nothing_is_half_gone(bench, backups)
    assert_no_segment_is_lost(bench, wal_before)
    after = bench.done_backup()
    assert after.status is Status.DONE
    assert_agrees(bench, after)


def assert_agrees(bench: Bench, backup: Backup) -> None:
    """Row, backup.info and disk say the same."""
    on_disk = backup_info.load(bench.layout, backup.id)
    if backup.cluster is None:  # it never began: that leaves nothing, or a file that says as much
        assert on_disk is None or on_disk.status is Status.FAILED
        return
    assert on_disk is not None
    assert on_disk.status is backup.status
    if backup.status is not Status.FAILED:
        assert on_disk == backup
        assert (bench.layout.data(backup.id) / "global/pg_control").is_file()
        assert bench.archive.missing(backup) == [] or backup.status is Status.WAITING_FOR_WALS


@pytest.mark.parametrize(("dies", "stride"), [("after the commit", 1), ("on the disk", 9)])
def test_a_pass_of_retention_that_died_anywhere_ends_as_if_it_had_not(
    world: World, dies: str, stride: int
) -> None:
    """The next life goes on, its next pass takes the rest, and no more.

    Each step on the disk of a deletion has its walk above: here some of them will do.
    """
    world.prepare(before_expire)
    for k in range(0, MOST, stride):
        world.rewind()
        fate = Fate(k)
        with world.life(fate, dies) as bench, suppress(Died):
            if dies == "on the disk":
                with mortal_disk(world.home, fate):
                    expire(bench)
            else:
                expire(bench)
        with world.life() as bench:
            start_again(bench)
            assert len(done_ones(bench)) >= 3
            expire(bench)
            left = done_ones(bench)
            assert len(left) == 3, "the kept one, and the newest two"
            assert bench.keep.of(left[0]) is not None
            assert bench.archived() == [segment_name(n) for each in left for n in bench.needs(each)]
            assert bench.pass_retention() == 0
        if not fate.is_over:
            assert k >= 6, "a pass has fewer writes than it should"
            return
    pytest.fail("a pass has no end")


def done_ones(bench: Bench) -> list[Backup]:
    backups = bench.catalog.backups.of_server("main")
    assert all(backup.status is Status.DONE for backup in backups) or len(backups) > 3
    return [backup for backup in backups if backup.status is Status.DONE]


def assert_nothing_is_half_gone(bench: Bench, backups: object) -> None:
    assert isinstance(backups, (list, tuple))
    known = {backup.id for backup in backups}
    assert {path.name for path in bench.layout.base.iterdir()} <= known
    facts = [path for path in bench.layout.meta.iterdir() if not path.name.startswith(".")]
    assert {path.name[:15] for path in facts} <= known
    assert not [path for path in facts if path.name.endswith("-delete_this")]


def assert_no_segment_is_lost(bench: Bench, wal_before: set[str]) -> None:
    """What there was is there once, whole, and known; what went was needed by no backup."""
    archived = [path for path in bench.layout.wals.rglob("*") if path.is_file()]
    names = [path.name for path in archived if not path.name.startswith(".")]
    needed = {
        segment_name(number)
        for backup in bench.catalog.backups.of_server("main")
        if backup.status in (Status.DONE, Status.WAITING_FOR_WALS)
        for number in bench.needs(backup)
    }
    came = {path.name for path in bench.layout.streaming.iterdir()}
    assert not came, "a pass takes in all that came"
    assert wal_before & needed <= set(names)
    for path in archived:
        if not path.name.startswith("."):
            assert path.read_bytes() == segment(int(path.name, 16) & 0xFFF)
    known = bench.catalog.wal_runs.count("main")
    assert known == len(names) == len(set(names))


# -------------------------------------------------------------------------------------------- walks


def wal_files(world: World) -> set[str]:
    folders = (world.home / "wals", world.home / "streaming")
    return {path.name for folder in folders for path in folder.rglob("*") if path.is_file()}


def walk(world: World, live: Callable[[int], Fate], least: int) -> None:
    """Trouble at the first step, at the second, and so on to the end of the story."""
    for k in range(MOST):
        world.rewind()
        before = wal_files(world)
        fate = live(k)
        with world.life() as bench:
            start_again(bench)
            assert_sane(bench, before)
        if not fate.is_over:
            assert k >= least, "the story has fewer steps than it should"
            return
    pytest.fail("the story has no end")


@each_story
@pytest.mark.parametrize("dies", ["before the commit", "after the commit"])
def test_a_death_at_any_write_of_the_catalogue(
    world: World, prepare: Story, story: Story, dies: str
) -> None:
    world.prepare(prepare)

    def live(k: int) -> Fate:
        fate = Fate(k)
        with world.life(fate, dies) as bench, suppress(Died):
            story(bench)
        return fate

    walk(world, live, least=2)  # a pass writes once for all its segments, once for the backup


# The check asks the disk in a thread of its own, which dies with the process like all others.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(("prepare", "story"), HOOKED, ids=[story.__name__ for _, story in HOOKED])
def test_a_death_at_any_step_with_hooks(world: World, prepare: Story, story: Story) -> None:
    """At each write of the catalogue, of which each run of a hook has two; and on the disk."""
    world.prepare(prepare)
    world.hooks = WITH_HOOKS[story]

    def live(k: int) -> Fate:
        fate = Fate(k)
        with world.life(fate, "after the commit") as bench, suppress(Died):
            story(bench)
        return fate

    def live_on_disk(k: int) -> Fate:
        fate = Fate(9 * k)
        with world.life(fate) as bench, mortal_disk(world.home, fate), suppress(Died):
            story(bench)
        return fate

    walk(world, live, least=5)
    walk(world, live_on_disk, least=2)


# As above: the check's own thread may be the one that dies.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@STRIDES
@each_story
@pytest.mark.parametrize("kind", [Fate, Refusal], ids=["a death", "a refusal"])
def test_trouble_at_any_step_on_the_disk(
    world: World, prepare: Story, story: Story, kind: type[Fate], stride: int
) -> None:
    world.prepare(prepare)
    offset = 0 if kind is Fate else 1

    def live(k: int) -> Fate:
        fate = kind(stride * k + offset)
        with (
            world.life(fate) as bench,
            mortal_disk(world.home, fate),
            suppress(Died, Failure),
        ):
            story(bench)
        return fate

    walk(world, live, least=20 // stride)


def push(bench: Bench, folder: Path, number: int) -> None:
    """As PostgreSQL pushes it; Failure or Died says that it was not acknowledged."""
    path = folder / segment_name(number)
    path.write_bytes(segment(number))
    file = os.open(path, os.O_RDONLY)
    try:
        bench.push.run(path.name, file)
    finally:
        os.close(file)


@pytest.mark.parametrize("kind", [Fate, Refusal], ids=["a death", "a refusal"])
def test_trouble_at_any_step_of_a_push(world: World, tmp_path: Path, kind: type[Fate]) -> None:
    """What was acknowledged is there; what was not comes again; of each there is one, whole."""
    world.prepare(before_take)
    number = 9
    name = segment_name(number)
    sender = tmp_path / "pg_wal"
    sender.mkdir()
    for k in range(MOST):
        world.rewind()
        fate, is_acknowledged = kind(k), False
        with (
            world.life(fate) as bench,
            mortal_disk(world.home, fate),
            suppress(Died, Failure),
        ):
            push(bench, sender, number)
            is_acknowledged = True
        with world.life() as bench:
            lies = bench.layout.incoming / name
            assert lies.exists() or not is_acknowledged
            assert not lies.exists() or lies.read_bytes() == segment(number)
            start_again(bench)
            push(bench, sender, number)
            bench.pass_wal()
            assert bench.archived().count(name) == 1
            assert bench.layout.wal(name).read_bytes() == segment(number)
            assert [path for path in bench.layout.incoming.rglob("*") if path.is_file()] == []
            assert list(bench.layout.errors.iterdir()) == []
        if not fate.is_over:
            assert k >= 6, "a push has fewer steps than it should"
            return
    pytest.fail("a push has no end")


@STRIDES
def test_a_death_in_the_next_life_is_survived_too(world: World, stride: int) -> None:
    """A deletion that dies, and again at each step of going on."""
    world.prepare(before_delete)

    def live(k: int) -> Fate:
        first, second = Fate(12), Fate(stride * k)
        for fate, part in ((first, delete), (second, start_again)):
            with world.life(fate) as bench, mortal_disk(world.home, fate), suppress(Died):
                part(bench)
        return second

    walk(world, live, least=20 // stride)


def test_a_story_without_any_trouble_comes_to_its_end(world: World) -> None:
    world.prepare(before_archive)
    with world.life() as bench:
        archive(bench)
        one, two = bench.catalog.backups.of_server("main")
        assert one.status is two.status is Status.DONE
        assert_sane(bench, wal_files(world))


@pytest.mark.parametrize("dies", ["before the commit", "after the commit"])
def test_the_hook_of_done_is_run_at_least_once_wherever_the_daemon_dies(
    world: World, dies: str
) -> None:
    world.prepare(before_archive)
    world.hooks = ["post_backup_done_script"]
    for k in range(MOST):
        world.rewind()
        fate, ran = Fate(k), list[str]()
        for each in (fate, None):
            with world.life(each, dies) as bench, suppress(Died):
                start_again(bench)
                done_with_hooks(bench)
            ran += [told["BARMAN_BACKUP_ID"] for _, told in bench.scripts.told]
        with world.life() as bench:
            last = bench.catalog.backups.of_server("main")[-1]
            assert last.status is Status.DONE
            assert last.id in ran
        if not fate.is_over:
            assert k >= 4, "the story has fewer steps than it should"
            assert ran == [last.id]
            return
    pytest.fail("the story has no end")
