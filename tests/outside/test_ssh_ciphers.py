"""Only where nobody has chosen a cipher is the order ours. Asked of the real ssh."""

from pathlib import Path
from threading import Event

import pytest

from barmand.outside import ssh_ciphers
from barmand.outside.ssh_ciphers import quick_ciphers

PLAIN = ("ssh", "-F", "none", "postgres@db1")


@pytest.fixture(autouse=True)
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of the usual kind, whatever this one is."""
    facts = tmp_path / "cpuinfo"
    facts.write_text("processor : 0\nflags : fpu vme sse2 aes avx2\n")
    monkeypatch.setattr(ssh_ciphers, "_PROCESSOR", facts)
    return facts


def chosen(words: tuple[str, ...]) -> str | None:
    return quick_ciphers(words, Event())


def offered(*options: str) -> list[str]:
    told: list[str] = []
    ssh_ciphers.run(["ssh", *options, "-G", "db1"], stop=Event(), on_line=told.append)
    return next(line for line in told if line.startswith("ciphers ")).split()[1].split(",")


def test_what_the_processor_computes_comes_first_and_nothing_is_lost() -> None:
    found = chosen(PLAIN)
    assert found is not None
    assert found.split(",")[0] == "aes128-gcm@openssh.com"
    assert sorted(found.split(",")) == sorted(offered("-F", "none"))


def test_a_processor_without_aes_leaves_the_order(processor: Path) -> None:
    processor.write_text("flags : fpu vme sse2 avx2 vaesni\n")
    assert chosen(PLAIN) is None
    processor.unlink()
    assert chosen(PLAIN) is None


@pytest.mark.parametrize(
    "options",
    [
        ("-c", "aes256-ctr"),
        ("-o", "Ciphers=aes256-gcm@openssh.com,aes128-gcm@openssh.com"),
        ("-oCiphers=-chacha20-poly1305@openssh.com",),
        ("-o", "Ciphers=^aes256-ctr"),
    ],
)
def test_whoever_names_ciphers_in_ssh_command_is_obeyed(options: tuple[str, ...]) -> None:
    assert chosen(("ssh", "-F", "none", *options, "postgres@db1")) is None


def test_whoever_names_ciphers_in_the_configuration_is_obeyed_for_that_host(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host db2\n  Ciphers aes256-ctr\n")
    assert chosen(("ssh", "-F", str(config), "postgres@db2")) is None
    assert chosen(("ssh", "-F", str(config), "postgres@db1")) == chosen(PLAIN)


def test_what_is_not_ssh_or_does_not_answer_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "connect"
    other.write_text('#!/bin/sh\nexec ssh -F none "$@"\n')
    other.chmod(0o755)
    assert chosen((str(other), "postgres@db1")) is None
    broken = tmp_path / "ssh"
    broken.write_text("#!/bin/sh\necho 'unknown option -- G'; exit 255\n")
    broken.chmod(0o755)
    assert chosen((str(broken), "postgres@db1")) is None
