"""What systemd is told: ready, reloading, stopping, the status line, the watchdog's pat."""

import os
import socket

import structlog

log = structlog.get_logger()


def ready() -> None:
    _tell("READY=1")


def reloading() -> None:
    _tell("RELOADING=1")


def stopping() -> None:
    _tell("STOPPING=1")


def status(text: str) -> None:
    _tell(f"STATUS={text}")


def pat_watchdog() -> None:
    _tell("WATCHDOG=1")


def watchdog_seconds() -> float | None:
    """How often systemd wants a pat at the least; None where it does not ask."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(
        os.getpid()
    ):
        return None
    return int(microseconds) / 1_000_000


def _tell(word: str) -> None:
    """One datagram, never waited for: a service manager that is busy must not hold us up.

    (libsystemd's own call waits while the socket is full, and with the interpreter's lock held.)
    """
    path = os.environ.get("NOTIFY_SOCKET")
    if path is None:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)  # noqa: FBT003 - the socket's own way of saying it
        try:
            sender.sendto(word.encode(), address)
        except OSError as error:
            log.debug("service manager not told", word=word, error=error.strerror)
