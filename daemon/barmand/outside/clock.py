"""Now."""

import time
from datetime import datetime


def local_now() -> datetime:
    """This moment, in the machine's zone: Barman's ids are local time."""
    return datetime.now().astimezone()


def monotonic() -> float:
    """Seconds that never go back: for durations."""
    return time.monotonic()
