"""Barman's backup.info: what we write we read again, and what Barman writes we read too."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barmand.model.backup import Backup, Cluster, Copied, Reason, Status, Tablespace
from barmand.model.wal import SEGMENT_SIZES
from barmand.storage.info_text import decode, encode

ID = "20261123T005543"

# As Barman 3.19 wrote it for a cluster of PostgreSQL 15.
BARMANS = r"""backup_label='START WAL LOCATION: 0/3000028\nSTART TIMELINE: 1\n'
backup_name=friendly one
begin_offset=40
begin_time=2026-11-23 00:55:43.624000+00:00
begin_wal=000000010000000000000003
begin_xlog=0/3000028
children_backup_ids=20261123T005600,20261123T005700
cluster_size=23178953
compression=None
config_file=/pg/postgresql.conf
copy_stats={'copy_time': 1.164556, 'total_time': 1.2}
data_checksums=on
deduplicated_size=23170843
encryption=None
end_offset=0
end_time=2026-11-23 00:55:44.793846+00:00
end_wal=000000010000000000000003
end_xlog=0/4000000
error=None
hba_file=/pg/pg_hba.conf
ident_file=/pg/pg_ident.conf
included_files=['/pg/extra.conf']
mode=postgres
parent_backup_id=None
pgdata=/pg
server_name=main
size=23170843
status=DONE
summarize_wal=None
systemid=7711164279157336501
tablespaces=[("odd ts'é", 16384, '/ts')]
timeline=1
version=150018
xlog_segment_size=16777216
"""


def changed(key: str, value: str) -> str:
    lines = BARMANS.splitlines(keepends=True)
    return "".join(f"{key}={value}\n" if line.startswith(f"{key}=") else line for line in lines)


# ------------------------------------------------------------------------------------ round trip

one_line = (
    st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1)
    .map(str.strip)
    .filter(lambda text: text not in ("", "None"))
)
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(1980, 1, 1), datetime(2200, 1, 1), timezones=zones)  # noqa: DTZ001
sizes = st.integers(0, 1 << 60)
maybe_line = st.none() | one_line
clusters = st.builds(
    Cluster,
    system_id=st.integers(1, (1 << 64) - 1).map(str),
    version=st.integers(100000, 990000),
    segment_size=st.sampled_from(sorted(SEGMENT_SIZES)),
    pgdata=one_line,
    config_file=maybe_line,
    hba_file=maybe_line,
    ident_file=maybe_line,
    included_files=st.lists(st.text(), max_size=3).map(tuple),
    tablespaces=st.lists(
        st.builds(Tablespace, st.text(), st.integers(1, 1 << 31), st.text()), max_size=3
    ).map(tuple),
    size=st.none() | sizes,
    data_checksums=maybe_line,
    summarize_wal=maybe_line,
    is_standby=st.just(value=False),
)


@st.composite
def copies(draw: st.DrawFn) -> Copied:
    begin = draw(st.integers(0, 1 << 62))
    return Copied(
        timeline=draw(st.integers(1, (1 << 32) - 1)),
        begin_lsn=begin,
        begin_time=draw(moments),
        end_lsn=begin + draw(st.integers(1, 1 << 31)),
        end_time=draw(moments),
        backup_label=draw(st.text()),
        size=draw(sizes),
        deduplicated_size=draw(sizes),
        copy_seconds=draw(st.floats(0, 1e9)),
        workers=draw(st.integers(1, 64)),
    )


@st.composite
def backups(draw: st.DrawFn) -> Backup:
    status = draw(st.sampled_from([Status.DONE, Status.WAITING_FOR_WALS, Status.FAILED]))
    has_failed = status is Status.FAILED
    copied = draw(copies() if not has_failed else st.none() | copies())
    ended = copied.end_time if copied and status is Status.DONE else None
    return Backup(
        server="main",
        id=ID,
        status=status,
        method=draw(st.sampled_from(["postgres", "rsync", "local-rsync"])),
        name=draw(maybe_line),
        queued_at=datetime.strptime(ID, "%Y%m%dT%H%M%S").astimezone(),
        started_at=copied.begin_time if copied else None,
        copied_at=copied.end_time if copied else None,
        ended_at=ended,
        cluster=draw(clusters if not has_failed else st.none() | clusters),
        copied=copied,
        reason=Reason("ToolFailed", draw(one_line)) if has_failed else None,
        compression=draw(maybe_line),
        encryption=draw(maybe_line),
        parent_id=draw(st.none() | st.just("20250101T000000")),
        children_ids=draw(st.sampled_from([(), ("20270101T000000", "20280101T000000")])),
        snapshots=draw(st.none() | st.just('{"provider": "gcp"}')),
    )


@given(backups())
def test_what_is_encoded_is_decoded(backup: Backup) -> None:
    text = encode(backup)
    assert decode(text, "main", ID) == backup
    assert encode(decode(text, "main", ID)) == text


@given(backups())
def test_the_lines_are_sorted_and_each_is_one_line(backup: Backup) -> None:
    keys = [line.partition("=")[0] for line in encode(backup).rstrip("\n").split("\n")]
    assert keys == sorted(set(keys))
    assert ("backup_name" in keys) == (backup.name is not None)


# ---------------------------------------------------------------------------------------- encode


def backup(status: Status = Status.DONE, **facts: object) -> Backup:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Backup(server="main", id=ID, status=status, method="postgres", queued_at=now, **facts)  # type: ignore[arg-type] # facts of each test


def test_a_queued_backup_is_not_written() -> None:
    with pytest.raises(ValueError, match="queued"):
        encode(backup(Status.QUEUED))


def test_a_message_of_many_lines_becomes_one() -> None:
    text = encode(backup(Status.FAILED, reason=Reason("ToolFailed", " one\r\ntwo\nstatus=DONE\n")))
    assert "\nerror=one two status=DONE\n" in text
    assert "\nstatus=FAILED\n" in text


def test_a_deletion_keeps_the_word_from_before_it() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    failed = backup(Status.DELETING, reason=Reason("ToolFailed", "boom"), ended_at=now)
    assert "\nstatus=FAILED\n" in encode(failed)
    assert "\nstatus=DONE\n" in encode(backup(Status.DELETING, ended_at=now))
    assert "\nstatus=WAITING_FOR_WALS\n" in encode(backup(Status.DELETING))


def test_an_end_on_a_boundary_belongs_to_the_segment_before() -> None:
    text = encode(decode(BARMANS, "main", ID))
    assert "\nend_offset=0\n" in text
    assert "\nend_wal=000000010000000000000003\n" in text


# ---------------------------------------------------------------------------------------- decode


def test_barmans_own_is_read() -> None:
    found = decode(BARMANS, "main", ID)
    begin = datetime(2026, 11, 23, 0, 55, 43, 624000, tzinfo=UTC)
    end = datetime(2026, 11, 23, 0, 55, 44, 793846, tzinfo=UTC)
    assert found == Backup(
        server="main",
        id=ID,
        status=Status.DONE,
        method="postgres",
        name="friendly one",
        queued_at=datetime(2026, 11, 23, 0, 55, 43).astimezone(),
        started_at=begin,
        copied_at=end,
        ended_at=end,
        cluster=Cluster(
            system_id="7711164279157336501",
            version=150018,
            segment_size=16777216,
            pgdata="/pg",
            config_file="/pg/postgresql.conf",
            hba_file="/pg/pg_hba.conf",
            ident_file="/pg/pg_ident.conf",
            included_files=("/pg/extra.conf",),
            tablespaces=(Tablespace("odd ts'é", 16384, "/ts"),),
            size=23178953,
            data_checksums="on",
        ),
        copied=Copied(
            timeline=1,
            begin_lsn=0x3000028,
            begin_time=begin,
            end_lsn=0x4000000,
            end_time=end,
            backup_label="START WAL LOCATION: 0/3000028\nSTART TIMELINE: 1\n",
            size=23170843,
            deduplicated_size=23170843,
            copy_seconds=1.164556,
        ),
        children_ids=("20261123T005600", "20261123T005700"),
    )


@pytest.mark.parametrize("word", ["EMPTY", "STARTED", "SYNCING"])
def test_what_barman_left_unfinished_is_failed(word: str) -> None:
    found = decode(changed("status", word), "main", ID)
    assert found.status is Status.FAILED
    assert found.reason is not None
    assert (found.reason.code, found.reason.message) == ("Stopped", "interrupted")


def test_a_failed_one_says_why() -> None:
    found = decode(changed("status", "FAILED").replace("error=None", "error=a=b"), "main", ID)
    assert found.reason == Reason("ToolFailed", "a=b")
    silent = decode(changed("status", "FAILED"), "main", ID)
    assert silent.reason is not None
    assert "not recorded" in silent.reason.message


def test_an_error_left_over_from_an_attempt_before_is_no_reason() -> None:
    assert decode(BARMANS.replace("error=None", "error=old"), "main", ID).reason is None


def test_a_file_of_few_words_is_enough_for_a_failed_one() -> None:
    found = decode("# by hand\n\nstatus = FAILED\r\n", "main", ID)
    assert (found.cluster, found.copied, found.method) == (None, None, "")


def test_old_barman_knew_less() -> None:
    text = changed("systemid", "None").replace("xlog_segment_size=16777216\n", "")
    cluster = decode(text, "main", ID).cluster
    assert cluster is not None
    assert (cluster.system_id, cluster.segment_size) == ("", 16777216)
    assert "\nsystemid=None\n" in encode(decode(text, "main", ID))


def test_a_time_without_a_zone_is_local() -> None:
    copied = decode(changed("end_time", "2026-11-23 00:55:44"), "main", ID).copied
    assert copied is not None
    assert copied.end_time == datetime(2026, 11, 23, 0, 55, 44).astimezone()


@pytest.mark.parametrize(
    ("text", "seconds", "workers"),
    [
        ('{"copy_time": 1.5, "number_of_workers": 4}', 1.5, 4),
        ("{'total_time': 2, 'copy_time': None}", 2.0, 1),
        ("{}", 0.0, 1),
        ("None", 0.0, 1),
    ],
)
def test_the_statistics_of_the_copy(text: str, seconds: float, workers: int) -> None:
    copied = decode(changed("copy_stats", text), "main", ID).copied
    assert copied is not None
    assert (copied.copy_seconds, copied.workers) == (seconds, workers)


def test_sizes_that_are_not_told_are_guessed_from_the_other() -> None:
    copied = decode(changed("deduplicated_size", "None"), "main", ID).copied
    assert copied is not None
    assert copied.deduplicated_size == copied.size


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("status", "FINE", "line 28: status: not a status"),
        ("status", "None", "it has no status"),
        ("xlog_segment_size", "0", "line 34: xlog_segment_size: no cluster has"),
        ("size", "many", "line 27: size"),
        ("end_xlog", "zero", "line 18: end_xlog: not an LSN"),
        ("end_xlog", "None", "without a beginning and an end"),
        ("begin_xlog", "None", "it has no begin_xlog"),
        ("begin_time", "yesterday", "line 4: begin_time"),
        ("tablespaces", "[(1, 2)]", "line 31: tablespaces"),
        ("tablespaces", "__import__('os')", "line 31: tablespaces"),
        ("tablespaces", "(" * 10_000, "line 31: tablespaces"),
        ("included_files", "7", "line 22: included_files"),
        ("copy_stats", "7", "line 11: copy_stats: not a dictionary"),
        ("backup_label", "START", "line 1: backup_label"),
    ],
)
def test_damage_is_named_with_its_line(key: str, value: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        decode(changed(key, value), "main", ID)


def test_a_line_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="line 35: not key=value: 'garbage'"):
        decode(BARMANS + "garbage\n", "main", ID)
