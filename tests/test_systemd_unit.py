"""systemd accepts the unit, its drop-in, the user, the folders and the journal's catalogue."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from barmand.service.journal import MESSAGE_IDS

SYSTEMD = Path(__file__).parents[1] / "systemd"


def run(*argv: str | Path) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that exists here; nothing else is changed."""
    text = (SYSTEMD / "barmand.service").read_text()
    assert "ExecStart=/opt/barmand/bin/barmand --config /etc/barmand.conf\n" in text
    unit = tmp_path / "barmand.service"
    unit.write_text(text.replace("/opt/barmand/bin/barmand", "/bin/true"))
    return unit


def test_the_unit_is_clean(unit: Path) -> None:
    assert run("systemd-analyze", "verify", "--man=no", unit) == ""


def test_the_unit_with_its_hardening_is_clean(unit: Path) -> None:
    drop_in = unit.with_name("barmand.service.d") / "hardening.conf"
    drop_in.parent.mkdir()
    shutil.copy(SYSTEMD / "hardening.conf", drop_in)
    assert run("systemd-analyze", "verify", "--man=no", unit) == ""


def test_the_unit_takes_no_rights_from_a_hook() -> None:
    """Each of these implies NoNewPrivileges, or narrows what sudo in a hook may regain."""
    text = (SYSTEMD / "barmand.service").read_text()
    taken = re.findall(
        r"^(NoNewPrivileges|CapabilityBoundingSet|DynamicUser|LockPersonality|MemoryDeny\w+"
        r"|PrivateDevices|PrivateTmp|ProtectClock|ProtectHome|ProtectHostname|ProtectKernel\w+"
        r"|Restrict(?!PreventExit)\w+|SystemCall\w+)=",
        text,
        re.MULTILINE,
    )
    assert taken == []


def test_the_user_is_understood() -> None:
    assert "barmand" in run("systemd-sysusers", "--dry-run", SYSTEMD / "barmand.sysusers.conf")


def test_the_folders_are_understood(tmp_path: Path) -> None:
    """Made under another root, with a prefix that matches nothing: read, judged, nothing done."""
    (tmp_path / "etc").mkdir()
    shutil.copy("/etc/passwd", tmp_path / "etc/passwd")
    shutil.copy("/etc/group", tmp_path / "etc/group")
    with (tmp_path / "etc/passwd").open("a") as passwd:
        passwd.write("barmand:x:64999:64999::/var/lib/barmand:/bin/bash\n")
    with (tmp_path / "etc/group").open("a") as group:
        group.write("barmand:x:64999:\n")
    said = run(
        "systemd-tmpfiles",
        "--create",
        "--prefix=/nowhere",
        f"--root={tmp_path}",
        SYSTEMD / "barmand.tmpfiles.conf",
    )
    assert said == ""


def test_the_catalogue_explains_every_message(tmp_path: Path) -> None:
    text = (SYSTEMD / "barmand.catalog").read_text()
    identifiers = re.findall(r"^-- ([0-9a-f]{32})$", text, re.MULTILINE)
    assert sorted(identifiers) == sorted(MESSAGE_IDS.values())

    folder = tmp_path / "usr/lib/systemd/catalog"
    folder.mkdir(parents=True)
    shutil.copy(SYSTEMD / "barmand.catalog", folder)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    assert run("journalctl", f"--root={tmp_path}", "--update-catalog") == ""

    listed = run("journalctl", f"--root={tmp_path}", "--list-catalog")
    assert sorted(identifiers) == sorted(line.split()[0] for line in listed.splitlines())
