"""Whole directories, in which no symlink is ever followed."""

import os
from pathlib import Path
from threading import Event

import pytest

from barmand.model.errors import Stopped, StorageFailed
from barmand.storage import disk, trees


class After:
    """Set after so many questions."""

    def __init__(self, questions: int) -> None:
        self.left = questions

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files, a hard link, links in and out, and directories that forbid to write."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"keep me")
    root = tmp_path / "tree"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "one").write_bytes(b"1" * 1000)
    (root / "sub" / "two").write_bytes(b"2" * 200)
    (root / "sub" / "three").hardlink_to(root / "sub" / "two")
    (root / "sub" / "deep" / "four").write_bytes(b"4" * 30)
    (root / "out").symlink_to(outside)
    (root / "sub" / "dangling").symlink_to("../nowhere")
    os.utime(root / "one", ns=(10**18, 10**18 + 5))
    (root / "one").chmod(0o640)
    (root / "sub" / "deep").chmod(0o500)
    os.utime(root / "sub", ns=(10**18, 10**18 + 7))
    return root


def shape(root: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for folder, folders, files in os.walk(root):
        for path in (Path(folder, name) for name in (*folders, *files)):
            facts = path.lstat()
            held: object = None
            if path.is_symlink():
                held = path.readlink()
            elif path.is_file():
                held = path.read_bytes()
            found[str(path.relative_to(root))] = (facts.st_mode, facts.st_mtime_ns, held)
    return found


def test_size_counts_files_and_those_without_another_link(tree: Path) -> None:
    assert trees.tree_size(tree) == (1430, 1030)


def test_the_size_of_what_is_missing_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="cannot list"):
        trees.tree_size(tmp_path / "missing")


def test_a_tree_is_removed_and_what_its_links_point_to_is_not(tree: Path) -> None:
    trees.remove_tree(tree, Event())
    trees.remove_tree(tree, None)
    assert not tree.exists()
    assert (tree.parent / "outside" / "precious").read_bytes() == b"keep me"


def test_a_link_to_a_tree_is_removed_as_a_link(tree: Path) -> None:
    link = tree.parent / "link"
    link.symlink_to(tree)
    trees.remove_tree(link, None)
    assert not link.is_symlink()
    assert (tree / "one").exists()


def test_removing_below_a_missing_directory_is_fine(tmp_path: Path) -> None:
    trees.remove_tree(tmp_path / "no" / "where", None)


def test_a_removal_that_was_stopped_goes_on(tree: Path) -> None:
    with pytest.raises(Stopped):
        trees.remove_tree(tree, After(2))
    assert tree.exists()
    trees.remove_tree(tree, After(100))
    assert not tree.exists()


def test_a_copy_is_the_same_tree(tree: Path) -> None:
    steps: list[int] = []
    target = tree.parent / "copy"
    assert trees.copy_tree(tree, target, Event(), steps.append) == 1430
    assert sum(steps) == 1430
    assert shape(target) == shape(tree)
    assert target.stat().st_mode == tree.stat().st_mode


def test_a_copy_goes_into_an_empty_directory_and_to_an_owner(tree: Path) -> None:
    target = tree.parent / "copy"
    target.mkdir()
    trees.copy_tree(tree, target, Event(), lambda _: None, owner=(os.getuid(), os.getgid()))
    assert shape(target) == shape(tree)


def test_a_copy_never_overwrites(tree: Path) -> None:
    target = tree.parent / "copy"
    target.mkdir()
    (target / "one").write_bytes(b"mine")
    with pytest.raises(StorageFailed, match="File exists"):
        trees.copy_tree(tree, target, Event(), lambda _: None)
    assert (target / "one").read_bytes() == b"mine"


def test_a_copy_stops_between_files_and_within_one(tree: Path) -> None:
    for questions in (0, 1, 2, 4):
        with pytest.raises(Stopped):
            trees.copy_tree(
                tree, tree.parent / f"copy{questions}", After(questions), lambda _: None
            )


def test_what_cannot_be_copied_is_never_left_out_silently(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    with pytest.raises(StorageFailed, match="pipe: it is not a regular file"):
        trees.copy_tree(tree, tree.parent / "copy", Event(), lambda _: None)


def test_a_copy_of_what_is_missing_is_a_failure(tree: Path) -> None:
    with pytest.raises(StorageFailed, match=r"cannot list .*missing: No such file"):
        trees.copy_tree(tree / "missing", tree.parent / "copy", Event(), lambda _: None)


def test_a_copy_without_a_parent_is_refused(tree: Path) -> None:
    with pytest.raises(StorageFailed, match="cannot make directory"):
        trees.copy_tree(tree, tree.parent / "no" / "where", Event(), lambda _: None)


@pytest.mark.parametrize("as_a_whole", [True, False])
def test_a_tree_is_synced_either_way(
    tree: Path, monkeypatch: pytest.MonkeyPatch, *, as_a_whole: bool
) -> None:
    monkeypatch.setattr(trees, "_SYNC_AS_A_WHOLE", as_a_whole)
    trees.sync_tree(tree)
    with disk.held_open(tree) as since:
        trees.sync_tree(tree, since)
    with pytest.raises(StorageFailed, match="missing: No such file"):
        trees.sync_tree(tree / "missing")


def test_a_tree_is_synced_by_what_was_open_before_it_was_written(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only that descriptor tells of a write that failed, and of which another one's syncfs knew."""
    synced: list[int] = []
    monkeypatch.setattr(trees, "sync_file_system", synced.append)
    with disk.held_open(tree) as since:
        trees.sync_tree(tree, since)
        assert synced == [since]


@pytest.mark.parametrize(
    ("release", "tells"),
    [
        ("5.7.19-generic", False),
        ("5.8.0", True),
        ("6.18.44-fc", True),
        ("4.19.0-21-amd64", False),
        ("5.10-rc1", True),
    ],
)
def test_syncfs_is_trusted_where_the_kernel_tells_its_errors(release: str, *, tells: bool) -> None:
    assert trees._syncfs_tells_errors(release) is tells


def test_depth_is_no_recursion(tmp_path: Path) -> None:
    deep = tmp_path / "t"
    for _ in range(1200):
        deep.mkdir()
        deep = deep / "d"
    trees.remove_tree(tmp_path / "t", None)
    assert not (tmp_path / "t").exists()
