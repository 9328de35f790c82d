"""How this process deals with memory: the C library's, and Python's.

Many threads come and go here. glibc gives each a pool ("arena") of its own, up to eight for each
core, and what a finished copy leaves in one is not used by the next: after a dozen backups the
daemon held 270 MB for nothing, with two pools it stays where it was.
Source: mallopt(3), malloc_trim(3); "Frozen" objects: Python's documentation of gc.freeze.
"""

import ctypes
import gc

_LIBC = ctypes.CDLL(None)
_M_ARENA_MAX = -8
_POOLS = 2
"""Python's lock lets one thread at a time allocate, all but numpy's and the packers'."""


def share_pools() -> None:
    """Before any thread begins. A C library that knows no such pools (musl) needs no order."""
    if hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(_M_ARENA_MAX, _POOLS)


def give_back() -> None:
    """Return to the system what lies unused, after work that took much."""
    if hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)


def set_apart_what_stays() -> None:
    """What lives as long as these settings is not looked through by each collection of garbage.

    A full one would hold up every thread, for 50 ms as measured, in the midst of an answer.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
