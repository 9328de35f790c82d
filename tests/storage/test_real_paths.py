"""Links are followed for as long as the disk answers."""

from pathlib import Path
from threading import Event

from barmand.storage.real_paths import real_paths


def test_links_are_followed_as_far_as_the_path_is_there(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "loop").symlink_to("loop")
    missing, loop = tmp_path / "link" / "not" / "yet", tmp_path / "loop" / "x"
    assert real_paths([missing, loop]) == {missing: tmp_path / "real" / "not" / "yet", loop: loop}


def test_a_disk_that_hangs_is_left_behind(tmp_path: Path) -> None:
    dead, over = tmp_path / "dead", Event()

    def follow(path: Path) -> Path:
        if path == dead:
            over.wait()
        return path

    found = real_paths([tmp_path, dead, tmp_path / "later"], seconds=0.1, follow=follow)
    over.set()
    assert found == {tmp_path: tmp_path}
