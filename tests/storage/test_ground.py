"""Does the disk look like ours? A complaint, and never an exception."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from barmand.storage.ground import complaint
from barmand.storage.layout import Layout
from fakes import layout_in

as_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
FOLDERS = ("", "base", "meta", "wals", "streaming")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = layout_in(tmp_path / "parent" / "home")
    made.prepare()
    return made


@pytest.fixture
def locked_parent(layout: Layout) -> Iterator[None]:
    layout.home.parent.chmod(0)
    yield
    layout.home.parent.chmod(0o700)


def test_good_ground_is_nothing_to_complain_of(layout: Layout) -> None:
    assert complaint(layout, is_known=False) is None
    layout.identity.write_text("{}")
    assert complaint(layout, is_known=True) is None


def test_the_home_of_a_known_server_has_its_identity(layout: Layout) -> None:
    words = complaint(layout, is_known=True)
    assert words is not None
    assert words.startswith(f"{layout.identity} is missing")


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_is_not_there_is_named(layout: Layout, name: str) -> None:
    shutil.rmtree(layout.home / name)
    assert complaint(layout, is_known=False) == f"{layout.home / name} does not exist"


def test_a_file_in_a_folders_place_is_none(layout: Layout) -> None:
    layout.base.rmdir()
    layout.base.touch()
    assert complaint(layout, is_known=False) == f"{layout.base} does not exist"


@as_user
@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("mode", [0o500, 0o600])
def test_a_folder_that_cannot_be_written_is_named(layout: Layout, name: str, mode: int) -> None:
    if (name, mode) == ("", 0o600):
        pytest.skip("nothing below it can be seen then; the next test has that")
    (layout.home / name).chmod(mode)
    words = complaint(layout, is_known=False)
    (layout.home / name).chmod(0o700)
    assert words is not None
    assert words.startswith(f"{layout.home / name} cannot be written")


@as_user
@pytest.mark.usefixtures("locked_parent")
@pytest.mark.parametrize("is_known", [True, False])
def test_a_home_that_cannot_be_looked_at_is_a_complaint(layout: Layout, *, is_known: bool) -> None:
    words = complaint(layout, is_known=is_known)
    assert words == f"cannot look at {layout.home}: Permission denied"
