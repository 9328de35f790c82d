"""put-wal: a tar stream is taken whole and proved, or nothing of it."""

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from barmand.model.errors import NotFound, Refused, UsageError
from barmand.wire.door_messages import AskPushReady
from ctl.fake_daemon import PROGRAM, barmanctl, environment
from ctl.test_ctl_doors import LONG, NAME, WalDaemon, wal

__all__ = ["wal"]
OTHER = f"{NAME[:-1]}8"


def tar(*members: tuple[str | tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w|") as made:
        for name, content in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def sums(kind: str = "sha256", **files: bytes) -> tuple[str, bytes]:
    lines = [f"{hashlib.new(kind, data).hexdigest()} *{name}\n" for name, data in files.items()]
    return f"{kind.upper()}SUMS", "".join(lines).encode()


def put(wal: WalDaemon, stream: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*PROGRAM, "put-wal", "main"],
        env=environment(wal.path),
        input=stream,
        capture_output=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_a_stream_with_its_sums_is_pushed(wal: WalDaemon, kind: str) -> None:
    done = put(wal, tar((NAME, LONG), sums(kind, **{NAME: LONG})))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert wal.pushed == {NAME: LONG}


def test_a_stream_may_bring_several_files(wal: WalDaemon) -> None:
    files = {NAME: LONG, OTHER: b"other"}
    assert put(wal, tar(*files.items(), sums(**files))).returncode == 0
    assert wal.pushed == files


WHOLE = tar((NAME, LONG), sums(**{NAME: LONG}))


@pytest.mark.parametrize("end", [0, 100, 512, 1000, 1_000_000, 512 + 3_000_320, 3_001_400])
def test_a_stream_that_is_cut_pushes_nothing(wal: WalDaemon, end: int) -> None:
    done = put(wal, WHOLE[:end])
    assert done.returncode == Refused.exit_code
    assert done.stderr.count(b"\n") == 1
    assert wal.pushed == {}


def _of_kind(kind: bytes, name: str = NAME) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    ("stream", "why"),
    [
        (b"no tar at all" * 100, b"tar stream is broken"),
        (tar((NAME, LONG)), b"has no SHA256SUMS"),
        (tar(sums()), b"does not name the files"),
        (tar((NAME, LONG), sums(**{NAME: LONG + b"x"})), b"has another sum"),
        (tar((NAME, LONG), sums("md5", **{NAME: b""})), b"has another sum"),
        (tar((NAME, LONG), sums(**{OTHER: LONG})), b"does not name the files"),
        (tar((NAME, LONG), (OTHER, b""), sums(**{NAME: LONG})), b"does not name the files"),
        (tar((NAME, LONG), sums(**{NAME: LONG, OTHER: b""})), b"does not name the files"),
        (tar((NAME, LONG), ("SHA256SUMS", b"nonsense\n")), b"no sum"),
        (tar((NAME, LONG), (NAME, LONG), sums(**{NAME: LONG})), b"comes twice"),
        (tar((NAME, LONG), sums(**{NAME: LONG}), (OTHER, b"")), b"comes after SHA256SUMS"),
        (tar((_of_kind(tarfile.SYMTYPE), b"")), b"not a regular file"),
        (tar((_of_kind(tarfile.LNKTYPE), b"")), b"not a regular file"),
        (tar((_of_kind(tarfile.CHRTYPE), b"")), b"not a regular file"),
        (tar((_of_kind(tarfile.DIRTYPE), b"")), b"not a regular file"),
        (tar((_of_kind(tarfile.SYMTYPE, "SHA256SUMS"), b"")), b"not a regular file"),
        (tar(*((f"{n:024X}", b"") for n in range(65))), b"at most 64 files"),
    ],
)
def test_a_stream_that_is_not_as_it_should_be_pushes_nothing(
    wal: WalDaemon, stream: bytes, why: bytes
) -> None:
    done = put(wal, stream)
    assert done.returncode == Refused.exit_code
    assert why in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert wal.pushed == {}


@pytest.mark.parametrize("name", ["../../x", "/etc/x", ".x"])
def test_a_name_that_could_be_no_wal_files_is_a_usage_error(wal: WalDaemon, name: str) -> None:
    """As barmand itself says of other names."""
    done = put(wal, tar((name, b"x"), sums(**{name: b"x"})))
    assert done.returncode == UsageError.exit_code
    assert b"no WAL file's name" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert wal.pushed == {}


@pytest.mark.parametrize("option", ["-t", "--test"])
def test_the_test_reads_nothing_and_says_that_wal_would_be_taken(
    wal: WalDaemon, option: str
) -> None:
    done = barmanctl(wal.path, "put-wal", "main", option)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Ready to accept WAL files for the server main\n"
    assert wal.asked == [AskPushReady(server="main")]
    document = barmanctl(wal.path, "-f", "json", "put-wal", option, "main")
    assert json.loads(document.stdout) == {"format": 1, "server": "main"}


def test_the_test_of_a_server_that_takes_none_ends_as_a_push_would(wal: WalDaemon) -> None:
    wal.failures["main"] = NotFound("no server 'main' is configured")
    done = barmanctl(wal.path, "put-wal", "--test", "main")
    assert (done.returncode, done.stdout) == (NotFound.exit_code, "")
    assert done.stderr == "barmanctl: no server 'main' is configured\n"


def test_a_member_larger_than_any_segment_is_refused_before_it_is_read(wal: WalDaemon) -> None:
    info = tarfile.TarInfo(NAME)
    info.size = 1 << 40
    done = put(wal, info.tobuf() + b"x" * 10_000)
    assert (done.returncode, wal.pushed) == (4, {})
    assert b"no WAL file has so many" in done.stderr


def test_a_refused_file_is_a_refused_stream(wal: WalDaemon) -> None:
    wal.failures[NAME] = Refused("another content")
    done = put(wal, WHOLE)
    assert (done.returncode, done.stderr) == (4, b"barmanctl: another content\n")


def test_nothing_is_left_behind(
    wal: WalDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    put(wal, WHOLE)
    put(wal, WHOLE[:-2000])
    assert list(tmp_path.iterdir()) == []
