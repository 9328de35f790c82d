"""backup_schedule: one schedule a line, judged with its options when the settings are read."""

from pathlib import Path

import pytest

from barmand.model.order import Checksums, Reuse, Wish
from barmand.settings.ini import read as read_ini
from barmand.settings.schedule_lines import problems_of, read, warnings_of


def test_each_line_has_its_times_its_options_and_its_name() -> None:
    first, second = read(
        "\n 0 2 * * 1-6  zone=Europe/Rome jitter=10m reuse_backup=link jobs=4\n\n"
        "@weekly name='the weekly one' immediate_checkpoint=on --bwlimit=2000 manifest=yes"
    )
    assert first.key == "0 2 * * 1-6 zone=Europe/Rome"
    assert (first.times.zone, first.times.jitter_seconds, first.name) == ("Europe/Rome", 600, None)
    assert first.wish == Wish(reuse=Reuse.LINK, jobs=4)
    assert second.name == "the weekly one"
    assert second.wish == Wish(immediate_checkpoint=True, bandwidth_limit=2000, makes_manifest=True)


def test_an_option_may_be_called_as_the_settings_call_it() -> None:
    (line,) = read(
        "@daily parallel_jobs=2 bandwidth_limit=100 basebackup_retry_times=3"
        " basebackup-retry-sleep=5 manifest_checksums=sha256 check_timeout=0 keepalive_interval=1"
    )
    assert line.wish == Wish(
        jobs=2,
        bandwidth_limit=100,
        retry_times=3,
        retry_sleep=5,
        manifest_checksums=Checksums.SHA256,
        check_seconds=0,
        keepalive_seconds=1,
    )


def test_without_a_value_there_is_no_schedule() -> None:
    assert read("") == read("  \n \n") == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("@daily\n0 2 * *", "line 2: five fields are needed"),
        ("@daily reuse_backup=often", "reuse_backup must be one of off, copy, link, not 'often'"),
        ("@daily jobs=0", "jobs must be from 1 to 1000"),
        ("@daily jobs=2 parallel_jobs=3", "parallel_jobs is another word"),
        ("@daily jobs=2 jobs=3", "jobs stands there twice"),
        ("@daily reuse_backups=link", "is no option of a backup, did you mean reuse_backup?"),
        ("@daily wait=on", "wait is no option of a backup: allowed are zone, jitter, name,"),
        ("@daily name=last", "'last' already means a backup"),
        ("@daily name=", "cannot be empty"),
        ("@daily name='weekly", "No closing quotation"),
        ("@daily jobs", "'jobs' has no place"),
        ("0 2 * * * jitter=1m\n0 2 * * *", "line 2 has the times of line 1: 0 2 * * *"),
        ("@daily \x07", "control character"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        read(text)
    assert words in str(error.value)


def test_all_that_is_wrong_is_named() -> None:
    with pytest.raises(ValueError, match=r".") as error:
        read("0 2 * *\n@daily\n@weekly jobs=0\n@daily jobs=2")
    assert str(error.value) == (
        "line 1: five fields are needed (minute, hour, day, month, weekday), not 4; "
        "line 3: jobs must be from 1 to 1000, not 0; line 4 has the times of line 2: @daily"
    )


def test_what_the_method_cannot_do_is_refused_in_the_words_of_the_command() -> None:
    lines = read("@daily reuse_backup=link\n@weekly jobs=2")
    (problem,) = problems_of(lines, "postgres")
    assert problem.startswith("'@daily reuse_backup=link': --reuse-backup works with")
    assert warnings_of(lines, "postgres") == [
        "'@weekly jobs=2': --jobs is ignored: pg_basebackup copies in one stream"
    ]
    assert problems_of(lines, "rsync") == warnings_of(lines, "rsync") == []


def test_a_server_whose_schedule_asks_too_much_is_put_aside(tmp_path: Path) -> None:
    file = tmp_path / "barmand.conf"
    file.write_text(
        f"[barmand]\nbarman_home = {tmp_path}\n"
        "[pg]\nconninfo = host=pg\nbackup_method = postgres\nbackup_schedule =\n"
        "    0 2 * * *\n    @weekly incremental=last\n"
        "[well]\nconninfo = host=pg\nbackup_method = postgres\nbackup_schedule = @daily\n"
        "    @weekly name=weekly\n"
    )
    settings = read_ini(file)
    assert [line.key for line in settings.servers["well"].backup_schedule] == ["@daily", "@weekly"]
    (problem,) = settings.broken["pg"]
    assert problem.key == "backup_schedule"
    assert "--incremental is not carried" in problem.message


def test_a_comment_between_the_lines_is_told_as_what_it_is(tmp_path: Path) -> None:
    file = tmp_path / "barmand.conf"
    file.write_text(
        f"[barmand]\nbarman_home = {tmp_path}\n"
        "[pg]\nconninfo = host=pg\nbackup_method = postgres\nbackup_schedule =\n"
        "    0 2 * * *\n    # each Sunday\n    @weekly name=weekly\n"
    )
    (problem,) = read_ini(file).broken["pg"]
    assert "have no comment or empty line between them" in problem.message
