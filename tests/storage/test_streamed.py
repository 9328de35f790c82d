"""streaming/ as pg_receivewal reads it."""

from pathlib import Path

from barmand.model.wal import Segment
from barmand.storage.streamed import Streamed, mark, mend_halves, streamed
from fakes import MB, lay_segment, segment_name, wal_segment


def half(folder: Path, number: int, content: bytes, timeline: int = 1) -> Path:
    path = folder / f"{segment_name(number, timeline=timeline)}.partial"
    path.write_bytes(content)
    return path


def test_only_segments_count_whole_or_half(tmp_path: Path) -> None:
    whole, part = lay_segment(tmp_path, 1), half(tmp_path, 2, b"")
    for name in ("00000002.history", "notes", f"{'0' * 16}FFFFFFFF"):
        (tmp_path / name).write_bytes(b"")
    assert streamed(tmp_path, MB) == [
        Streamed(whole, Segment(1, 1), is_half=False),
        Streamed(part, Segment(1, 2), is_half=True),
    ]


def test_it_goes_on_behind_a_whole_one_and_at_the_beginning_of_a_half_one(tmp_path: Path) -> None:
    lay_segment(tmp_path, 1)
    half(tmp_path, 7, b"", timeline=2)
    assert [each.following for each in streamed(tmp_path, MB)] == [Segment(1, 2), Segment(2, 7)]


def test_the_number_counts_before_the_timeline_and_whole_before_half(tmp_path: Path) -> None:
    lay_segment(tmp_path, 3, timeline=1)
    lay_segment(tmp_path, 2, timeline=2)
    half(tmp_path, 3, b"", timeline=1)
    half(tmp_path, 3, b"", timeline=2)
    ranked = sorted(streamed(tmp_path, MB), key=lambda each: each.rank)
    assert [(each.segment.timeline, each.segment.number, each.is_half) for each in ranked] == [
        (2, 2, False),
        (1, 3, True),
        (1, 3, False),
        (2, 3, True),
    ]


def test_a_half_of_a_size_that_pg_receivewal_refuses_is_filled_up_and_keeps_what_it_has(
    tmp_path: Path,
) -> None:
    content = wal_segment(1)[: MB // 3]
    short = half(tmp_path, 1, content)
    empty, full = half(tmp_path, 2, b""), half(tmp_path, 3, wal_segment(3))
    assert mend_halves(streamed(tmp_path, MB), MB) == []
    assert short.read_bytes() == content + bytes(MB - len(content))
    assert (empty.stat().st_size, full.read_bytes()) == (0, wal_segment(3))


def test_a_half_longer_than_a_segment_is_none_of_ours(tmp_path: Path) -> None:
    long = half(tmp_path, 1, bytes(MB + 1))
    assert mend_halves(streamed(tmp_path, MB), MB) == [long]


def test_a_mark_is_an_empty_half(tmp_path: Path) -> None:
    mark(tmp_path, Segment(2, 5), MB)
    (found,) = streamed(tmp_path, MB)
    assert (found.segment, found.is_half, found.path.stat().st_size) == (Segment(2, 5), True, 0)
