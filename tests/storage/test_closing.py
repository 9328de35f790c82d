"""What pg_receivewal is still at is left alone, and nothing else."""

from pathlib import Path

from barmand.model.wal import Segment
from barmand.storage.closing import Closing
from fakes import MB, segment_name


def test_while_nothing_runs_nothing_is_held() -> None:
    assert not Closing().holds(segment_name(1))


def test_what_came_since_the_beginning_is_held_until_it_is_finished(tmp_path: Path) -> None:
    closing = Closing()
    (tmp_path / segment_name(1)).touch()
    closing.begin(tmp_path)
    assert not closing.holds(segment_name(1))
    assert closing.holds(segment_name(2))
    closing.finished(Segment(1, 2), MB)
    assert not closing.holds(segment_name(2))
    assert closing.holds(segment_name(3))
    assert closing.holds(segment_name(3, timeline=2))
    closing.end()
    assert not closing.holds(segment_name(3))


def test_a_history_is_held_until_its_timeline_is_told(tmp_path: Path) -> None:
    closing = Closing()
    closing.begin(tmp_path)
    assert closing.holds("00000002.history")
    closing.switched(2)
    assert not closing.holds("00000002.history")
    assert closing.holds("00000003.history")
    closing.finished(Segment(3, 9), MB)
    assert not closing.holds("00000003.history")


def test_a_new_beginning_forgets_what_was_finished(tmp_path: Path) -> None:
    """After a recovery to an earlier point, the numbers begin lower."""
    closing = Closing()
    closing.begin(tmp_path)
    closing.finished(Segment(2, 9), MB)
    closing.end()
    closing.begin(tmp_path)
    assert closing.holds(segment_name(3))


def test_other_files_are_nobodys(tmp_path: Path) -> None:
    closing = Closing()
    closing.begin(tmp_path)
    paths = [tmp_path / name for name in ("notes", f"{segment_name(1)}.00000028.backup")]
    assert closing.free([*paths, tmp_path / segment_name(1)]) == paths
