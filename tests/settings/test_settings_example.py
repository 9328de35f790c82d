"""config.example.ini is what the schema says, and can be used as it is."""

import re
from pathlib import Path

import pytest

from barmand.settings import ini
from barmand.settings.example import render
from barmand.settings.schema import (
    CLOUD_PREFIXES,
    NOT_CARRIED,
    DaemonSettings,
    ServerSettings,
    options,
)

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config.example.ini"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMENTED = re.compile(r"^;", re.MULTILINE)


def test_the_example_is_written_from_the_schema() -> None:
    assert EXAMPLE.read_text(encoding="utf-8") == render()


def test_the_example_reads_without_a_word() -> None:
    settings = ini.read(EXAMPLE)
    assert (settings.problems, settings.warnings, list(settings.servers)) == ((), (), ["main"])


def test_with_every_default_written_out_it_means_the_same(tmp_path: Path) -> None:
    full = tmp_path / "full.ini"
    full.write_text(COMMENTED.sub("", render()), encoding="utf-8")
    settings, example = ini.read(full), ini.read(EXAMPLE)
    assert (settings.problems, settings.warnings) == ((), ())
    assert settings.daemon == example.daemon
    assert settings.servers == example.servers


@pytest.mark.parametrize("option", [*options(DaemonSettings), *options(ServerSettings)])
def test_every_option_is_in_the_example_once(option: str) -> None:
    assert len(re.findall(rf"^;?{option} =", render(), re.MULTILINE)) == 1


@pytest.mark.parametrize("key", [*NOT_CARRIED, *(f"{prefix}*" for prefix in CLOUD_PREFIXES)])
def test_every_option_not_carried_is_named(key: str) -> None:
    assert re.search(rf"^# .*(?<!\w){re.escape(key)}[,:]", render(), re.MULTILINE)


def test_no_line_is_too_long_to_read() -> None:
    assert max(map(len, render().splitlines())) <= 100


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_setting_in_the_documents_has_a_comment_behind_its_value(page: Path) -> None:
    """It would be a part of the value."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(\[.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    assert [line for line in lines if re.match(r"\w+ *=.*\s[;#]", line)] == []


def test_the_first_example_about_retention_means_what_it_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "retention.md").read_text(encoding="utf-8")
    lines = page.split("```")[1].partition("[main]")[2]
    file = tmp_path / "barmand.conf"
    file.write_text(EXAMPLE.read_text(encoding="utf-8") + lines, encoding="utf-8")
    settings = ini.read(file)
    assert settings.problems == ()
    assert str(settings.servers["main"].retention_policy) == "RECOVERY WINDOW OF 4 WEEKS"
