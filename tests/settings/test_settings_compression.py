"""How a base backup is packed: read with Barman's meanings, refused where Barman refuses."""

from pathlib import Path

import pytest

from barmand.fittings import compression_of
from barmand.model.compression import Algorithm, Compression, Format, Location
from barmand.settings import ini
from barmand.settings.schema import Settings

GLOBAL = "[barmand]\nbarman_home = /srv/barman\n"
POSTGRES = "conninfo = host=pg\narchiver = on\nbackup_method = postgres\n"
LOCAL = "conninfo = host=pg\narchiver = on\nbackup_method = local\n"


def read(folder: Path, own: str, server: str = POSTGRES, common: str = "") -> Settings:
    """The options without their prefix, `backup_compression`."""
    path = folder / "barmand.ini"
    lines = "".join(f"backup_compression{line}\n" for line in own.split("|") if line)
    path.write_text(f"{GLOBAL}{common}\n[pg]\n{server}{lines}")
    return ini.read(path)


def problems(settings: Settings) -> dict[str | None, str]:
    return {problem.key: problem.message for problem in settings.broken.get("pg", ())}


def test_without_a_word_a_backup_is_plain(tmp_path: Path) -> None:
    settings = read(tmp_path, "")
    assert compression_of(settings.servers["pg"]) is None
    assert settings.warnings == ()


def test_an_algorithm_alone_means_archives_packed_here(tmp_path: Path) -> None:
    for algorithm in Algorithm:
        server = read(tmp_path, f" = {algorithm}").servers["pg"]
        assert compression_of(server) == Compression(
            algorithm=algorithm, location=Location.CLIENT, format=Format.TAR
        )


def test_every_word_is_read(tmp_path: Path) -> None:
    text = " = ZSTD|_format = plain|_location = server|_level = -5|_workers = 2"
    assert compression_of(read(tmp_path, text).servers["pg"]) == Compression(
        algorithm=Algorithm.ZSTD,
        level=-5,
        workers=2,
        location=Location.SERVER,
        format=Format.PLAIN,
    )


@pytest.mark.parametrize(
    "text",
    [
        " = gzip|_level = 9",
        " = gzip|_level = -1",
        " = lz4|_level = 0",
        " = lz4|_level = 12",
        " = zstd|_level = -131072",
        " = zstd|_level = 22|_workers = 0",
        " = none|_level = 0",
        " = none|_format = plain|_location = server",
    ],
)
def test_what_barman_takes_is_taken(tmp_path: Path, text: str) -> None:
    settings = read(tmp_path, text)
    assert (problems(settings), settings.warnings) == ({}, ())


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        (" = gzip|_format = plain", "format", "only possible with backup_compression_location"),
        (" = none|_format = plain", "format", "only possible with backup_compression_location"),
        (" = gzip|_workers = 2", "workers", "only zstd has workers, not gzip"),
        (" = none|_workers = 2", "workers", "only zstd has workers, not none"),
        (" = gzip|_level = 0", "level", "0: gzip takes 1 to 9, or -1 for its default"),
        (" = gzip|_level = 10", "level", "10: gzip takes 1 to 9"),
        (" = lz4|_level = 13", "level", "13: lz4 takes 1 to 12"),
        (" = zstd|_level = 23", "level", "must be from -131072 to 22"),
        (" = none|_level = 3", "level", "3: none takes 0"),
    ],
)
def test_what_nobody_can_do_sets_the_server_aside(
    tmp_path: Path, text: str, key: str, words: str
) -> None:
    (told,) = problems(read(tmp_path, text)).items()
    assert told[0] == f"backup_compression_{key}"
    assert words in told[1]


def test_all_of_it_is_told_at_once(tmp_path: Path) -> None:
    told = problems(read(tmp_path, " = lz4|_format = plain|_workers = 2|_level = 13"))
    assert len(told) == 3


def test_an_unknown_algorithm_is_a_problem_of_its_own(tmp_path: Path) -> None:
    told = problems(read(tmp_path, " = bzip2|_workers = 2"))
    assert told == {"backup_compression": "must be one of none, gzip, lz4, zstd, not 'bzip2'"}


@pytest.mark.parametrize("algorithm", Algorithm)
def test_other_methods_cannot_pack(tmp_path: Path, algorithm: Algorithm) -> None:
    told = problems(read(tmp_path, f" = {algorithm}", LOCAL))
    assert told == {"backup_compression": "is only possible with backup_method = postgres"}


def test_a_server_may_undo_what_it_inherits(tmp_path: Path) -> None:
    settings = read(tmp_path, " =", LOCAL, common="backup_compression = zstd")
    assert problems(settings) == {}


def test_words_without_an_algorithm_are_warned_of(tmp_path: Path) -> None:
    settings = read(tmp_path, "_level = 3|_location = client")
    assert [(each.key, each.message) for each in settings.warnings] == [
        ("backup_compression_level", "has no effect without backup_compression")
    ]
