"""What PostgreSQL is told about recovery means, to it and to the shell, what we meant."""

import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barmand.model.recovery import Target, archiving_off, quoted, settings_for, wal_for
from barmand.model.wal import Run

NEEDED = Run(2, 10, 12)


# --------------------------------------------------------------------------------- which segments
def test_an_immediate_target_needs_the_backups_own_wal_only() -> None:
    assert wal_for(Target.IMMEDIATE, NEEDED, [Run(2, 1, 40), Run(3, 20, 30)]) == [NEEDED]


def test_the_end_of_wal_needs_all_behind_the_beginning_also_on_later_timelines() -> None:
    held = [Run(1, 1, 40), Run(2, 8, 30), Run(3, 25, 50), Run(3, 2, 9)]
    assert wal_for(Target.END_OF_WAL, NEEDED, held) == [Run(2, 10, 30), Run(3, 25, 50)]


def test_a_gap_before_the_beginning_does_not_matter() -> None:
    held = [Run(2, 1, 3), Run(2, 10, 30)]
    assert wal_for(Target.END_OF_WAL, NEEDED, held) == [Run(2, 10, 30)]


# ------------------------------------------------------------------------------------ the settings
def told(target: Target) -> dict[str, str]:
    return dict(line.split(" = ", maxsplit=1) for line in settings_for(target, "/wal", 7))


@pytest.mark.parametrize("target", Target)
def test_recovery_reads_our_wal_to_the_timeline_named_and_promotes(target: Target) -> None:
    lines = told(target)
    assert lines["restore_command"] == """'cp "/wal/%f" "%p"'"""
    assert lines["recovery_target_timeline"] == "'7'"
    assert lines["recovery_target_action"] == "'promote'"


def test_an_immediate_target_ends_at_the_backups_end() -> None:
    assert told(Target.IMMEDIATE)["recovery_target"] == "'immediate'"
    assert told(Target.END_OF_WAL)["recovery_target"] == "''"


@pytest.mark.parametrize("target", Target)
def test_what_an_earlier_restore_left_in_the_settings_counts_no_more(target: Target) -> None:
    lines = told(target)
    for name in (
        "recovery_target_lsn",
        "recovery_target_name",
        "recovery_target_time",
        "recovery_target_xid",
        "archive_cleanup_command",
        "recovery_end_command",
    ):
        assert lines[name] == "''"


def test_a_restored_cluster_archives_nothing() -> None:
    assert archiving_off(140_000) == ["archive_mode = 'off'", "archive_command = ''"]
    assert archiving_off(150_000)[-1] == "archive_library = ''"


# ------------------------------------------------------------------------------------- the quoting
def as_postgresql_reads(setting: str) -> str:
    """The value of a quoted setting: GUC_scanstr of PostgreSQL's guc-file.l, octals left out."""
    inner = re.fullmatch(r"'((?:[^'\\\n]|\\[^0-7\n]|'')*)'", setting)
    assert inner, f"PostgreSQL does not read {setting!r}"
    controls = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
    return re.sub(
        r"\\(.)|''",
        lambda found: controls.get(found[1], found[1]) if found[1] else "'",
        inner[1],
        flags=re.DOTALL,
    )


def as_postgresql_runs(command: str, **placeholders: str) -> str:
    """`%f` and `%p` filled in, `%%` made one: BuildRestoreCommand."""
    return re.sub(r"%(.)", lambda found: {"%": "%", **placeholders}[found[1]], command)


@given(st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"])))
def test_a_quoted_setting_is_read_as_it_was_meant(value: str) -> None:
    assert as_postgresql_reads(quoted(value)) == value


@pytest.mark.parametrize("value", ["a\nb", "a\0b", "\n"])
def test_what_cannot_stand_in_a_setting_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"cannot stand in postgresql\.conf"):
        quoted(value)


hostile = st.text(
    st.sampled_from("""'"\\$`% !#&|;<>()*?[]{}~^=-abcfpf"""), min_size=1, max_size=12
) | st.text(
    st.characters(exclude_characters="/\n\0", exclude_categories=["Cs"]), min_size=1, max_size=12
)


@settings(deadline=None, max_examples=60)
@given(hostile.filter(lambda name: name not in (".", "..")))
def test_a_real_shell_copies_from_any_folder(name: str) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / name
        folder.mkdir()
        (folder / "00000001").write_text("the segment")
        setting = settings_for(Target.END_OF_WAL, str(folder), 1)[0].removeprefix(
            "restore_command = "
        )
        command = as_postgresql_runs(as_postgresql_reads(setting), f="00000001", p="restored")
        done = subprocess.run(
            ["/bin/sh", "-c", command], cwd=temporary, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert (Path(temporary) / "restored").read_text() == "the segment"


@pytest.mark.parametrize(
    "name", ["$(reboot)", "`id`", "a'b\"c", "100%", "%f", "%p%%", "a\\", "$HOME"]
)
def test_the_shell_runs_nothing_that_a_folder_is_called(name: str) -> None:
    setting = settings_for(Target.END_OF_WAL, f"/{name}", 1)[0].removeprefix("restore_command = ")
    command = as_postgresql_runs(as_postgresql_reads(setting), f="SEGMENT", p="PATH")
    words = subprocess.run(
        ["/bin/sh", "-c", f"printf '%s\\n' {command}"], capture_output=True, text=True, check=True
    )
    assert words.stdout.splitlines() == ["cp", f"/{name}/SEGMENT", "PATH"]
