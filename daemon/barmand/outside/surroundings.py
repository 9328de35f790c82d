"""What barmand runs on: the machine, its own process, the libraries and programs that it uses."""

import importlib.metadata
import os
import platform
import pwd
import resource
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from barmand.model.errors import Failure
from barmand.outside.deadline import Deadline
from barmand.outside.process import find_program, run

PROGRAMS = (
    *("pg_basebackup", "pg_receivewal", "pg_verifybackup", "pg_waldump"),
    *("rsync", "ssh", "setpriv"),
)
PATIENCE_SECONDS = 5.0
_SHOWN = ("PATH", "LANG", "LC_ALL", "TZ", "HOME", "USER", "BARMAND_LOG", "BARMAND_SOCKET")
_NAMED = ("PG", "BARM")
"""Only that they are set: what they hold may be a secret."""


def machine() -> dict[str, Any]:
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        system = None
    return {
        "system": system,
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpus": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load": list(os.getloadavg()),
        "zone": time.tzname[time.localtime().tm_isdst > 0],
    }


def process() -> dict[str, Any]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "user": _user(os.geteuid()),
        "groups": sorted(os.getgroups()),
        "threads": len(os.listdir("/proc/self/task")),  # noqa: PTH208 - a count of names
        "open_files": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - a count of names
        "open_files_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "most_memory_bytes": usage.ru_maxrss * 1024,
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "environment": {name: os.environ[name] for name in _SHOWN if name in os.environ},
        "also_set": sorted(
            name for name in os.environ if name.startswith(_NAMED) and name not in _SHOWN
        ),
    }


def libraries() -> dict[str, str]:
    """What barmand is built on, by the names of their distributions."""
    found = {"python": platform.python_version(), "executable": sys.executable}
    try:
        needed = importlib.metadata.requires("barmand") or []
    except importlib.metadata.PackageNotFoundError:
        needed = []
    for line in needed:
        name = line.split(";")[0].split("[")[0].split(">")[0].split("<")[0].split("=")[0].strip()
        if "extra ==" not in line:
            found[name] = _version(name)
    return found


def programs(path_prefix: Sequence[Path], names: Iterable[str] = PROGRAMS) -> dict[str, str]:
    """The first line that each says of its version, or why it says none."""
    return {name: _says(name, path_prefix) for name in names}


def _says(name: str, path_prefix: Sequence[Path]) -> str:
    lines: list[str] = []
    try:
        program = find_program(name, path_prefix)
        word = "-V" if name == "ssh" else "--version"
        patience = Deadline(time.monotonic() + PATIENCE_SECONDS)
        run([str(program), word], stop=patience, on_line=lines.append)
    except Failure as failure:
        return failure.message
    return f"{program}: {lines[0] if lines else 'says nothing'}"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not found"


def _user(number: int) -> str:
    try:
        return f"{pwd.getpwuid(number).pw_name} ({number})"
    except KeyError:
        return str(number)
