"""What pg_verifybackup's lines and exit codes mean; its real words are tried in operations."""

from pathlib import Path
from threading import Event

import pytest

from barmand.model.errors import Stopped, ToolFailed
from barmand.outside.pg_verifybackup import PgVerifybackup, meaning


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            '"base/1/2" has size 7 on disk but size 8 in the manifest',
            ("base/1/2", "has size 7 on disk but size 8 in the manifest"),
        ),
        ('checksum mismatch for file "a b"', ("a b", "its checksum is not the manifest's")),
        (
            '"x" is present on disk but not in the manifest',
            ("x", "is present on disk but not in the manifest"),
        ),
        (
            'could not open file "/data/x": Permission denied',
            ("/data/x", "cannot be read: Permission denied"),
        ),
        (
            "could not parse backup manifest: manifest ended unexpectedly",
            ("", "could not parse backup manifest: manifest ended unexpectedly"),
        ),
    ],
)
def test_an_error_names_a_file_and_what_is_wrong_with_it(words: str, told: tuple[str, str]) -> None:
    assert meaning(words) == told


def tool(folder: Path, script: str) -> PgVerifybackup:
    program = folder / "pg_verifybackup"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return PgVerifybackup((folder,))


def verify(program: PgVerifybackup, folder: Path, stop: Event | None = None) -> list[str]:
    told: list[str] = []
    program.verify(
        folder,
        ignored=["pg_tblspc"],
        stop=stop or Event(),
        on_flaw=lambda path, what: told.append(f"{path}: {what}"),
        on_bytes=lambda _count: None,
    )
    return told


def test_each_flaw_is_told_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    line = 'pg_verifybackup: error: \\"$2\\" is present in the manifest but not on disk'
    program = tool(tmp_path, f'echo "{line}" >&2; echo "$3" > "$3/asked"; exit 1')
    told = verify(program, tmp_path)
    assert told == ["--ignore=pg_tblspc: is present in the manifest but not on disk"]
    assert (tmp_path / "asked").read_text() == f"{tmp_path}\n"


@pytest.mark.parametrize("script", ["exit 1", "exit 3", "kill -9 $$"])
def test_one_that_comes_to_no_end_proves_nothing(tmp_path: Path, script: str) -> None:
    with pytest.raises(ToolFailed, match="pg_verifybackup"):
        verify(tool(tmp_path, script), tmp_path)


def test_one_that_hangs_is_stopped(tmp_path: Path) -> None:
    stop = Event()
    stop.set()
    with pytest.raises(Stopped):
        verify(tool(tmp_path, "exec sleep 600"), tmp_path, stop)


def test_one_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolFailed, match="program not found: pg_verifybackup"):
        PgVerifybackup((tmp_path,)).version()
