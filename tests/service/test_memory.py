"""What work took is free again after it, however many threads it had. With the real C library."""

import subprocess
import sys

WORK = """
import sys, threading
from pathlib import Path
from barmand.service import memory

def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

if sys.argv[1] == "shared":
    memory.share_pools()
stays = []
all_are_there = threading.Barrier(12)

def work():
    all_are_there.wait()  # each allocates while the others do: else one pool would serve them all
    kept = [bytearray(700 + number % 5000) for number in range(4000)]
    stays.append(bytearray(3000))  # above the rest: the pool's end is in use
    all_are_there.wait()
    del kept

before = held()
threads = [threading.Thread(target=work) for _ in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if sys.argv[1] == "shared":
    memory.give_back()
print(held() - before)
"""


def growth(how: str) -> int:
    """KiB that a process holds in addition after the work."""
    ran = subprocess.run(
        [sys.executable, "-c", WORK, how], check=True, capture_output=True, text=True, timeout=60
    )
    return int(ran.stdout)


def test_what_work_took_is_given_back() -> None:
    assert growth("shared") < 8 * 1024


def test_what_is_set_apart_is_still_there_and_garbage_still_goes() -> None:
    script = """
import gc, weakref
from barmand.service import memory

class Thing:
    pass

def circle():
    one, two = Thing(), Thing()
    one.other, two.other = two, one
    return weakref.ref(one)

stays, old = Thing(), circle()
for _ in range(2):
    memory.set_apart_what_stays()
assert gc.get_freeze_count() > 0 and old() is None
late = circle()
gc.collect()
assert late() is None and stays
kept = Thing(); kept.other = kept; seen = weakref.ref(kept)
memory.set_apart_what_stays()
del kept
memory.set_apart_what_stays()  # the settings are read again: what the last ones had goes
assert seen() is None
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
