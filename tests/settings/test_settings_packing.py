"""How WAL is packed, as Barman's settings say it."""

from pathlib import Path

import pytest

from barmand.fittings import batches_of, packing_of
from barmand.model.packing import Format, Packing
from barmand.operations.archive import Batches
from barmand.settings.ini import read
from barmand.settings.schema import Settings


def settings_with(folder: Path, lines: str) -> Settings:
    path = folder / "barmand.ini"
    path.write_text(
        f"[barmand]\nbarman_home = /srv/barman\n[pg]\nconninfo = host=pg\n"
        f"backup_method = postgres\narchiver = on\n{lines}\n"
    )
    return read(path)


@pytest.mark.parametrize(
    ("lines", "packing"),
    [
        ("", None),
        ("compression =", None),
        ("compression = none", None),
        ("compression = gzip", Packing(Format.GZIP, 6)),
        ("compression = ZSTD\ncompression_level = HIGH", Packing(Format.ZSTD, 9)),
        ("compression = lz4\ncompression_level = 12", Packing(Format.LZ4, 12)),
        ("compression = zstd\ncompression_level = -5", Packing(Format.ZSTD, -5)),
    ],
)
def test_barmans_words_say_how_wal_is_packed(
    tmp_path: Path, lines: str, packing: Packing | None
) -> None:
    settings = settings_with(tmp_path, lines)
    assert (settings.problems, settings.warnings) == ((), ())
    assert packing_of(settings.servers["pg"]) == packing


def test_filters_of_ones_own_are_told_and_nothing_is_packed(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, "compression = custom\ncustom_compression_filter = gzip -c")
    assert settings.problems == ()
    assert {warning.key for warning in settings.warnings} == {
        "compression",
        "custom_compression_filter",
    }
    assert packing_of(settings.servers["pg"]) is None


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ("compression = brotli", "compression"),
        ("compression_level = most", "compression_level"),
        ("compression_level = 23", "compression_level"),
        ("compression = gzip\ncompression_level = 10", "compression_level"),
    ],
)
def test_what_cannot_be_done_puts_the_server_aside(tmp_path: Path, lines: str, key: str) -> None:
    settings = settings_with(tmp_path, lines)
    assert [problem.key for problem in settings.broken["pg"]] == [key]


def test_batches_are_told_apart(tmp_path: Path) -> None:
    lines = "archiver_batch_size = 5\nstreaming_archiver_batch_size = 7"
    settings = settings_with(tmp_path, lines)
    assert batches_of(settings.servers["pg"]) == Batches(incoming=5, streaming=7)
