"""What pg_receivewal is still at is left alone, and nothing else."""

from pathlib import Path

from barmand.model.wal import Segment
from barmand.storage.in_hand import InHand
from fakes import MB, segment_name


def test_while_nothing_runs_nothing_is_held() -> None:
    assert not InHand().holds(segment_name(1))


def test_what_came_since_the_beginning_is_held_until_it_is_finished(tmp_path: Path) -> None:
    in_hand = InHand()
    (tmp_path / segment_name(1)).touch()
    in_hand.begin(tmp_path)
    assert not in_hand.holds(segment_name(1))
    assert in_hand.holds(segment_name(2))
    in_hand.finished(Segment(1, 2), MB)
    assert not in_hand.holds(segment_name(2))
    assert in_hand.holds(segment_name(3))
    assert in_hand.holds(segment_name(3, timeline=2))
    in_hand.end()
    assert not in_hand.holds(segment_name(3))


def test_a_history_is_held_until_its_timeline_is_told(tmp_path: Path) -> None:
    in_hand = InHand()
    in_hand.begin(tmp_path)
    assert in_hand.holds("00000002.history")
    in_hand.switched(2)
    assert not in_hand.holds("00000002.history")
    assert in_hand.holds("00000003.history")
    in_hand.finished(Segment(3, 9), MB)
    assert not in_hand.holds("00000003.history")


def test_a_new_beginning_forgets_what_was_finished(tmp_path: Path) -> None:
    """After a recovery to an earlier point, the numbers begin lower."""
    in_hand = InHand()
    in_hand.begin(tmp_path)
    in_hand.finished(Segment(2, 9), MB)
    in_hand.end()
    in_hand.begin(tmp_path)
    assert in_hand.holds(segment_name(3))


def test_other_files_are_nobodys(tmp_path: Path) -> None:
    in_hand = InHand()
    in_hand.begin(tmp_path)
    paths = [tmp_path / name for name in ("notes", f"{segment_name(1)}.00000028.backup")]
    assert in_hand.free([*paths, tmp_path / segment_name(1)]) == paths
