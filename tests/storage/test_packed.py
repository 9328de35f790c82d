"""Archives of a base backup: unpacked as they are, refused where they lie."""

import gzip
import io
import os
import stat
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import pytest
import zstandard

from barmand.model.errors import Stopped, StorageFailed
from barmand.storage.manifest import Algorithm, WalRange, digest, writing
from barmand.storage.packed import archive_in
from barmand.storage.promises import promised

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".tar": bytes,
    ".tar.gz": gzip.compress,
    ".tar.lz4": lz4.frame.compress,  # as pg_basebackup's, without a checksum of the content
    ".tar.zst": zstandard.ZstdCompressor(write_checksum=False).compress,
}
PIECE = os.urandom(700_000)  # does not compress, so that a flipped bit falls into content
FILES = {
    "backup_label": b"START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n",
    "base/5/16384": PIECE,
    "base/5/16385": b"",
    "global/pg_control": b"control",
}


class Stop:
    """Set after so many looks."""

    def __init__(self, after: int | None = None) -> None:
        self.left = after

    def is_set(self) -> bool:
        if self.left is None:
            return False
        self.left -= 1
        return self.left < 0


def header(name: str, kind: bytes = tarfile.REGTYPE, *, mode: int = 0o600) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.mode, made.mtime = kind, mode, 1_700_000_000
    return made


def tar_of(files: dict[str, bytes], *more: tarfile.TarInfo) -> bytes:
    """As PostgreSQL sends it: folders before what is in them."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        seen: set[str] = set()
        for name, content in files.items():
            for folder in reversed(Path(name).parents[:-1]):
                if str(folder) not in seen:
                    seen.add(str(folder))
                    tar.addfile(header(str(folder), tarfile.DIRTYPE, mode=0o750))
            member = header(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in more:
            tar.addfile(member)
    return made.getvalue()


def lay(data: Path, tar: bytes, suffix: str = ".tar", *, promise: bool = True) -> Path:
    data.mkdir()
    path = data / f"base{suffix}"
    path.write_bytes(PACKERS[suffix](tar))
    if promise:
        with writing(data, Algorithm.CRC32C) as manifest:
            manifest.begin(150000, "1")
            for name, content in FILES.items():
                total = digest(Algorithm.CRC32C)
                total.update(content)
                manifest.add(name, len(content), time.time_ns(), total.hex())
            manifest.end([WalRange(timeline=1, start_lsn=1, end_lsn=2)])
    return path


def unpack(data: Path, into: Path, stop: Stop | None = None) -> tuple[int, list[int]]:
    """The bytes laid out, and the packed ones as they were counted."""
    into.mkdir(mode=0o700)
    counts: list[int] = []
    with promised(data) as promises:
        archive = archive_in(data, "base")
        size = archive.unpack(into, promises, stop or Stop(), counts.append)
        promises.demand_all_taken()
    return size, counts


def laid(into: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(into)): path.read_bytes() for path in into.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("suffix", PACKERS)
def test_what_was_packed_is_laid_out(tmp_path: Path, suffix: str) -> None:
    path = lay(tmp_path / "data", tar_of(FILES), suffix)
    size, counts = unpack(tmp_path / "data", tmp_path / "into")
    assert laid(tmp_path / "into") == FILES
    assert size == sum(map(len, FILES.values()))
    assert sum(counts) == path.stat().st_size


@pytest.mark.parametrize("suffix", PACKERS)
def test_the_label_is_read_out_of_it(tmp_path: Path, suffix: str) -> None:
    lay(tmp_path / "data", tar_of(FILES), suffix)
    assert archive_in(tmp_path / "data", "base").read_label() == FILES["backup_label"].decode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_an_archive_without_a_label_is_no_base_backup(tmp_path: Path) -> None:
    lay(tmp_path / "data", tar_of({"PG_VERSION": b"15"}))
    with pytest.raises(StorageFailed, match=r"base\.tar holds no backup_label"):
        archive_in(tmp_path / "data", "base").read_label()


def test_modes_and_times_are_those_of_the_source(tmp_path: Path) -> None:
    lay(tmp_path / "data", tar_of(FILES))
    unpack(tmp_path / "data", tmp_path / "into")
    folder, file = tmp_path / "into/base", tmp_path / "into/base/5/16384"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert folder.stat().st_mtime == file.stat().st_mtime == 1_700_000_000


def test_bits_that_lend_rights_are_left_out(tmp_path: Path) -> None:
    lay(tmp_path / "data", tar_of({}, header("x", mode=0o6755)), promise=False)
    unpack(tmp_path / "data", tmp_path / "into")
    assert stat.S_IMODE((tmp_path / "into/x").stat().st_mode) == 0o755


def test_it_stops_when_it_is_asked_to(tmp_path: Path) -> None:
    lay(tmp_path / "data", tar_of(FILES))
    with pytest.raises(Stopped, match="while unpacking"):
        unpack(tmp_path / "data", tmp_path / "into", Stop(after=1))


# ----------------------------------------------------------------------------------------- damaged


def refused(data: Path, into: Path) -> str:
    with pytest.raises(StorageFailed) as failed:
        unpack(data, into)
    return failed.value.message


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_flipped_bit_is_told(tmp_path: Path, suffix: str) -> None:
    path = lay(tmp_path / "data", tar_of(FILES), suffix)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert refused(tmp_path / "data", tmp_path / "into").startswith(f"{path} is damaged: ")


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("promise", [True, False])
@pytest.mark.parametrize("part", [0, 0.01, 0.3, 0.9])
def test_an_archive_that_is_cut_short_is_told(
    tmp_path: Path, suffix: str, promise: bool, part: float
) -> None:
    path = lay(tmp_path / "data", tar_of(FILES), suffix, promise=promise)
    os.truncate(path, int(path.stat().st_size * part))
    assert refused(tmp_path / "data", tmp_path / "into").startswith(f"{path} is damaged: ")


@pytest.mark.parametrize("suffix", PACKERS)
def test_another_files_content_is_told(tmp_path: Path, suffix: str) -> None:
    path = lay(tmp_path / "data", b"not at all a tar" * 1000)
    path.rename(tmp_path / f"data/base{suffix}")
    assert f"base{suffix} is damaged: " in refused(tmp_path / "data", tmp_path / "into")


@pytest.mark.parametrize("fill", [b"\0", b"x"])
def test_a_header_in_the_middle_that_is_no_header_is_told(tmp_path: Path, fill: bytes) -> None:
    """For tarfile alone the archive would end there, and be fine."""
    tar = bytearray(tar_of(FILES))
    at = tar.index(b"base/5/16385")
    tar[at : at + 512] = fill * 512
    path = lay(tmp_path / "data", bytes(tar), promise=False)
    assert refused(tmp_path / "data", tmp_path / "into").startswith(f"{path} is damaged: ")


def test_a_file_that_was_promised_and_is_not_there_is_named(tmp_path: Path) -> None:
    less = {name: content for name, content in FILES.items() if name != "base/5/16384"}
    lay(tmp_path / "data", tar_of(less))
    assert "damaged: base/5/16384, named by" in refused(tmp_path / "data", tmp_path / "into")


def test_a_missing_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match=r"there is no 16385\.tar in"):
        archive_in(tmp_path, "16385")


# ----------------------------------------------------------------------------------------- hostile


def linked(kind: bytes, target: str) -> tarfile.TarInfo:
    member = header("link", kind)
    member.linkname = target
    return member


HOSTILE = {
    "absolute": header("/etc/barmand-was-here"),
    "above": header("../above"),
    "above, later": header("base/../../above"),
    "a folder above": header("../above", tarfile.DIRTYPE),
    "symlink out": linked(tarfile.SYMTYPE, "/etc"),
    "symlink within": linked(tarfile.SYMTYPE, "base"),
    "hard link": linked(tarfile.LNKTYPE, "/etc/passwd"),
    "pipe": header("pipe", tarfile.FIFOTYPE),
    "character device": header("device", tarfile.CHRTYPE),
    "block device": header("device", tarfile.BLKTYPE),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_member_is_refused(tmp_path: Path, name: str) -> None:
    path = lay(tmp_path / "data", tar_of({}, HOSTILE[name]), promise=False)
    words = refused(tmp_path / "data", tmp_path / "into")
    assert words.startswith(f"{path} is not to be trusted: ")
    assert repr(HOSTILE[name].name) in words
    assert not any((tmp_path / "into").iterdir())
    assert not (tmp_path / "above").exists()


def test_nothing_is_written_twice(tmp_path: Path) -> None:
    path = lay(tmp_path / "data", tar_of({}, header("x"), header("x")), promise=False)
    assert path.exists()
    assert "into/x: File exists" in refused(tmp_path / "data", tmp_path / "into")
