"""Which cipher a large copy over ssh should take, where nobody has chosen one.

OpenSSH offers chacha20-poly1305 first, on any machine. Where the processor has instructions for
AES, AES-GCM takes a fraction of its work, and two busy ends of a copy have better things to do.
Only the order is ours: whoever names ciphers in ssh_command, in ssh's configuration or in the
system's policy is obeyed. Source: ssh_config(5), Ciphers; ssh(1), -G.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from barmand.outside.process import Stop, run
from barmand.outside.ssh import transport

_QUICK = re.compile(r"aes\d+-gcm@openssh\.com")
_CIPHERS = "ciphers "
_PROCESSOR = Path("/proc/cpuinfo")
_SECONDS = 15
"""Nothing is connected to, but `Match exec` in a configuration may do what it likes."""


def quick_ciphers(ssh_command: Sequence[str], stop: Stop) -> str | None:
    """All that ssh would offer, quickest first; None where the order is to be as it is.

    Raises ConfigInvalid for what is no ssh_command, Stopped.
    """
    way = transport(ssh_command, _SECONDS, _SECONDS)
    ssh = next((n for n, word in enumerate(way.command) if word.rpartition("/")[2] == "ssh"), None)
    if ssh is None or not _computes_aes():
        return None
    offered = _ciphers([*way.command, "-G", ssh_command[-1]], stop)
    usual = _ciphers([*way.command[: ssh + 1], "-F", "none", "-G", "localhost"], stop)
    if offered is None or offered != usual:
        return None
    return ",".join(sorted(offered.split(","), key=lambda each: _QUICK.fullmatch(each) is None))


def _computes_aes() -> bool:
    """Has this machine's processor instructions for AES? The other end's then has, as a rule."""
    try:
        words = _PROCESSOR.read_text(errors="replace").split()
    except OSError:
        return False
    return "aes" in words


def _ciphers(argv: Sequence[str], stop: Stop) -> str | None:
    """As this ssh would offer them; None where it does not tell."""
    told: list[str] = []

    def hear(line: str) -> None:
        if line.startswith(_CIPHERS):
            told.append(line.removeprefix(_CIPHERS).strip())

    finished = run(argv, stop=stop, on_line=hear, grace_seconds=1)
    return told[0] if told and finished.exit_code == 0 else None
