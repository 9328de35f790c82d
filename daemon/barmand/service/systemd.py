"""What systemd is told: ready, reloading, stopping, the status line, the watchdog's pat."""

import os

from cysystemd.daemon import Notification, notify


def ready() -> None:
    _tell(Notification.READY)


def reloading() -> None:
    _tell(Notification.RELOADING)


def stopping() -> None:
    _tell(Notification.STOPPING)


def status(text: str) -> None:
    _tell(Notification.STATUS, text)


def pat_watchdog() -> None:
    _tell(Notification.WATCHDOG)


def watchdog_seconds() -> float | None:
    """How often systemd wants a pat at the least; None where it does not ask."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(
        os.getpid()
    ):
        return None
    return int(microseconds) / 1_000_000


def _tell(kind: Notification, value: str | None = None) -> None:
    if "NOTIFY_SOCKET" in os.environ:
        if value is None:
            notify(kind)
        else:
            notify(kind, value)
