"""What the settings come to where rooms meet: what a reload changed, and who cannot be served."""

from pathlib import Path

import pytest

from barmand.fittings import host_of
from barmand.model.changes import OptionChange
from barmand.settings import ini
from barmand.settings.schema import Settings
from barmand.wiring import changes_between, judged_by_doors

HOOK = "post_backup_script = curl -u barmand:{} https://ring.example/done"


def read(file: Path, server: str) -> Settings:
    file.write_text(
        "[barmand]\nbarman_home = /srv/barman\n"
        f"[main]\nconninfo = host=pg\nbackup_method = postgres\narchiver = on\n{server}\n"
    )
    return ini.read(file)


def changed(folder: Path, before: str, after: str) -> tuple[OptionChange, ...]:
    file = folder / "barmand.ini"
    (change,) = changes_between(read(file, before), read(file, after)).servers
    return change.options


def test_a_secret_in_a_command_is_not_told_of_a_reload(tmp_path: Path) -> None:
    (told,) = changed(tmp_path, "", HOOK.format("s3cret"))
    assert told.option == "post_backup_script"
    assert "s3cret" not in told.after
    assert "curl -u barmand:***" in told.after


def test_another_secret_in_the_same_command_is_told_as_such(tmp_path: Path) -> None:
    (told,) = changed(tmp_path, HOOK.format("s3cret"), HOOK.format("n3wer"))
    assert told.after == "the same with another secret"


def of_method(folder: Path, method: str, ssh_command: str) -> Settings:
    file = folder / "barmand.ini"
    file.write_text(
        "[barmand]\nbarman_home = /srv/barman\n"
        f"[main]\nconninfo = host=pg\nbackup_method = {method}\nssh_command = {ssh_command}\n"
        "[well]\nconninfo = host=pg\nbackup_method = postgres\n"
    )
    return judged_by_doors(ini.read(file))


@pytest.mark.parametrize(
    ("ssh_command", "why"),
    [
        ("ssh", "'ssh' is not a program and a host."),
        ("ssh -v", "'ssh -v' is not a program and a host."),
        ("ssh -p 2222", "'ssh -p 2222' is not a program and a host."),
        ("ssh -4 -i /keys/db1", "'ssh -4 -i /keys/db1' is not a program and a host."),
        ("ssh 'postgres@db1", '"ssh \'postgres@db1" is not a program and a host: no closing quot'),
        ("ssh postgres@db1\\", "is not a program and a host: no escaped character."),
    ],
)
def test_an_ssh_command_that_leads_nowhere_puts_its_server_aside(
    tmp_path: Path, ssh_command: str, why: str
) -> None:
    judged = of_method(tmp_path, "rsync", ssh_command)
    (problem,) = map(str, judged.broken["main"])
    assert list(judged.servers) == ["well"]
    assert problem.startswith(f"{tmp_path / 'barmand.ini'}: [main] ssh_command: ssh_command ")
    assert why in problem
    assert problem.endswith("Write it like: ssh postgres@db1")
    assert problem in map(str, judged.problems)


@pytest.mark.parametrize("method", ["postgres", "local", "local-rsync"])
def test_who_goes_without_ssh_is_served_whatever_its_ssh_command(
    tmp_path: Path, method: str
) -> None:
    judged = of_method(tmp_path, method, "ssh 'postgres@db1")
    assert sorted(judged.servers) == ["main", "well"]
    assert host_of(judged.servers["main"]) == "pg"


def test_a_whole_ssh_command_is_taken(tmp_path: Path) -> None:
    judged = of_method(tmp_path, "rsync", "ssh -p 2222 'postgres@DB1'")
    assert judged.problems == ()
    assert host_of(judged.servers["main"]) == "db1"
