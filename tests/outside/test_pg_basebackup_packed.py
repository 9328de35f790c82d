"""pg_basebackup, told to pack; and what it says of bad pages, in any language."""

import threading
from pathlib import Path

import pytest

from barmand.model.backup import Damage, Tablespace, Told
from barmand.model.compression import Algorithm, Compression, Format, Location
from barmand.model.errors import ToolFailed
from barmand.model.order import Order
from barmand.model.progress import Phase
from barmand.model.secret import Conninfo
from barmand.outside.pg_basebackup import PgBasebackup, arguments
from barmand.outside.pg_basebackup_words import UNNAMED

SPACE = Tablespace("fast", 16385, "/srv/my space")


def packing(
    algorithm: Algorithm,
    location: Location = Location.CLIENT,
    form: Format = Format.TAR,
    *,
    level: int | None = None,
    workers: int | None = None,
) -> list[str]:
    compression = Compression(
        algorithm=algorithm, location=location, format=form, level=level, workers=workers
    )
    mapped = {SPACE.location: Path("/b/16385")}
    plain = arguments("", Path("/b/data"), mapped, "", Order())
    return [
        word
        for word in arguments("", Path("/b/data"), mapped, "", Order(), compression=compression)
        if word not in plain
    ]


# ---------------------------------------------------------------------------------------- arguments


def test_gzip_at_our_side_is_said_as_every_version_understands_it() -> None:
    assert packing(Algorithm.GZIP) == ["--format=tar", "--gzip"]
    assert packing(Algorithm.GZIP, level=7) == ["--format=tar", "--gzip", "--compress=7"]
    assert packing(Algorithm.GZIP, level=-1) == ["--format=tar", "--gzip"]


def test_the_others_name_who_packs_and_how() -> None:
    assert packing(Algorithm.LZ4) == ["--format=tar", "--compress=client-lz4"]
    assert packing(Algorithm.GZIP, Location.SERVER, level=2) == [
        "--format=tar",
        "--compress=server-gzip:level=2",
    ]
    assert packing(Algorithm.ZSTD, Location.SERVER, level=-7, workers=2) == [
        "--format=tar",
        "--compress=server-zstd:level=-7,workers=2",
    ]


def test_none_is_archives_and_nothing_else() -> None:
    assert packing(Algorithm.NONE) == ["--format=tar"]


def test_plain_files_keep_the_places_of_their_tablespaces() -> None:
    assert packing(Algorithm.ZSTD, Location.SERVER, Format.PLAIN) == ["--compress=server-zstd"]
    given = arguments("", Path("/b"), {"/srv": Path("/b/1")}, "", Order())
    assert "--tablespace-mapping=/srv=/b/1" in given
    tar = Compression(algorithm=Algorithm.NONE)
    given = arguments("", Path("/b"), {"/srv": Path("/b/1")}, "", Order(), compression=tar)
    assert not [word for word in given if word.startswith("--tablespace")]


# --------------------------------------------------------------------------------- what it can do


def stand_in(folder: Path, script: str) -> PgBasebackup:
    """A pg_basebackup that does what `script` says."""
    path = folder / "pg_basebackup"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return PgBasebackup(Conninfo("host=/nowhere"), "barmand", [folder])


@pytest.mark.parametrize("location", Location)
@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("algorithm", Algorithm)
def test_debians_build_can_do_all_of_it(
    bindir: Path, algorithm: Algorithm, location: Location, form: Format
) -> None:
    tool = PgBasebackup(Conninfo("host=/nowhere"), "barmand", [bindir])
    compression = Compression(algorithm=algorithm, location=location, format=form)
    assert tool.refusal_of(compression) is None


def test_its_own_refusal_is_told(bindir: Path) -> None:
    tool = PgBasebackup(Conninfo(""), "barmand", [bindir])
    words = tool.refusal_of(Compression(algorithm=Algorithm.LZ4, level=99))
    assert words is not None
    assert words.startswith("pg_basebackup: invalid compression specification")


def test_a_build_that_only_passes_archives_on_need_not_know_them(tmp_path: Path) -> None:
    tool = stand_in(tmp_path, 'echo "pg_basebackup: error: cannot compress" >&2; exit 1')
    server_side = Compression(algorithm=Algorithm.ZSTD, location=Location.SERVER)
    assert tool.refusal_of(server_side) is None
    unpacked_here = Compression(
        algorithm=Algorithm.ZSTD, location=Location.SERVER, format=Format.PLAIN
    )
    assert tool.refusal_of(unpacked_here) == "pg_basebackup: cannot compress"


# --------------------------------------------------------------------------------------- bad pages

LANGUAGES = {
    "en": 'WARNING: verification failed in file "{}", block {}: calculated {} but expected {}',
    "de": "WARNUNG: Prüfsummenüberprüfung in »{}«, Block {}: berechnet {}, aber erwartet {}",
    "fr": "ATTENTION: échec dans le fichier « {} », bloc {} : calculé {}, mais attendu {}",
    "es": "WARNING: falló en archivo «{}», bloque {}: calculado {} pero se esperaba {}",
    "ja": '警告:  ファイル"{}"のブロック{}で失敗しました: 計算されたサムは{}ですが想定は{}です',
    "ko": '경고:  "{}" 파일  체크섬 검사 실패(해당 블럭 {}): 계산된 체크섬 {} (기대값 {})',
    "zh": '警告:  校验和验证在文件"{}"中失败,块{} :计算的为{},但应为{}',
}
NOT_PAGES = """
echo 'WARNING:  further checksum verification failures in file "./base/5/1" will not be reported'
echo 'WARNING:  file "./base/5/1" has a total of 7 checksum verification failures'
echo 'WARNING:  8 total checksum verification failures'
"""
ENDED = 'echo "pg_basebackup: error: checksum error occurred" >&2; exit 1'


def copy(tool: PgBasebackup) -> Told:
    def report(_phase: Phase, _done: int | None, _total: int | None) -> None: ...

    return tool.copy(
        data=Path("/b/data"),
        tablespaces=[SPACE],
        label="",
        order=Order(),
        compression=None,
        stop=threading.Event(),
        report=report,
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_bad_pages_are_told_by_file_and_block(tmp_path: Path, language: str) -> None:
    pages = [
        ("./base/5/16392", 1),
        ("./base/5/16392", 3),
        ("./base/5/16392_fsm.2", 0),
        ("/srv/my space/PG_15_202209061/5/16397", 2),
    ]
    lines = "\n".join(
        f"echo '{LANGUAGES[language].format(*page, 'A95A', '2C04')}'" for page in pages
    )
    told = copy(stand_in(tmp_path, f"{lines}\n{NOT_PAGES}\n{ENDED}"))
    assert told.damages == (
        Damage("base/5/16392", (1, 3)),
        Damage("base/5/16392_fsm.2", (0,)),
        Damage("pg_tblspc/16385/PG_15_202209061/5/16397", (2,)),
    )


def test_bad_pages_that_nobody_can_name_are_bad_pages(tmp_path: Path) -> None:
    assert copy(stand_in(tmp_path, ENDED)).damages == (UNNAMED,)


def test_another_error_beside_bad_pages_is_a_failure(tmp_path: Path) -> None:
    line = LANGUAGES["en"].format("./base/5/1", 1, "A95A", "2C04")
    script = f"echo '{line}'; echo 'pg_basebackup: error: disk full' >&2; exit 1"
    with pytest.raises(ToolFailed, match="disk full"):
        copy(stand_in(tmp_path, script))


def test_without_bad_pages_there_are_none(tmp_path: Path) -> None:
    assert copy(stand_in(tmp_path, "exit 0")) == Told()
