"""Does a copy take as many bytes of a file system as it has?"""

import os
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_PACKING = {"bcachefs", "btrfs", "cifs", "f2fs", "nfs", "nfs4", "smb3", "zfs"}
"""These may pack what they store, or their server may."""
_SHARING = {*_PACKING, "xfs"}
"""On these what the kernel copies may share its blocks with what it was copied from."""


def keeps_byte_for_byte(path: Path, *, by_the_kernel: bool, mounts: Path = _MOUNTS) -> bool:
    """Surely so; False where nobody can say. `by_the_kernel`: how it is copied there."""
    kind = _kind(path, mounts)
    unsure = _SHARING if by_the_kernel else _PACKING
    return kind is not None and kind not in unsure and not kind.startswith("fuse")


def _kind(path: Path, mounts: Path) -> str | None:
    """Of the file system that is mounted nearest above; the last one where several are."""
    found: tuple[int, str] | None = None
    try:
        place = os.fsencode(path.resolve())
        lines = mounts.read_bytes().splitlines()
    except OSError:
        return None
    for line in lines:
        own, _, more = line.partition(b" - ")
        point = own.split()[4].replace(b"\\040", b" ")
        is_above = place == point or place.startswith(point.rstrip(b"/") + b"/")
        if is_above and (found is None or len(point) >= found[0]):
            found = (len(point), more.split()[0].decode("ascii", "replace"))
    return None if found is None else found[1]
