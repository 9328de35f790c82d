"""The places of a restore, and the fragment that becomes one."""

import os
from pathlib import Path

import pytest

from barmand.model.errors import Refused, Stopped, StorageFailed
from barmand.storage.restored import FRAGMENT, Destination, Fragment
from fakes import Stop

GID = 12_345


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    for name in ("global", "base", "pg_tblspc"):
        (folder / name).mkdir(parents=True)
    (folder / "global/pg_control").write_bytes(b"control")
    (folder / "base/1259").write_bytes(b"pg_class")
    folder.chmod(0o750)
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Destination:
    return Destination(tmp_path / "new" / "data")


def filled(place: Destination, source: Path) -> Fragment:
    fragment = place.begin()
    fragment.fill(source, Stop(), lambda _count: None)
    return fragment


def test_a_fragment_is_hidden_in_its_destination(place: Destination, source: Path) -> None:
    fragment = filled(place, source)
    assert [path.name for path in place.path.iterdir()] == [FRAGMENT]
    assert (fragment.path / "global/pg_control").read_bytes() == b"control"


def test_it_takes_its_place_with_the_mode_of_what_it_was_made_from(
    place: Destination, source: Path
) -> None:
    fragment = filled(place, source)
    fragment.sync()
    fragment.take_place()
    assert sorted(path.name for path in place.path.iterdir()) == ["base", "global", "pg_tblspc"]
    assert place.path.stat().st_mode & 0o777 == 0o750


def test_global_comes_last(place: Destination, source: Path) -> None:
    """Something is in the way of another folder: PostgreSQL must not find `global` then."""
    (source / "z").mkdir()
    fragment = filled(place, source)
    (place.path / "z").mkdir()
    (place.path / "z" / "in the way").touch()
    with pytest.raises(StorageFailed, match="cannot move to"):
        fragment.take_place()
    assert not (place.path / "global").exists()


def test_what_is_cleared_is_gone_and_nothing_else(place: Destination, source: Path) -> None:
    fragment = filled(place, source)
    (place.path / "other").touch()
    fragment.clear()
    fragment.clear()
    assert [path.name for path in place.path.iterdir()] == ["other"]


def test_two_do_not_begin_in_one_place(place: Destination) -> None:
    place.begin()
    with pytest.raises(Refused, match="not empty any more"):
        place.begin()


def test_a_stop_ends_the_filling(place: Destination, source: Path) -> None:
    with pytest.raises(Stopped):
        place.begin().fill(source, Stop(after=1), lambda _count: None)


def test_a_link_of_a_tablespace_is_replaced(place: Destination, source: Path) -> None:
    (source / "pg_tblspc/16385").symlink_to("/srv/live")
    fragment = filled(place, source)
    fragment.link_tablespace(16385, Path("/srv/new"))
    assert (fragment.path / "pg_tblspc/16385").readlink() == Path("/srv/new")
    assert (source / "pg_tblspc/16385").readlink() == Path("/srv/live")


def test_settings_come_behind_those_that_were_there(place: Destination, source: Path) -> None:
    (source / "postgresql.auto.conf").write_text("work_mem = '1MB'\n")
    fragment = filled(place, source)
    fragment.tell_postgres(["archive_mode = 'off'", "restore_command = 'cp'"])
    assert (fragment.path / "postgresql.auto.conf").read_text().splitlines() == [
        "work_mem = '1MB'",
        "# written by barmand's restore",
        "archive_mode = 'off'",
        "restore_command = 'cp'",
    ]
    assert (source / "postgresql.auto.conf").read_text() == "work_mem = '1MB'\n"


def calmed(place: Destination, source: Path, *lines: str) -> tuple[Fragment, bool, list[str]]:
    """The fragment, whether it lacks settings, and what its postgresql.conf says then."""
    (source / "postgresql.conf").write_text("\n".join(lines) + "\n")
    fragment = filled(place, source)
    lacks = fragment.calm()
    return fragment, lacks, (fragment.path / "postgresql.conf").read_text().splitlines()


def test_what_is_included_and_is_not_here_is_silenced(place: Destination, source: Path) -> None:
    (source / "own.d").mkdir()
    lines = [
        "include_dir 'own.d'  # here",
        "  INCLUDE = extra.conf",
        "include_if_exists = 'perhaps.conf'",
        "include '/etc/elsewhere.conf'",
        "include_dir '/etc/elsewhere.d'",
        "include_dir '../beside.d'",
        "include '../beside.conf'",
        "include = 'postgresql.conf'",
    ]
    place.path.mkdir(parents=True)
    fragment, lacks, after = calmed(place, source, *lines)
    assert lacks
    silenced = {1, 3, 4, 5, 6}
    assert after == [
        f"#barmand# {line}" if number in silenced else line for number, line in enumerate(lines)
    ]
    assert [path.name for path in place.path.iterdir()] == [fragment.path.name]


@pytest.mark.parametrize("name", ["conf.d", "more/conf.d", "./conf.d"])
def test_a_folder_that_is_included_and_is_not_here_is_made(
    place: Destination, source: Path, name: str
) -> None:
    line = f"include_dir = '{name}'\t# of Debian"
    fragment, lacks, after = calmed(place, source, line)
    assert lacks
    assert after == [line]
    assert list((fragment.path / name).iterdir()) == []
    assert (fragment.path / name).stat().st_mode & 0o777 == 0o700
    assert not (source / name).exists()


def test_a_configuration_that_lacks_nothing_stays_as_it_is(
    place: Destination, source: Path
) -> None:
    _, lacks, after = calmed(place, source, "port = 5432", "#include_dir = 'conf.d'")
    assert not lacks
    assert after == ["port = 5432", "#include_dir = 'conf.d'"]


def test_without_a_configuration_none_is_lacking(place: Destination, source: Path) -> None:
    assert not filled(place, source).calm()


@pytest.mark.skipif(os.geteuid() == 0, reason="root sees everything")
def test_what_cannot_be_seen_is_not_here(place: Destination, source: Path) -> None:
    closed = source.parent / "closed"
    closed.mkdir(mode=0)
    _, lacks, after = calmed(place, source, f"include '{closed}/extra.conf'")
    assert lacks
    assert after[0].startswith("#barmand#")


def test_settings_are_written_where_there_were_none(place: Destination, source: Path) -> None:
    fragment = filled(place, source)
    fragment.tell_postgres(["restore_command = 'cp'"])
    assert "restore_command = 'cp'" in (fragment.path / "postgresql.auto.conf").read_text()


@pytest.mark.root
def test_when_root_restores_all_belongs_to_the_owner_of_the_destination(
    place: Destination, source: Path
) -> None:
    assert os.geteuid() == 0
    place.path.mkdir(parents=True)
    os.chown(place.path, GID, GID)
    archived = source.parent / "000000010000000000000001"
    archived.write_bytes(b"wal")
    (source / "postgresql.conf").write_text("include_dir = 'more/conf.d'")
    fragment = filled(place, source)
    fragment.link_tablespace(16385, Path("/srv/new"))
    fragment.make_wal_folder()
    fragment.add_wal(archived)
    assert fragment.calm()
    fragment.tell_postgres([])
    fragment.take_place()
    owners = {(path.lstat().st_uid, path.lstat().st_gid) for path in place.path.rglob("*")}
    assert owners == {(GID, GID)}


def test_a_destination_within_a_forbidden_folder_that_is_a_link_is_refused(
    tmp_path: Path,
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(Refused, match="own ground"):
        Destination(tmp_path / "real" / "new").refuse_unless_usable([tmp_path / "link"])


def test_a_destination_around_a_forbidden_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="own ground"):
        Destination(tmp_path).refuse_unless_usable([tmp_path / "home"])
