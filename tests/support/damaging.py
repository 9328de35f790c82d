"""A stored file with one byte more, less or another, and whole again afterwards."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DAMAGES = ("flipped", "truncated", "extended")


@contextmanager
def damaged(path: Path, how: str, *, at: int | None = None) -> Iterator[Path]:
    """Changed in place, so that what is remembered of the file itself stays. `at`: the byte that is
    flipped; else the one in the middle.
    """
    before, facts = path.read_bytes(), path.stat()
    _rewrite(path, _changed(before, how, len(before) // 2 if at is None else at))
    try:
        yield path
    finally:
        _rewrite(path, before)
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


@contextmanager
def gone(path: Path) -> Iterator[Path]:
    aside = path.with_name(f"{path.name}.aside")
    hidden = path.parent.parent / aside.name
    path.rename(hidden)
    try:
        yield path
    finally:
        hidden.rename(path)


def _changed(content: bytes, how: str, at: int) -> bytes:
    match how:
        case "flipped":
            return content[:at] + bytes([content[at] ^ 0x01]) + content[at + 1 :]
        case "truncated":
            return content[:-1]
        case "extended":
            return content + b"\n"
        case _:
            raise ValueError(how)


def _rewrite(path: Path, content: bytes) -> None:
    with path.open("r+b") as file:
        file.write(content)
        file.truncate(len(content))
