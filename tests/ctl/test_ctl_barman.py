"""What Barman's users type is understood, or answered by name with a way out."""

import subprocess
from collections.abc import Callable

import pytest

from barmand.ctl import arguments, barman, completion, help_page
from barmand.ctl.commands import ALIASES, COMMANDS
from barmand.model.errors import UsageError
from barmand.wire.messages import BackupListReply, ServersReply
from ctl import samples

Tell = Callable[..., tuple[int, str, str]]

BARMANS = """
archive-wal backup check check-backup check-wal-archive config-switch config-update cron delete
diagnose generate-manifest get-wal keep list-backup list-backups list-files list-processes
list-server list-servers lock-directory-cleanup put-wal rebuild-xlogdb receive-wal recover
replication-status restore show-backup show-backups show-server show-servers status switch-wal
switch-xlog sync-backup sync-info sync-wals terminate-process verify verify-backup
""".split()  # noqa: SIM905 - a list of forty words, easier to read so
"""Every command of Barman 3.17, by each of its spellings."""


@pytest.mark.parametrize("name", BARMANS)
def test_every_command_of_barman_is_ours_or_answered(name: str) -> None:
    if ALIASES.get(name, name) in COMMANDS:
        return
    with pytest.raises(UsageError, match="command of Barman's") as caught:
        arguments.parse([name, "main"])
    assert caught.value.hint


@pytest.mark.parametrize("command", ["switch-wal", "archive-wal", "replication-status"])
def test_all_is_refused_with_a_loop_where_one_server_is_asked_for(command: str) -> None:
    with pytest.raises(UsageError, match=f"{command} takes one server") as caught:
        arguments.parse([command, "all"])
    assert f"list-servers --minimal | while read -r server; do barmanctl {command}" in str(
        caught.value.hint
    )


def test_the_aliases_lead_to_commands() -> None:
    assert set(ALIASES.values()) <= set(COMMANDS)
    asked = arguments.parse(["rebuild-xlogdb", "main"])
    assert asked is not None
    assert asked.method == "rebuild"


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("restore main last /x --target-time now", "restore --target-time"),
        ("restore main last /x --target-xid=7", "restore --target-xid"),
        ("recover --jobs 4 main last /x", "restore --jobs"),
        ("restore --remote-ssh-command 'ssh x' main last /x", "restore --remote-ssh-command"),
        ("diagnose --show-config-source", "diagnose --show-config-source"),
        ("get-wal -z main 000000010000000000000001", "get-wal -z"),
        ("-c /etc/barman.conf check all", "-c"),
        ("--log-level DEBUG status", "--log-level"),
    ],
)
def test_an_option_of_barman_is_refused_by_name(line: str, named: str) -> None:
    with pytest.raises(UsageError) as caught:
        arguments.parse(line.split())
    assert caught.value.message == f"{named} is an option of Barman's that barmand does not have"
    assert caught.value.hint


def test_what_is_nobodys_option_stays_an_unknown_one() -> None:
    with pytest.raises(UsageError, match="unrecognized arguments: --frobnicate"):
        arguments.parse(["backup", "main", "--frobnicate"])


def test_what_barmand_has_learnt_goes_before() -> None:
    assert barman.about_options("restore", ["--target-time"], {"--target-time"}) is None
    assert barman.about_options("restore", ["--", "--target-time"], set()) is None


# ------------------------------------------------------------------------------------------- help


def test_every_command_has_its_group() -> None:
    grouped = help_page.grouped(COMMANDS)
    assert "others" not in grouped
    assert sorted(name for names in grouped.values() for name in names) == sorted(COMMANDS)


def test_help_is_a_command_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments.parse(["help"])
    page = capsys.readouterr().out
    assert all(f"  {name} " in page for name in COMMANDS)
    with pytest.raises(SystemExit):
        arguments.parse(["help", "verify-backup"])
    assert "barmanctl verify-backup" in capsys.readouterr().out


# ------------------------------------------------------------------------------------- completion


def completed(*words: str) -> list[str]:
    """What bash offers for the last of these words; no daemon tells servers' names."""
    script = completion.script("bash", COMMANDS)
    ask = f"COMP_WORDS=(barmanctl {' '.join(words)}); COMP_CWORD={len(words)}"
    ask += '; _barmanctl; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-c", f"barmanctl() {{ echo main; }}\n{script}\n{ask}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_options_and_servers() -> None:
    assert completed("verify") == ["verify-backup"]
    assert "--manifest-checksums" in completed("generate-manifest", "--man")
    assert completed("-f", "json", "check", "m") in (["main"], [])
    assert completed("check", "m") == ["main"]


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_each_shell_gets_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = arguments.parse(["completion", shell])
    assert asked is not None
    assert asked.act is not None
    assert asked.act(asked) == 0
    assert "list-backups" in capsys.readouterr().out


def test_only_the_names(tell: Tell) -> None:
    backups = BackupListReply(backups=[samples.backup(), samples.queued(backup_id="2")])
    assert tell("list-backups --minimal", backups)[1] == f"{samples.ID}\n2\n"
    servers = ServersReply(servers=[samples.server(), samples.server(server="new")])
    assert tell("list-servers --minimal", servers)[1] == "main\nnew\n"
