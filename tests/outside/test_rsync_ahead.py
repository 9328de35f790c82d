"""A large file is read while a real rsync brings it."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from barmand.model.backup import Damage
from barmand.model.order import Order, Reuse
from barmand.outside import rsync_ahead
from barmand.outside.rsync import Rsync
from barmand.outside.rsync_ahead import LARGE_BYTES, Ahead
from barmand.outside.rsync_limits import Limits, Shares
from barmand.outside.rsync_loads import Attempts, Loads
from barmand.outside.rsync_trees import Load
from barmand.outside.rsync_ways import Ways
from barmand.service.stopping import StopFlag
from barmand.storage.brought import Reading
from barmand.storage.data_tree import Tree
from barmand.storage.pace import Starts
from barmand.storage.pages import PAGE_BYTES
from barmand.storage.seen import Looks
from storage.test_live_copy import page

LOOKS = Looks(1 << 40, None)
ONE, SECOND = "base/5/16384", "base/5/16384.1"
PAGES = b"".join(page(131_072 + n) for n in range(256))


def large(first_block: int, *, bad: int | None = None) -> bytes:
    """Some more than what is read ahead. Most pages are new ones, which have no checksum."""
    count = LARGE_BYTES // PAGE_BYTES + 600
    pages = [bytes(PAGE_BYTES)] * count
    pages[::50] = [page(first_block + n) for n in range(0, count, 50)]
    if bad is not None:
        pages[bad] = page(first_block + bad + 1)
    return b"".join(pages)


@pytest.fixture
def source(folder: Path) -> Path:
    made = folder / "source"
    (made / "base/5").mkdir(parents=True)
    (folder / "target").mkdir()
    return made


@pytest.fixture
def ahead(folder: Path, source: Path) -> Iterator[Callable[..., Ahead]]:
    """`ahead(names)`: of a load with these files, which rsync lays into folder/half."""
    (folder / "half").mkdir()
    with ExitStack() as closed:

        def make(*names: str, looks: Looks = LOOKS) -> Ahead:
            load = Load(Tree(source, folder / "target"), names, 0)
            return closed.enter_context(closing(Ahead(folder / "half", load, looks, StopFlag())))

        yield make


def test_a_copy_reads_it_before_it_has_its_name(
    source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a bad page of it is told by its block in the relation, whatever it was called then."""
    (source / SECOND).write_bytes(large(131_072, bad=2_150))
    (folder / "target/base/5").mkdir(parents=True)
    early: list[int] = []
    go_on = Ahead.go_on

    def told(self: Ahead) -> None:
        go_on(self)
        if not (folder / "target" / SECOND).exists():
            early.extend(reading.facts.st_ino for reading in self._held.values())

    monkeypatch.setattr(Ahead, "go_on", told)
    rsync, stop = Rsync(), StopFlag()
    loads = Loads(
        ways=Ways(rsync, rsync),
        attempts=Attempts(Order(), Starts(10, 1.0, stop), stop),
        looks=LOOKS,
        reuse=Reuse.OFF,
        past=None,
        manifest=None,
        beside=folder,
        limits=Limits(Shares(8_000, 1, LARGE_BYTES), {}),
        add_bytes=lambda _bytes: None,
    )
    names = (SECOND,)
    found = loads.fetch(
        Load(Tree(source, folder / "target"), names, (source / SECOND).stat().st_size)
    )
    assert found == [Damage(SECOND, (131_072 + 2_150,))]
    assert early
    assert (folder / "target" / SECOND).read_bytes() == (source / SECOND).read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["source", "target"]


def test_what_was_read_of_it_is_had_by_its_inode(folder: Path, ahead: Callable[..., Ahead]) -> None:
    half = folder / "half/16384.1.AbC123"
    reader = ahead(ONE, SECOND)
    half.write_bytes(large(131_072)[: LARGE_BYTES - 1])
    reader.go_on()
    assert reader.begun(half.stat().st_ino) is None
    half.write_bytes(large(131_072))
    reader.go_on()
    renamed = half.rename(folder / "target/16384.1")
    reader.go_on()
    reading = reader.begun(renamed.stat().st_ino)
    assert isinstance(reading, Reading)
    with closing(reading):
        seen = reading.finish()
    assert (seen.size, seen.bad_blocks) == (renamed.stat().st_size, ())
    assert reader.begun(renamed.stat().st_ino) is None


def test_the_inode_of_one_that_was_given_up_is_nobody_elses(
    folder: Path, ahead: Callable[..., Ahead]
) -> None:
    half = folder / "half/16384.AbC123"
    reader = ahead(ONE)
    half.write_bytes(large(0))
    reader.go_on()
    half.unlink()
    for number in range(50):
        other = folder / f"target/{number}"
        other.touch()
        assert reader.begun(other.stat().st_ino) is None


@pytest.mark.parametrize(
    ("names", "half"),
    [
        (("base/4/16384", ONE), "16384.AbC123"),  # which of them is it?
        ((ONE,), "16385.AbC123"),
        ((ONE,), ".16384.AbC123"),
    ],
)
def test_a_file_that_is_not_known_by_its_name_waits_until_it_has_its_own(
    folder: Path, ahead: Callable[..., Ahead], names: tuple[str, ...], half: str
) -> None:
    reader = ahead(*names)
    (folder / "half" / half).write_bytes(large(0))
    reader.go_on()
    assert reader.begun((folder / "half" / half).stat().st_ino) is None


def test_who_looks_at_nothing_reads_nothing(folder: Path, ahead: Callable[..., Ahead]) -> None:
    reader = ahead(ONE, looks=Looks(None, None))
    shutil.rmtree(folder / "half")
    reader.go_on()


def test_one_that_is_renamed_at_that_moment_is_no_failure(
    folder: Path, ahead: Callable[..., Ahead], monkeypatch: pytest.MonkeyPatch
) -> None:
    half = folder / "half/16384.AbC123"
    half.write_bytes(large(0))
    reader = ahead(ONE)

    def late(path: Path, *_others: object) -> Reading:
        half.unlink()
        return Reading(path, None, LOOKS, StopFlag())

    monkeypatch.setattr(rsync_ahead, "Reading", late)
    reader.go_on()
