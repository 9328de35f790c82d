"""A field is the option: nothing else is needed to add one, and Barman's are all known."""

import dataclasses
from pathlib import Path

import pytest

from barmand.model.hook import HOOKS
from barmand.settings.schema import (
    NOT_CARRIED,
    DaemonSettings,
    Derived,
    Option,
    Problem,
    ServerSettings,
    find_not_carried,
    options,
)

# Every option of Barman 3.17 but the hooks and the clouds.
BARMANS = """
barman_home barman_user barman_lock_directory lock_directory_cleanup log_file log_level log_format
config_changes_queue configuration_files_directory active description cluster conninfo
streaming_conninfo wal_conninfo wal_streaming_conninfo primary_conninfo primary_checkpoint_timeout
primary_ssh_command ssh_command path_prefix backup_method backup_options backup_directory
basebackups_directory wals_directory incoming_wals_directory streaming_wals_directory
errors_directory xlogdb_directory immediate_checkpoint reuse_backup parallel_jobs
parallel_jobs_start_batch_size parallel_jobs_start_batch_period bandwidth_limit
tablespace_bandwidth_limit network_compression basebackup_retry_times basebackup_retry_sleep
keepalive_interval check_timeout autogenerate_manifest backup_compression backup_compression_format
backup_compression_level backup_compression_workers backup_compression_location encryption
encryption_key_id encryption_passphrase_command combine_mode staging_path staging_location
local_staging_path recovery_staging_path archiver archiver_batch_size streaming_archiver
streaming_archiver_batch_size streaming_archiver_name streaming_backup_name slot_name create_slot
compression compression_level max_incoming_wals_queue minimum_redundancy retention_policy
retention_policy_mode wal_retention_policy last_backup_maximum_age last_wal_maximum_age
last_backup_minimum_size recovery_options forward_config_path worm_mode
""".split()  # noqa: SIM905 - eighty quoted words would not be read

CARRIED = {**options(DaemonSettings), **options(ServerSettings)}


@pytest.mark.parametrize("key", BARMANS)
def test_every_option_of_barman_is_known(key: str) -> None:
    assert (key in CARRIED) != (key in NOT_CARRIED)


def test_the_twenty_hooks_are_known() -> None:
    scripts = [key for key in options(ServerSettings) if key.endswith("_script")]
    assert sorted(scripts) == sorted(HOOKS)
    assert len([key for key in scripts if "backup_done" not in key]) == 20


def test_cloud_options_are_known_by_their_beginning() -> None:
    assert find_not_carried("azure_credential") is not None
    assert find_not_carried("cloudy") is None


def test_every_field_but_the_name_is_an_option() -> None:
    names = [field.name for field in dataclasses.fields(ServerSettings)]
    assert ["name", *options(ServerSettings)] == names
    assert list(options(DaemonSettings)) == [
        field.name for field in dataclasses.fields(DaemonSettings)
    ]


@pytest.mark.parametrize("option", CARRIED.values(), ids=CARRIED)
def test_every_option_has_a_meaning_and_a_type_in_words(option: Option) -> None:
    assert option.doc.text.endswith(".")
    assert option.kind.words


def test_a_derived_default_waits_for_what_it_is_made_of() -> None:
    assert Derived("{a}/{b}").text({"a": "x"}) is None
    assert Derived("{a}/{b}").text({"a": "x", "b": "{c}"}) == "x/{c}"


@pytest.mark.parametrize(
    ("section", "key", "line"),
    [
        (None, None, "/f: wrong"),
        ("pg", None, "/f: [pg]: wrong"),
        ("pg", "slot", "/f: [pg] slot: wrong"),
        ("p\ng", "s\x1b", "/f: [p?g] s?: wrong"),
    ],
)
def test_a_problem_is_one_line(section: str | None, key: str | None, line: str) -> None:
    assert str(Problem(Path("/f"), section, key, "wrong")) == line
