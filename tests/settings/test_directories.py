"""Directories of servers, and the daemon's: which may lie in which, wherever links lead."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from barmand.settings import ini
from barmand.settings.directories import FollowLinks, as_written
from barmand.settings.schema import Settings
from barmand.storage.real_paths import real_paths

SERVER = "conninfo = host=pg\nbackup_method = postgres\narchiver = on\n"
APART = "give each a folder of its own"
OUT = "move one of them out of the other"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """`barman_home`."""
    return tmp_path / "barman"


def read(
    home: Path, follow: FollowLinks = as_written, daemon: str = "", **servers: str
) -> Settings:
    """The options of [barmand], and of each server; `HOME` is `barman_home`."""
    sections = "".join(f"[{name}]\n{SERVER}{options}\n" for name, options in servers.items())
    text = f"[barmand]\nbarman_home = HOME\n{daemon}\n{sections}".replace("HOME", str(home))
    config = home.parent / "barmand.ini"
    config.write_text(text)
    return ini.read(config, follow)


def told(settings: Settings, home: Path) -> dict[str, list[str]]:
    """What each server that is put aside was told, as (option, message)."""
    return {
        name: [f"{each.key}: {each.message}".replace(str(home), "HOME") for each in problems]
        for name, problems in settings.broken.items()
    }


# -------------------------------------------------------------------------------------- what is one
def test_servers_that_share_a_directory_are_both_set_aside(home: Path) -> None:
    settings = read(home, a="", b="wals_directory = HOME/a//wals/", c="")
    assert list(settings.servers) == ["c"]
    assert told(settings, home) == {
        "a": [f"wals_directory: HOME/a/wals is also wals_directory of [b]: {APART}"],
        "b": [f"wals_directory: HOME/a/wals is also wals_directory of [a]: {APART}"],
    }


def test_three_servers_in_one_directory_each_name_the_others_once(home: Path) -> None:
    same = "backup_directory = HOME/same"
    assert told(read(home, a=same, b=same, c=same), home)["a"] == [
        f"backup_directory: HOME/same is also backup_directory of [b]: {APART}",
        f"backup_directory: HOME/same is also backup_directory of [c]: {APART}",
    ]


def test_a_server_cannot_use_one_directory_for_two_things(home: Path) -> None:
    settings = read(home, pg="errors_directory = HOME/pg/incoming")
    assert told(settings, home)["pg"] == [
        f"incoming_wals_directory: HOME/pg/incoming is also errors_directory of [pg]: {APART}"
    ]


def test_two_names_of_one_directory_are_found(home: Path) -> None:
    (home / "real").mkdir(parents=True)
    (home / "link").symlink_to("real")
    a, b = "backup_directory = HOME/real", "backup_directory = HOME/link"
    link = "HOME/link (which leads to HOME/real)"
    assert told(read(home, real_paths, a=a, b=b), home) == {
        "a": [f"backup_directory: HOME/real is also backup_directory of [b] ({link}): {APART}"],
        "b": [f"backup_directory: {link} is also backup_directory of [a] (HOME/real): {APART}"],
    }


def test_a_link_above_a_directory_that_is_not_there_yet_is_followed(home: Path) -> None:
    (home / "real").mkdir(parents=True)
    (home / "link").symlink_to(home / "real")
    servers = {"a": "wals_directory = HOME/real/wal/a", "b": "wals_directory = HOME/link/wal/a"}
    assert list(told(read(home, real_paths, **servers), home)) == ["a", "b"]


# ---------------------------------------------------------------------- what lies in something else
OWN = ("incoming_wals_directory", "streaming_wals_directory", "errors_directory")


@pytest.mark.parametrize("option", OWN)
@pytest.mark.parametrize(
    ("folder", "store"),
    [("wals", "wals_directory"), ("base", "basebackups_directory")],
)
def test_one_of_a_servers_directories_cannot_lie_in_another(
    home: Path, option: str, folder: str, store: str
) -> None:
    settings = read(home, pg=f"{option} = HOME/pg/{folder}/deep/down")
    assert told(settings, home)["pg"] == [
        f"{option}: HOME/pg/{folder}/deep/down lies in {store} of [pg] (HOME/pg/{folder}): {OUT}"
    ]


def test_every_one_is_told_at_once(home: Path) -> None:
    options = "\n".join(f"{option} = HOME/pg/wals/{number}" for number, option in enumerate(OWN))
    settings = read(home, pg=f"{options}\nbasebackups_directory = HOME/pg/meta")
    assert [each.key for each in settings.broken["pg"]] == ["backup_directory", *OWN]
    assert "HOME/pg/meta is also basebackups_directory" in told(settings, home)["pg"][0]


@pytest.mark.parametrize("folder", ["base", "wals", "incoming", "streaming", "errors", "meta"])
def test_nothing_of_a_server_may_lie_in_what_another_keeps(home: Path, folder: str) -> None:
    settings = read(home, a="", b=f"backup_directory = HOME/a/{folder}/b", c="")
    assert list(settings.servers) == ["c"]
    (a,), (b,) = told(settings, home).values()
    assert f"HOME/a/{folder} holds backup_directory of [b] (HOME/a/{folder}/b): {OUT}" in a
    assert b.startswith(f"backup_directory: HOME/a/{folder}/b lies in ")
    assert b.endswith(f" of [a] (HOME/a/{folder}): {OUT}")


def test_who_takes_the_home_of_all_is_to_blame_alone(home: Path) -> None:
    settings = read(home, a="basebackups_directory = HOME", b="")
    assert list(settings.servers) == ["b"]
    assert told(settings, home)["a"] == [
        f"basebackups_directory: HOME is also barman_home: {APART}"
    ]
    settings = read(home, a=f"wals_directory = {home.parent}", b="")
    assert told(settings, home)["a"] == [
        f"wals_directory: {home.parent} holds barman_home (HOME): {OUT}"
    ]


# ------------------------------------------------------------------------------------ barmand's own
@pytest.mark.parametrize(
    ("state", "server", "words"),
    [
        ("HOME/s", "backup_directory = HOME/s", "backup_directory: HOME/s is also state_directory"),
        (
            "HOME/s",
            "backup_directory = HOME/s/pg",
            "backup_directory: HOME/s/pg lies in state_directory (HOME/s)",
        ),
        (
            "HOME/s",
            "errors_directory = HOME/s/x",
            "errors_directory: HOME/s/x lies in state_directory (HOME/s)",
        ),
        ("HOME/pg", "", "backup_directory: HOME/pg is also state_directory"),
        ("HOME", "", "backup_directory: HOME/pg lies in state_directory (HOME)"),
        (
            "HOME/w/s",
            "wals_directory = HOME/w",
            "wals_directory: HOME/w holds state_directory (HOME/w/s)",
        ),
        ("HOME/pg/s", "", "backup_directory: HOME/pg holds state_directory (HOME/pg/s)"),
    ],
)
def test_the_state_lies_apart_from_what_a_server_keeps(
    home: Path, state: str, server: str, words: str
) -> None:
    settings = read(home, daemon=f"state_directory = {state}", pg=server)
    found = told(settings, home)["pg"]
    assert words in {each.rpartition(": ")[0] for each in found}
    assert all("state_directory" in each for each in found)


# ------------------------------------------------------------------------------- what is no problem
@pytest.mark.parametrize(
    "options",
    [
        "",
        "wals_directory = /other/disk/wals",
        "basebackups_directory = /a/base\nwals_directory = /b/wals\nerrors_directory = /c",
        "backup_directory = HOME",
        "backup_directory = HOME/elsewhere/pg\nincoming_wals_directory = HOME/in",
        "basebackups_directory = HOME/other/base",  # beside the folders of [other]
        "backup_directory = HOME/other/pg",
        "wals_directory = HOME/walls\nerrors_directory = HOME/wallserrors",
    ],
)
def test_folders_that_are_apart_may_lie_anywhere(home: Path, options: str) -> None:
    other = "backup_directory = HOME/other\nbasebackups_directory = HOME/other/backups"
    state = f"state_directory = {home}-state"
    assert told(read(home, real_paths, state, pg=options, other=other), home) == {}


def test_the_state_may_lie_in_the_home_of_all(home: Path) -> None:
    assert told(read(home, daemon="state_directory = HOME/.barmand", pg=""), home) == {}


def test_where_a_disk_gives_no_answer_directories_count_as_written(home: Path) -> None:
    def silent(paths: Iterable[Path]) -> Mapping[Path, Path]:
        return {path: path for path in paths if not path.is_relative_to(home / "pg")}

    settings = read(home, silent, pg="errors_directory = HOME/pg/incoming", other="")
    assert list(told(settings, home)) == ["pg"]
    (warning,) = settings.warnings
    assert f"backup_directory of [pg], {home}/pg, gave no answer" in warning.message
    assert "links are not followed of 7 directories" in warning.message


def test_a_thousand_servers_are_judged_in_no_time(home: Path) -> None:
    servers = {f"s{number}": f"wals_directory = /wal/s{number}" for number in range(1000)}
    assert len(read(home, real_paths, **servers).servers) == 1000
