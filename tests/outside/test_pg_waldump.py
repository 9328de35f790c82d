"""What pg_waldump's errors mean; its real ones are tried in operations."""

from pathlib import Path
from threading import Event

import pytest

from barmand.model.errors import ToolFailed
from barmand.model.proof import WalFlaw
from barmand.outside.pg_waldump import PgWaldump, meaning

SUM = (
    "error in WAL record at 0/34C4AF0: incorrect resource manager data checksum in record at "
    "0/34C4B30"
)
MAGIC = (
    "error in WAL record at 0/3001FC0: invalid magic number D111 in log segment "
    "000000010000000000000003, offset 8192"
)
NONE = "could not find a valid record after 0/3000028"


@pytest.mark.parametrize(
    ("words", "flaw"),
    [
        (SUM, WalFlaw(SUM, 0x34C4B30)),
        (MAGIC, WalFlaw(MAGIC, 0x3001FC0, "000000010000000000000003")),
        (NONE, WalFlaw(NONE, 0x3000028)),
        ("could not find any WAL file", WalFlaw("could not find any WAL file", None)),
    ],
)
def test_an_error_names_a_place(words: str, flaw: WalFlaw) -> None:
    assert meaning(words) == flaw
    assert flaw.is_no_beginning == (words == NONE)


def test_it_reads_what_it_is_given_and_a_failure_is_no_flaw(tmp_path: Path) -> None:
    program, segment = tmp_path / "pg_waldump", tmp_path / "000000010000000000000003"
    segment.write_bytes(b"its records")
    tool = PgWaldump([tmp_path])

    def read(script: str) -> WalFlaw | None:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return tool.read([segment], timeline=1, begin=0x3000028, end=0x3000100, stop=Event())

    look = 'grep -q "its records" "${2#--path=}/000000010000000000000003"'
    assert read(f'{look} && test "$4 $5" = "--start=0/3000028 --end=0/3000100"') is None
    assert read('echo "pg_waldump: error: bad at 0/3000028" >&2; exit 1') == WalFlaw(
        "bad at 0/3000028", 0x3000028
    )
    for script in ("exit 1", "exit 127", "kill -9 $$"):
        with pytest.raises(ToolFailed, match="pg_waldump"):
            read(script)
