"""Real Barman gives back what we packed: each format that its own modules can unpack.

BARMAND_TEST_BARMAN names the program, of Barman 3.17 or later. No PostgreSQL is needed.
"""

import getpass
import os
import subprocess
from pathlib import Path

import pytest

from barmand.model.packing import Effort, Packer, packing_of
from barmand.storage.intake import Intake
from barmand.storage.layout import Layout
from barmand.storage.packing import format_of
from fakes import lay_segment, layout_in, segment_name

SIZE = 16 * 1024 * 1024
PROGRAM = os.environ.get("BARMAND_TEST_BARMAN")
BUILT_IN = {Packer.GZIP, Packer.PIGZ, Packer.BZIP2, Packer.XZ}
"""Others need a module that Barman's packages do not bring by themselves."""

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="BARMAND_TEST_BARMAN is not set")


def archived(layout: Layout, packer: Packer) -> bytes:
    """Segment 7, packed by us; what it held."""
    layout.prepare()
    source = lay_segment(layout.incoming, 7, size=SIZE, fill=b"wal of barmand")
    source.write_bytes(source.read_bytes().ljust(SIZE, b"\0"))
    content = source.read_bytes()
    intake = Intake(layout, packing_of(packer, Effort.MEDIUM))
    prepared = intake.prepare(source)
    intake.give_name(prepared)
    intake.settle([prepared])
    intake.forget([prepared])
    return content


@pytest.mark.parametrize(
    "packer",
    [
        *(Packer.NONE, Packer.GZIP, Packer.PIGZ, Packer.BZIP2),
        *(Packer.XZ, Packer.ZSTD, Packer.LZ4, Packer.SNAPPY),
    ],
)
def test_barman_gets_back_what_we_packed(tmp_path: Path, packer: Packer) -> None:
    layout = layout_in(tmp_path / "main")
    content = archived(layout, packer)
    config = tmp_path / "barman.conf"
    config.write_text(
        f"[barman]\nbarman_home={tmp_path}\nbarman_user={getpass.getuser()}\n"
        f"log_file={tmp_path}/barman.log\n[main]\nconninfo=host=/nowhere\n"
        f"backup_method=postgres\narchiver=on\ncompression={packer}\n"
    )
    name = segment_name(7, size=SIZE)
    assert (format_of(layout.wal(name)) is None) == (packer is Packer.NONE)
    out = tmp_path / "out"
    out.mkdir()
    got = subprocess.run(
        [PROGRAM or "", "-c", config, "get-wal", "-o", out, "main", name],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if packer not in BUILT_IN and "odule" in got.stderr:
        pytest.skip(f"this Barman has no module for {packer}")
    assert (got.returncode, (out / name).read_bytes() == content) == (0, True), got.stderr
