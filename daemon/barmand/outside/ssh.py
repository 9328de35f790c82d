"""ssh as a transport: what it is told besides what the administrator wrote."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from barmand.model.errors import ConfigInvalid

_ALIVE_COUNT = 3
_PORT = re.compile(r"(?:^|\s)(?:-p\s*|-o\s*Port\s*[=\s]\s*)(\d+)(?=\s|$)", re.IGNORECASE)
_FORCED = ("BatchMode=yes", "StrictHostKeyChecking=yes")
"""Nobody answers a question here; and a host that is not known is not the one we back up."""

_WANT_A_WORD = frozenset(f"-{letter}" for letter in "BbcDEeFIiJLlmOoPpQRSWw")
"""Options of ssh(1) with a word behind: if that is the last one, no host is named."""
_LIKE_THIS = "Write it like: ssh postgres@db1"


@dataclass(frozen=True, slots=True)
class Transport:
    """`command` begins ssh, without the host; `host` as it stands before the colon of a source."""

    command: tuple[str, ...]
    host: str
    port: str | None = None
    """None where `command` names none; ssh's own configuration may."""


def ssh_words(ssh_command: str) -> tuple[str, ...]:
    """As a shell would read them. Raises ConfigInvalid for a quote that is left open."""
    try:
        return tuple(shlex.split(ssh_command))
    except ValueError as error:
        why = str(error).lower()
        raise ConfigInvalid(
            f"ssh_command {ssh_command!r} is not a program and a host: {why}", hint=_LIKE_THIS
        ) from error


def transport(
    ssh_command: Sequence[str],
    connect_seconds: int,
    silence_seconds: int,
    options: Sequence[str] = (),
) -> Transport:
    """Of Barman's `ssh_command`, whose last word is the host. Raises ConfigInvalid.

    ssh obeys the first of two contradicting options: ours on safety stand before the
    administrator's, ours on patience behind, as `options` do (`Name=value`). A connection that is
    cut or frozen ends by itself.
    """
    *words, host = ssh_command or ("",)
    if not words or not host or host.startswith("-") or words[-1] in _WANT_A_WORD:
        raise ConfigInvalid(
            f"ssh_command {' '.join(ssh_command)!r} is not a program and a host",
            hint=_LIKE_THIS,
        )
    behind = (
        f"ConnectTimeout={connect_seconds}",
        f"ServerAliveInterval={max(1, silence_seconds // _ALIVE_COUNT)}",
        f"ServerAliveCountMax={_ALIVE_COUNT}",
        *options,
    )
    place = 1 + next((n for n, word in enumerate(words) if word.rpartition("/")[2] == "ssh"), 0)
    return Transport(
        (*words[:place], *_options(_FORCED), *words[place:], *_options(behind)),
        _bracketed(host),
        _port(words[place:]),
    )


def _port(words: Sequence[str]) -> str | None:
    found = _PORT.search(" ".join(words))
    return found[1] if found else None


def _options(options: Sequence[str]) -> list[str]:
    return [word for option in options for word in ("-o", option)]


def _bracketed(host: str) -> str:
    """An IPv6 address, told from the colon that follows a host."""
    user, at, address = host.rpartition("@")
    return f"{user}{at}[{address}]" if ":" in address and "[" not in address else host
