"""Now."""

import time
from datetime import datetime


def local_now() -> datetime:
    """The moment, in the machine's zone: Barman's ids are local time."""
    return datetime.now().astimezone()


def monotonic() -> float:
    """Seconds that never go back: for durations."""
    return time.monotonic()
