"""INI files become Settings; what is wrong is told whole, and only stops what it must."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from barmand.model.errors import ConfigInvalid
from barmand.model.order import Reuse, TablespaceLimit
from barmand.model.secret import Conninfo
from barmand.settings import ini
from barmand.settings.schema import (
    BackupMethod,
    CreateSlot,
    LogLevel,
    Problem,
    Settings,
    WalRetention,
)

GLOBAL = "[barmand]\nbarman_home = /srv/barman\n"
SERVER = "conninfo = host=pg\nbackup_method = postgres\narchiver = on\n"


@dataclass(frozen=True)
class Etc:
    """A folder of configuration files."""

    folder: Path

    @property
    def main(self) -> Path:
        return self.folder / "barmand.ini"

    @property
    def more(self) -> Path:
        return self.folder / "more"

    def read(self, text: str) -> Settings:
        self.main.write_text(text, encoding="utf-8")
        return ini.read(self.main)

    def read_server(self, text: str) -> Settings:
        """One server [pg] with the needed minimum and these lines."""
        return self.read(f"{GLOBAL}[pg]\n{SERVER}{text}\n")

    def read_with(self, **files: str) -> Settings:
        """One healthy server [pg], and these files in the included folder."""
        self.more.mkdir()
        for name, text in files.items():
            (self.more / f"{name}.conf").write_text(text, encoding="utf-8")
        return self.read(
            f"{GLOBAL}configuration_files_directory = {self.more}\n[pg]\n{SERVER}",
        )

    def refusal(self, text: str) -> list[str]:
        """The problems that stop the daemon, without the name of the file."""
        with pytest.raises(ConfigInvalid) as failure:
            self.read(text)
        return [
            line.replace(f"{self.main}: ", "") for line in failure.value.message.split("\n")[1:]
        ]


@pytest.fixture
def etc(tmp_path: Path) -> Etc:
    return Etc(tmp_path)


def messages(problems: tuple[Problem, ...]) -> dict[str | None, str]:
    return {problem.key: problem.message for problem in problems}


# ---------------------------------------------------------------------------------- what is healthy


def test_the_least_that_is_needed_is_enough(etc: Etc) -> None:
    settings = etc.read_server("")
    assert list(settings.servers) == ["pg"]
    assert settings.path == etc.main
    assert (settings.problems, settings.warnings, dict(settings.broken)) == ((), (), {})


def test_defaults_are_the_documented_ones(etc: Etc) -> None:
    settings = etc.read_server("")
    server = settings.servers["pg"]
    assert settings.daemon.log_level is LogLevel.INFO
    assert settings.daemon.state_directory == Path("/var/lib/barmand")
    assert settings.daemon.control_socket == Path("/run/barmand/barmand.sock")
    assert server.name == "pg"
    assert server.active is True
    assert server.streaming_conninfo == server.conninfo == Conninfo("host=pg")
    assert server.path_prefix == ()
    assert server.backup_schedule == ()
    assert server.backup_schedule_grace == timedelta(hours=12)
    assert server.bandwidth_limit is None
    assert server.create_slot is CreateSlot.MANUAL


def test_directories_follow_the_home_and_the_name(etc: Etc) -> None:
    server = etc.read_server("").servers["pg"]
    assert server.backup_directory == Path("/srv/barman/pg")
    assert server.basebackups_directory == Path("/srv/barman/pg/base")
    assert server.wals_directory == Path("/srv/barman/pg/wals")
    assert server.incoming_wals_directory == Path("/srv/barman/pg/incoming")
    assert server.streaming_wals_directory == Path("/srv/barman/pg/streaming")
    assert server.errors_directory == Path("/srv/barman/pg/errors")


def test_directories_follow_the_servers_own_directory(etc: Etc) -> None:
    server = etc.read_server("backup_directory = /fast/pg/\nwals_directory = /slow//wal").servers[
        "pg"
    ]
    assert server.basebackups_directory == Path("/fast/pg/base")
    assert server.wals_directory == Path("/slow/wal")


def test_what_is_written_is_read(etc: Etc) -> None:
    settings = etc.read_server(
        "description = The shop\n"
        "path_prefix = /usr/lib/postgresql/17/bin:/opt/pg/bin\n"
        "backup_schedule = 0 2 * * * zone=Europe/Rome jitter=5m\n"
        "backup_schedule_grace = 2 HOURS\n"
        "bandwidth_limit = 4096\n"
        "create_slot = AUTO\n"
        "immediate_checkpoint = Yes\n"
    )
    server = settings.servers["pg"]
    assert server.description == "The shop"
    assert server.path_prefix == (Path("/usr/lib/postgresql/17/bin"), Path("/opt/pg/bin"))
    (line,) = server.backup_schedule
    assert line.times.zone == "Europe/Rome"
    assert server.backup_schedule_grace == timedelta(hours=2)
    assert server.bandwidth_limit == 4096
    assert server.create_slot is CreateSlot.AUTO
    assert server.immediate_checkpoint is True
    assert server.backup_method is BackupMethod.POSTGRES


def test_servers_are_in_the_order_of_their_names(etc: Etc) -> None:
    settings = etc.read(f"{GLOBAL}[b]\n{SERVER}[c]\n{SERVER}[a]\n{SERVER}")
    assert list(settings.servers) == ["a", "b", "c"]


def test_barmans_own_section_is_enough(etc: Etc) -> None:
    assert etc.read(f"[barman]\nbarman_home = /b\n[pg]\n{SERVER}").daemon.barman_home == Path("/b")


def test_of_both_global_sections_ours_decides(etc: Etc) -> None:
    settings = etc.read(
        "[barmand]\nbarman_home = /ours\n"
        "[barman]\nbarman_home = /theirs\nlog_level = debug\nbasebackup_retry_times = 3\n"
        f"[pg]\n{SERVER}"
    )
    assert settings.daemon.barman_home == Path("/ours")
    assert settings.daemon.log_level is LogLevel.DEBUG
    assert settings.servers["pg"].basebackup_retry_times == 3


def test_the_global_section_gives_defaults_and_a_server_overrides_them(etc: Etc) -> None:
    settings = etc.read(
        f"{GLOBAL}check_timeout = 99\nbackup_schedule = @daily\n"
        f"[a]\n{SERVER}[b]\n{SERVER}check_timeout = 7\nbackup_schedule =\n"
    )
    assert [server.check_timeout for server in settings.servers.values()] == [99, 7]
    assert [line.text for line in settings.servers["a"].backup_schedule] == ["@daily"]
    assert settings.servers["b"].backup_schedule == ()


def test_what_is_for_servers_only_is_not_inherited_but_told(etc: Etc) -> None:
    settings = etc.read(f"{GLOBAL}active = off\n[pg]\n{SERVER}")
    assert settings.servers["pg"].active is True
    assert "no effect here" in messages(settings.warnings)["active"]


@pytest.mark.parametrize("written", ["'The shop'", '"The shop"', "The shop"])
def test_quotes_around_a_value_are_taken_off(etc: Etc, written: str) -> None:
    assert etc.read_server(f"description = {written}").servers["pg"].description == "The shop"


@pytest.mark.parametrize("written", ["'The shop\"", "'", "Joe's"])
def test_quotes_that_do_not_match_stay(etc: Etc, written: str) -> None:
    assert etc.read_server(f"description = {written}").servers["pg"].description == written


def test_nothing_is_interpolated(etc: Etc) -> None:
    settings = etc.read_server("description = 100%(sure)s {name} $HOME")
    assert settings.servers["pg"].description == "100%(sure)s {name} $HOME"


def test_comments_and_byte_order_mark_and_carriage_returns_are_passed_over(etc: Etc) -> None:
    text = f"\ufeff; one\r\n# two\r\n{GLOBAL}[pg]\n{SERVER}".replace("\n", "\r\n")
    etc.main.write_bytes(text.encode())
    assert list(ini.read(etc.main).servers) == ["pg"]


def test_a_section_named_default_is_a_server_like_any_other(etc: Etc) -> None:
    settings = etc.read(f"{GLOBAL}[DEFAULT]\n{SERVER}check_timeout = 5\n[pg]\n{SERVER}")
    assert list(settings.servers) == ["DEFAULT", "pg"]
    assert settings.servers["pg"].check_timeout == 30


# ---------------------------------------------------------------------- what stops the whole daemon


def test_a_missing_file_stops_the_daemon(etc: Etc) -> None:
    with pytest.raises(ConfigInvalid, match="cannot be read: No such file or directory") as failure:
        ini.read(etc.main)
    assert failure.value.hint is not None
    assert "section" not in failure.value.message


def test_a_folder_in_place_of_the_file_stops_the_daemon(etc: Etc) -> None:
    with pytest.raises(ConfigInvalid, match="cannot be read: Is a directory"):
        ini.read(etc.folder)


def test_a_file_that_is_not_utf8_stops_the_daemon_and_its_line_is_told(etc: Etc) -> None:
    etc.main.write_bytes(GLOBAL.encode() + b"description = caf\xe9\n")
    with pytest.raises(ConfigInvalid, match="line 3 is not UTF-8"):
        ini.read(etc.main)


def test_a_zero_byte_stops_the_daemon(etc: Etc) -> None:
    assert etc.refusal(f"{GLOBAL}[\0x]\n") == ["holds a zero byte"]


def test_no_global_section_stops_the_daemon(etc: Etc) -> None:
    assert etc.refusal(f"[pg]\n{SERVER}") == ["there is no [barmand] or [barman] section"]


def test_no_home_stops_the_daemon(etc: Etc) -> None:
    assert etc.refusal("[barman]\n") == ["[barman] barman_home: is required"]


def test_lines_before_any_section_stop_the_daemon(etc: Etc) -> None:
    assert etc.refusal(f"a = 1\nb = 2\n{GLOBAL}") == [
        "line 1 stands before any [section]",
        "line 2 stands before any [section]",
    ]


def test_lines_without_grammar_stop_the_daemon_and_are_not_shown(etc: Etc) -> None:
    assert etc.refusal(f"{GLOBAL}s3cret\n[pg\n[]\n") == [
        "line 3 is neither [section] nor key = value",
        "line 4 is neither [section] nor key = value",
        "line 5 is neither [section] nor key = value",
    ]


def test_every_problem_of_every_section_is_told_at_once(etc: Etc) -> None:
    found = etc.refusal(
        "[barman]\nbarman_home = here\nlog_level = LOUD\nlog_levle = INFO\ncheck_timeout = -1\n"
        "check_timeout = 2\n[pg]\nconninfo = host=pg\nslot_name = My-Slot\n"
    )
    assert found == [
        "[barman] check_timeout: must be from 0 to 31622400, not -1",
        "[barman] barman_home: must be an absolute path without '..', not 'here'",
        "[barman] log_level: must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL, not 'LOUD'",
        "[barman] log_levle: unknown option, did you mean log_level?",
        "[barman] check_timeout: stands there again in line 6",
        "[pg] slot_name: must be 1 to 63 of a-z, 0-9 and _, not 'My-Slot'",
        "[pg] ssh_command: is required by backup_method = rsync (Barman's default)",
    ]


def test_an_included_folder_that_cannot_be_read_stops_the_daemon(etc: Etc) -> None:
    text = f"{GLOBAL}configuration_files_directory = /nowhere/at/all\n"
    assert etc.refusal(text) == [
        (
            "[barmand] configuration_files_directory: /nowhere/at/all cannot be read: "
            "No such file or directory"
        )
    ]


# ------------------------------------------------------------------------- what sets a server aside


def test_a_broken_server_is_set_aside_and_the_others_live(etc: Etc) -> None:
    settings = etc.read(f"{GLOBAL}[pg]\n{SERVER}[lost]\nbackup_method = postgres\n")
    assert list(settings.servers) == ["pg"]
    assert list(settings.broken) == ["lost"]
    assert settings.broken["lost"] == settings.problems
    assert str(settings.problems[0]) == f"{etc.main}: [lost] conninfo: is required"


@pytest.mark.parametrize(
    ("line", "key", "message"),
    [
        ("chek_timeout = 3", "chek_timeout", "unknown option, did you mean check_timeout?"),
        ("compresion = gzip", "compresion", "unknown option, did you mean compression?"),
        ("frobnicate = 3", "frobnicate", "unknown option"),
        ("log_level = INFO", "log_level", "belongs in the [barmand] section"),
        ("active = perhaps", "active", "must be on or off, not 'perhaps'"),
        ("check_timeout = soon", "check_timeout", "must be a whole number"),
        ("check_timeout = 9999999999999999999999", "check_timeout", "must be a whole number"),
        ("check_timeout =", "check_timeout", "must be a whole number"),
        ("parallel_jobs = 0", "parallel_jobs", "must be from 1 to 1000, not 0"),
        ("minimum_redundancy = -1", "minimum_redundancy", "must be from 0"),
        ("bandwidth_limit = 31", "bandwidth_limit", "pg_basebackup takes 32 to 1048576 KiB/s"),
        ("network_compression = true", "network_compression", "not possible with backup_method"),
        ("tablespace_bandwidth_limit = t:9", "tablespace_bandwidth_limit", "not possible with"),
        ("tablespace_bandwidth_limit = 9", "tablespace_bandwidth_limit", "must be like name:KiB/s"),
        ("reuse_backup = link", "reuse_backup", "not possible with backup_method = postgres"),
        ("bandwidth_limit = fast", "bandwidth_limit", "not 'fast'"),
        ("create_slot = maybe", "create_slot", "must be one of manual, auto, not 'maybe'"),
        ("slot_name = a b", "slot_name", "must be 1 to 63 of a-z, 0-9 and _"),
        ("streaming_archiver_name =", "streaming_archiver_name", "printable ASCII"),
        ("wals_directory = ../wals", "wals_directory", "must be an absolute path"),
        ("wals_directory = /a/../wals", "wals_directory", "without '..'"),
        ("wals_directory = s3://bucket", "wals_directory", "must be an absolute path"),
        ("path_prefix = /a:b", "path_prefix", "must be an absolute path"),
        ("backup_schedule = hourly", "backup_schedule", "five fields are needed"),
        ("backup_schedule_grace = 6", "backup_schedule_grace", "must be like 90m, 6h, 1d"),
        ("backup_schedule_grace = 6 moons", "backup_schedule_grace", "not '6 moons'"),
        ("backup_schedule_grace = 99 MONTHS", "backup_schedule_grace", "at most a year"),
        ("description = a\x07b", "description", "holds a control character"),
        ("description = a\n  active = off", "description", "goes on in the next line"),
        ("primary_conninfo = s3cret", "primary_conninfo", "must be key=value words or a"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(
    etc: Etc, line: str, key: str, message: str
) -> None:
    settings = etc.read_server(line)
    assert not settings.servers
    assert [problem.key for problem in settings.broken["pg"]] == [key]
    assert message in settings.problems[0].message
    assert "s3cret" not in str(settings.problems)


def test_a_wrong_conninfo_is_one_problem_though_others_derive_from_it(etc: Etc) -> None:
    settings = etc.read(f"{GLOBAL}[pg]\nconninfo = pg\nbackup_method = postgres\narchiver = on\n")
    assert [problem.key for problem in settings.problems] == ["conninfo"]


def test_a_repeated_option_is_told_each_time_with_its_line(etc: Etc) -> None:
    settings = etc.read_server("check_timeout = 1\ncheck_timeout = 2\n   3\nCheck_Timeout = 4")
    assert [str(problem).removeprefix(f"{etc.main}: ") for problem in settings.broken["pg"]] == [
        "[pg] check_timeout: stands there again in line 8",
        "[pg] check_timeout: stands there again in line 10",
    ]


def test_a_repeated_section_is_told_with_its_line(etc: Etc) -> None:
    settings = etc.read(f"{GLOBAL}[pg]\n{SERVER}[ok]\n{SERVER}[pg]\n{SERVER}{SERVER}")
    assert list(settings.servers) == ["ok"]
    assert str(settings.problems[0]) == f"{etc.main}: [pg]: the section begins again in line 11"


@pytest.mark.parametrize(
    "name",
    ["all", "ALL", "a/b", "..", "a..b", "-f", ".hidden", " ", " pg", "a\x1bb", "a\tb", "ä" * 128],
)
def test_a_hostile_name_of_a_server_is_refused(etc: Etc, name: str) -> None:
    settings = etc.read(f"{GLOBAL}[{name}]\n{SERVER}[pg]\n{SERVER}")
    assert list(settings.servers) == ["pg"]
    assert [problem.key for problem in settings.broken[name]] == [None]
    assert "\x1b" not in str(settings.broken[name][0])


def test_a_name_as_long_as_a_folders_name_is_fine(etc: Etc) -> None:
    assert etc.read(f"{GLOBAL}[{'a' * 255}]\n{SERVER}").servers


def test_cloud_snapshots_set_the_server_aside(etc: Etc) -> None:
    settings = etc.read(
        f"{GLOBAL}backup_method = snapshot\n[pg]\nconninfo = host=pg\narchiver=on\n"
    )
    assert "not carried" in messages(settings.broken["pg"])["backup_method"]


@pytest.mark.parametrize("method", ["local", "local-rsync"])
def test_a_local_copy_needs_no_ssh(etc: Etc, method: str) -> None:
    line = f"backup_method = {method}\nssh_command = ssh a@b\n"
    settings = etc.read(f"{GLOBAL}[pg]\nconninfo = host=pg\narchiver = on\n{line}")
    assert list(settings.servers) == ["pg"]
    assert "has no effect" in messages(settings.warnings)["ssh_command"]


def test_which_wal_stays_is_read_in_barmans_words(etc: Etc) -> None:
    server = etc.read_server("worm_mode = on\nwal_retention_policy = MAIN").servers["pg"]
    assert server.worm_mode
    assert server.wal_retention_policy is WalRetention.MAIN
    other = etc.read_server("wal_retention_policy = simple-wal 3")
    assert "wal_retention_policy" in messages(other.broken["pg"])


def test_which_backups_stay_is_read_in_barmans_words(etc: Etc) -> None:
    server = etc.read_server("retention_policy = recovery  window of 2 weeks").servers["pg"]
    assert str(server.retention_policy) == "RECOVERY WINDOW OF 2 WEEKS"
    assert server.failed_backup_maximum_age == timedelta(days=30)
    for nothing in ("retention_policy = none", "retention_policy ="):
        assert etc.read_server(nothing).servers["pg"].retention_policy is None
    never = etc.read_server("failed_backup_maximum_age =").servers["pg"]
    assert never.failed_backup_maximum_age is None


@pytest.mark.parametrize("line", ["retention_policy = REDUNDANCY 0", "retention_policy = 7 DAYS"])
def test_a_policy_that_keeps_nothing_or_says_nothing_puts_the_server_aside(
    etc: Etc, line: str
) -> None:
    assert "retention_policy" in messages(etc.read_server(line).broken["pg"])


def test_redundancy_below_the_minimum_is_warned_of(etc: Etc) -> None:
    read = etc.read_server("retention_policy = REDUNDANCY 2\nminimum_redundancy = 3")
    assert "minimum_redundancy" in messages(read.warnings)
    assert "the newest 3 stay" in messages(read.warnings)["minimum_redundancy"]
    fits = etc.read_server("retention_policy = REDUNDANCY 3\nminimum_redundancy = 3")
    assert "minimum_redundancy" not in messages(fits.warnings)


def test_rsync_reads_its_own_options(etc: Etc) -> None:
    own = (
        "backup_method = rsync\nssh_command = ssh postgres@db1\nreuse_backup = LINK\n"
        "network_compression = on\ntablespace_bandwidth_limit = fast:100, slow:7\n"
    )
    server = etc.read(f"{GLOBAL}[pg]\nconninfo = host=pg\narchiver = on\n{own}").servers["pg"]
    assert server.ssh_command == "ssh postgres@db1"
    assert server.reuse_backup is Reuse.LINK
    assert server.tablespace_bandwidth_limit == (
        TablespaceLimit("fast", 100),
        TablespaceLimit("slow", 7),
    )


@pytest.mark.parametrize(
    "line",
    [
        "encryption = gpg",
        "primary_ssh_command = ssh barman@other",
    ],
)
@pytest.mark.parametrize("is_inherited", [True, False])
def test_what_would_be_unsafe_to_pass_over_sets_the_server_aside(
    etc: Etc,
    line: str,
    is_inherited: bool,
) -> None:
    common, own = (line, "") if is_inherited else ("", line)
    settings = etc.read(f"{GLOBAL}{common}\n[pg]\n{SERVER}{own}\n")
    assert not settings.servers
    assert (
        "is not carried by this version" in messages(settings.broken["pg"])[line.partition(" ")[0]]
    )


def test_a_server_may_undo_what_is_unsafe_in_the_global_section(etc: Etc) -> None:
    settings = etc.read(f"{GLOBAL}encryption = gpg\n[pg]\n{SERVER}encryption = none\n")
    assert list(settings.servers) == ["pg"]


# -------------------------------------------------------------------------------- what is warned of


@pytest.mark.parametrize(
    "line",
    [
        "compression = custom",
        "custom_compression_filter = gzip -c",
        "log_file = /var/log/barman.log",
        "aws_region = eu-west-1",
        "snapshot_disks = a",
        "cluster = shop",
        "xlogdb_directory = /x",
        "log_format = x",
    ],
)
def test_what_is_not_carried_is_named_in_a_warning(etc: Etc, line: str) -> None:
    settings = etc.read_server(line)
    assert list(settings.servers) == ["pg"]
    assert settings.problems == ()
    assert messages(settings.warnings)[line.partition(" ")[0]].startswith("is not carried: ")


@pytest.mark.parametrize(
    "line",
    [
        "compression = none",
        "compression =",
        "encryption = NONE",
        "worm_mode = off",
        "reuse_backup = off",
        "network_compression = 0",
        "retention_policy_mode = auto",
        "backup_options = concurrent_backup",
        "cluster = pg",
        "xlogdb_directory = /srv/barman/pg/wals",
        "barman_lock_directory = /srv/barman",
        "barman_user = barman",
        "model = false",
    ],
)
def test_what_is_barmans_default_anyway_is_not_worth_a_word(etc: Etc, line: str) -> None:
    settings = etc.read_server(line)
    assert (settings.problems, settings.warnings) == ((), ())


def test_what_is_not_carried_in_the_global_section_is_told_once(etc: Etc) -> None:
    settings = etc.read(
        f"{GLOBAL}custom_compression_magic = 0x1f\nparallel_jobs = 2\n[a]\n{SERVER}[b]\n{SERVER}"
    )
    assert [(warning.section, warning.key) for warning in settings.warnings] == [
        ("barmand", "custom_compression_magic"),
        ("barmand", "parallel_jobs"),
    ]


def test_a_model_is_passed_over_with_a_warning(etc: Etc) -> None:
    settings = etc.read(f"{GLOBAL}[pg]\n{SERVER}[pg:spare]\nmodel = true\ncluster = pg\n")
    assert list(settings.servers) == ["pg"]
    assert settings.problems == ()
    assert [warning.section for warning in settings.warnings] == ["pg:spare"]


def test_without_any_archiver_the_file_archiver_is_on(etc: Etc) -> None:
    settings = etc.read(f"{GLOBAL}[pg]\nconninfo = host=pg\nbackup_method = postgres\n")
    assert settings.servers["pg"].archiver is True
    assert "taken as on" in messages(settings.warnings)["archiver"]


def test_streaming_without_a_slot_is_warned_of(etc: Etc) -> None:
    settings = etc.read_server("streaming_archiver = on")
    assert settings.servers["pg"].streaming_archiver is True
    assert "WAL can be lost" in messages(settings.warnings)["slot_name"]


def test_streaming_with_a_slot_is_fine(etc: Etc) -> None:
    settings = etc.read_server("streaming_archiver = on\nslot_name = barman")
    assert (settings.servers["pg"].slot_name, settings.warnings) == ("barman", ())


# ----------------------------------------------------------------------------------- included files


def test_included_files_bring_more_servers(etc: Etc) -> None:
    settings = etc.read_with(a=f"[a]\n{SERVER}", z=f"[z]\n{SERVER}check_timeout = 5\n")
    assert list(settings.servers) == ["a", "pg", "z"]


def test_only_conf_files_are_included_and_no_hidden_ones(etc: Etc) -> None:
    etc.more.mkdir()
    for name in ("a.ini", "a.conf~", ".a.conf"):
        (etc.more / name).write_text("rubbish")
    main = etc.more / "barmand.conf"
    main.write_text(f"{GLOBAL}configuration_files_directory = {etc.more}\n[pg]\n{SERVER}")
    settings = ini.read(main)
    assert (list(settings.servers), settings.problems) == (["pg"], ())


def test_an_included_file_without_grammar_takes_only_its_own_servers_along(etc: Etc) -> None:
    settings = etc.read_with(bad=f"[x]\n{SERVER}rubbish\n[y]\n{SERVER}", good=f"[z]\n{SERVER}")
    assert list(settings.servers) == ["pg", "z"]
    assert list(settings.broken) == ["x", "y"]
    line = f"{etc.more}/bad.conf: line 5 is neither [section] nor key = value"
    assert [str(problem) for problem in settings.problems] == [line]


def test_an_included_file_that_cannot_be_read_is_its_own_problem(etc: Etc) -> None:
    etc.more.mkdir()
    (etc.more / "gone.conf").symlink_to("nowhere")
    (etc.more / "latin.conf").write_bytes(b"[caf\xe9]\n")
    settings = etc.read(f"{GLOBAL}configuration_files_directory={etc.more}\n[pg]\n{SERVER}")
    assert list(settings.servers) == ["pg"]
    assert [problem.message for problem in settings.problems] == [
        "cannot be read: No such file or directory",
        "line 1 is not UTF-8",
    ]


def test_a_server_in_two_files_is_set_aside(etc: Etc) -> None:
    settings = etc.read_with(a=f"[pg]\n{SERVER}", b=f"[b]\n{SERVER}")
    assert list(settings.servers) == ["b"]
    both = f"is a section of more than one file: {etc.main}, {etc.more}/a.conf"
    assert [problem.message for problem in settings.broken["pg"]] == [both, both]
    assert [problem.file for problem in settings.problems] == [etc.main, etc.more / "a.conf"]


def test_a_global_section_in_an_included_file_is_a_problem_of_that_file(etc: Etc) -> None:
    settings = etc.read_with(a="[barman]\nbarman_home = /x\n")
    assert list(settings.servers) == ["pg"]
    assert settings.daemon.barman_home == Path("/srv/barman")
    assert str(settings.problems[0]) == (
        f"{etc.more}/a.conf: [barman]: has no effect in this file: it belongs in {etc.main}"
    )


# ------------------------------------------------------------------------------------------ secrets


def test_no_password_is_shown_by_settings_or_problems(etc: Etc) -> None:
    settings = etc.read(
        f"{GLOBAL}[a]\n{SERVER}wal_conninfo = host=a password=s3cret\n"
        "[b]\nconninfo = postgresql://u:s3cret@pg/db\nactive = x\n"
    )
    assert list(settings.broken) == ["b"]
    assert "s3cret" not in repr(settings) + "".join(map(str, settings.problems))
