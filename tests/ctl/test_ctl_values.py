"""DESTINATION, seen from the caller's folder, whatever that folder is."""

import argparse
import os
from pathlib import Path

import pytest

from barmand.ctl import values


def test_a_destination_is_seen_from_the_callers_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert values.folder("here/./x") == f"{tmp_path}/here/x"
    assert values.folder(".") == str(tmp_path)
    assert values.folder("../x") == f"{tmp_path}/../x"
    assert values.folder("/elsewhere/") == "/elsewhere"


def test_a_callers_folder_that_is_gone_cannot_be_restored_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(argparse.ArgumentTypeError, match="no current folder"):
        values.folder("x")


def test_a_callers_folder_with_foreign_bytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(odd)  # noqa: PTH102 - a path of bytes
    monkeypatch.chdir(os.fsdecode(odd))
    with pytest.raises(argparse.ArgumentTypeError, match="not UTF-8"):
        values.folder("x")
