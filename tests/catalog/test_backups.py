"""Backups in the catalogue: one active each, ids for ever, and no move that nobody hears of."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import exc, insert, text

from barmand.catalog import backup_rows, rows
from barmand.catalog.backups import MovedByAnother
from barmand.catalog.memory import Catalog
from barmand.model.backup import Backup, Cluster, Copied, Reason, Status, Tablespace
from barmand.model.errors import NotFound, Refused, UsageError

NOW = datetime(2024, 5, 1, 2, 30, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
SPACES = (Tablespace("fast", 16400, "/nvme"), Tablespace("slow", 16401, "/disk"))
CLUSTER = Cluster(
    system_id="7300000000000000001",
    version=150018,
    segment_size=2**24,
    pgdata="/pg",
    tablespaces=SPACES,
)
COPIED = Copied(
    timeline=1,
    begin_lsn=0x2000028,
    begin_time=NOW,
    end_lsn=0x2000100,
    end_time=NOW,
    backup_label="LABEL",
    size=10,
    deduplicated_size=10,
    copy_seconds=1.5,
)
REASON = Reason("ToolFailed", "pg_basebackup failed", "Look.")


def queue(
    catalog: Catalog, server: str = "main", *, name: str | None = None, now: datetime = NOW
) -> Backup:
    return catalog.backups.queue(server, method="postgres", name=name, requester="alice", now=now)


def fail(catalog: Catalog, backup: Backup) -> Backup:
    return catalog.backups.move(backup, backup.failed(NOW, REASON), now=NOW)


def remove(catalog: Catalog, backup: Backup) -> None:
    deleting = catalog.backups.move(backup, backup.deleting(), now=NOW)
    catalog.backups.remove(deleting, now=NOW, facts={"removed_wals": 3})


def told(catalog: Catalog) -> list[tuple[str, str | None, str]]:
    return [
        (event.kind, event.backup_id, event.actor) for event in catalog.events.of_server("main")
    ]


# ------------------------------------------------------------------------------------------- queue
def test_a_queued_backup_is_there_for_everybody(catalog: Catalog) -> None:
    queued = queue(catalog, name="weekly")
    assert queued == Backup(
        server="main",
        id="20240501T023000",
        status=Status.QUEUED,
        method="postgres",
        name="weekly",
        requester="alice",
        queued_at=NOW,
    )
    assert catalog.backups.get("main", queued.id) == queued
    assert told(catalog) == [("backup QUEUED", queued.id, "alice")]


def test_a_second_backup_of_the_same_server_is_refused(catalog: Catalog) -> None:
    queued = queue(catalog)
    with pytest.raises(Refused, match=f"already QUEUED: {queued.id}"):
        queue(catalog)
    catalog.backups.move(queued, queued.begun(NOW, CLUSTER), now=NOW)
    with pytest.raises(Refused, match=f"already STARTED: {queued.id}"):
        queue(catalog)
    assert catalog.backups.of_server("main") == [catalog.backups.get("main", queued.id)]


def test_another_servers_backup_is_nobodys_business(catalog: Catalog) -> None:
    queue(catalog, "one")
    queue(catalog, "two")
    assert sorted(catalog.backups.servers()) == ["one", "two"]


@pytest.mark.parametrize("status", [Status.QUEUED, Status.STARTED])
def test_a_second_active_row_is_refused_even_behind_the_guard(
    catalog: Catalog, status: Status
) -> None:
    queued = queue(catalog)
    intruder = replace(queued, id="20990101T000000", status=status)
    with pytest.raises(exc.IntegrityError, match="UNIQUE"), catalog.database.writing() as here:
        here.execute(insert(rows.backups).values(backup_rows.values_of(intruder)))


def test_any_number_of_backups_may_be_over(catalog: Catalog) -> None:
    for _ in range(3):
        fail(catalog, queue(catalog))
    assert [backup.status for backup in catalog.backups.of_server("main")] == [Status.FAILED] * 3


# --------------------------------------------------------------------------------------------- ids
def test_two_backups_in_one_second_have_two_ids(catalog: Catalog) -> None:
    ids = [fail(catalog, queue(catalog)).id for _ in range(3)]
    assert ids == ["20240501T023000", "20240501T023001", "20240501T023002"]


def test_an_id_is_never_used_again_even_after_its_backup_is_gone(catalog: Catalog) -> None:
    first = fail(catalog, queue(catalog))
    remove(catalog, first)
    assert catalog.backups.of_server("main") == []
    assert queue(catalog).id == "20240501T023001"


def test_an_id_is_never_used_again_when_the_clock_goes_back(catalog: Catalog) -> None:
    first = fail(catalog, queue(catalog))
    remove(catalog, first)
    assert queue(catalog, now=NOW - timedelta(days=2)).id == "20240501T023001"


def test_an_adopted_id_counts_too(catalog: Catalog) -> None:
    catalog.backups.adopt(replace(whole("main"), id="20300101T000000"), LATER)
    catalog.backups.adopt(replace(whole("main"), id="20200101T000000"), LATER)
    assert queue(catalog).id == "20300101T000001"


# ------------------------------------------------------------------------------------------- names
def test_a_name_in_use_is_refused(catalog: Catalog) -> None:
    first = fail(catalog, queue(catalog, name="weekly"))
    with pytest.raises(Refused, match=f"'weekly' already belongs to backup {first.id}"):
        queue(catalog, name="weekly")
    assert queue(catalog, "other", name="weekly").name == "weekly"


def test_a_name_is_free_again_once_its_backup_is_gone(catalog: Catalog) -> None:
    remove(catalog, fail(catalog, queue(catalog, name="weekly")))
    assert queue(catalog, name="weekly").name == "weekly"


def test_a_schedule_gives_its_name_again_and_again(catalog: Catalog) -> None:
    for _ in range(2):
        backup = catalog.backups.queue(
            "main", method="postgres", name="weekly", requester="", now=NOW, shares_name=True
        )
        fail(catalog, backup)
    assert [backup.name for backup in catalog.backups.of_server("main")] == ["weekly"] * 2


def test_a_name_that_is_no_name_queues_nothing(catalog: Catalog) -> None:
    with pytest.raises(UsageError):
        queue(catalog, name="last")
    assert catalog.backups.of_server("main") == []
    assert told(catalog) == []


# ------------------------------------------------------------------------------------------- moves
def test_every_move_is_told_by_an_event(catalog: Catalog) -> None:
    queued = queue(catalog)
    begun = catalog.backups.move(queued, queued.begun(NOW, CLUSTER), now=NOW)
    failed = catalog.backups.move(
        begun, begun.failed(LATER, REASON), now=LATER, actor="bob", facts={"attempts": 2}
    )
    remove(catalog, failed)
    assert told(catalog) == [
        ("backup QUEUED", queued.id, "alice"),
        ("backup STARTED", queued.id, "barmand"),
        ("backup FAILED", queued.id, "bob"),
        ("backup DELETING", queued.id, "barmand"),
        ("backup deleted", queued.id, "barmand"),
    ]
    events = catalog.events.of_server("main")
    why = {"code": "ToolFailed", "message": "pg_basebackup failed"}
    assert (events[2].at, events[2].facts) == (LATER, {"attempts": 2, **why})
    assert events[4].facts == {"removed_wals": 3}


def test_a_backup_that_another_moved_is_not_moved_again(catalog: Catalog) -> None:
    queued = queue(catalog)
    fail(catalog, queued)
    with pytest.raises(MovedByAnother, match=f"backup {queued.id} of main is not QUEUED"):
        catalog.backups.move(queued, queued.begun(NOW, CLUSTER), now=NOW)
    assert catalog.backups.get("main", queued.id).status is Status.FAILED
    assert len(told(catalog)) == 2


def test_an_event_that_cannot_be_written_takes_the_move_back(catalog: Catalog) -> None:
    queued = queue(catalog)
    unwritable = {"a thing": object()}
    with pytest.raises(exc.StatementError):
        catalog.backups.move(queued, queued.begun(NOW, CLUSTER), now=NOW, facts=unwritable)
    assert catalog.backups.get("main", queued.id) == queued
    assert catalog.servers.system_id("main") is None
    assert len(told(catalog)) == 1


def test_a_full_disk_at_the_event_takes_the_move_back(catalog: Catalog) -> None:
    queued = queue(catalog)
    with catalog.database.writing() as connection:
        connection.execute(
            text("CREATE TRIGGER t BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'full'); END")
        )
    with pytest.raises(exc.IntegrityError, match="full"):
        fail(catalog, queued)
    assert catalog.backups.get("main", queued.id) == queued


def test_a_held_backup_is_not_deleted(catalog: Catalog) -> None:
    failed = fail(catalog, queue(catalog))
    with catalog.holds.held(failed, holder="restore to /srv", now=NOW):
        with pytest.raises(Refused, match=f"backup {failed.id} of main is in use: restore to /srv"):
            remove(catalog, failed)
        assert catalog.backups.get("main", failed.id) == failed
    remove(catalog, failed)


def test_the_clusters_facts_are_remembered_for_its_server(catalog: Catalog) -> None:
    queued = queue(catalog)
    begun = catalog.backups.move(queued, queued.begun(NOW, CLUSTER), now=NOW)
    assert catalog.backups.get("main", queued.id) == begun
    assert catalog.servers.system_id("main") == CLUSTER.system_id


# --------------------------------------------------------------------------------- asking, removing
def test_a_backup_that_is_not_there_is_not_found(catalog: Catalog) -> None:
    with pytest.raises(NotFound, match="server main has no backup 20240501T023000"):
        catalog.backups.get("main", "20240501T023000")


def test_backups_come_oldest_first_and_by_status(catalog: Catalog) -> None:
    first, second = fail(catalog, queue(catalog)), queue(catalog, now=LATER)
    other = queue(catalog, "other", now=NOW + timedelta(minutes=1))
    assert catalog.backups.of_server("main") == [first, second]
    assert catalog.backups.in_status(Status.QUEUED) == [other, second]
    assert catalog.backups.in_status(Status.FAILED, Status.DONE) == [first]
    assert catalog.backups.in_status(Status.DONE) == []


def test_only_a_backup_whose_deletion_has_begun_can_be_forgotten(catalog: Catalog) -> None:
    done = whole("main")
    catalog.backups.adopt(done, NOW)
    catalog.backups.remove(done, now=NOW, facts={})
    assert catalog.backups.of_server("main") == [done]
    assert "backup deleted" not in [kind for kind, _, _ in told(catalog)]


def test_a_backup_that_is_gone_already_is_not_told_of_again(catalog: Catalog) -> None:
    failed = fail(catalog, queue(catalog))
    remove(catalog, failed)
    before = told(catalog)
    catalog.backups.remove(failed, now=NOW, facts={})
    assert told(catalog) == before


def test_a_forgotten_backup_leaves_its_events_and_no_tablespaces(catalog: Catalog) -> None:
    catalog.backups.adopt(whole("main"), NOW)
    remove(catalog, whole("main"))
    assert catalog.backups.of_server("main") == []
    with catalog.database.reading() as connection:
        assert connection.execute(rows.tablespaces.select()).all() == []
    assert [kind for kind, _, _ in told(catalog)][-1] == "backup deleted"


# ------------------------------------------------------------------------------------------- adopt
def whole(server: str) -> Backup:
    return Backup(
        server=server,
        id="20240501T023000",
        status=Status.DONE,
        method="postgres",
        queued_at=NOW,
        cluster=CLUSTER,
        copied=COPIED,
    )


def test_a_backup_found_on_disk_is_taken_in_whole(catalog: Catalog) -> None:
    catalog.backups.adopt(whole("main"), LATER)
    assert catalog.backups.of_server("main") == [whole("main")]
    (event,) = catalog.events.of_server("main")
    assert (event.kind, event.at, event.facts) == (
        "backup adopted from disk",
        LATER,
        {"status": "DONE"},
    )


def test_a_backup_is_adopted_once(catalog: Catalog) -> None:
    catalog.backups.adopt(whole("main"), NOW)
    with pytest.raises(exc.IntegrityError):
        catalog.backups.adopt(whole("main"), NOW)
    assert len(told(catalog)) == 1


def test_the_tablespaces_of_two_backups_are_not_mixed(catalog: Catalog) -> None:
    one = whole("one")
    elsewhere = replace(CLUSTER, tablespaces=(Tablespace("fast", 16400, "/other"),))
    two = replace(whole("two"), cluster=elsewhere)
    none = replace(whole("one"), id="20240502T000000", cluster=replace(CLUSTER, tablespaces=()))
    for backup in (one, two, none):
        catalog.backups.adopt(backup, NOW)
    assert catalog.backups.of_server("one") == [one, none]
    assert catalog.backups.of_server("two") == [two]
    assert catalog.backups.in_status(Status.DONE) == [one, two, none]


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
maybe_words = st.none() | words
counts = st.integers(0, 2**62)
moments = st.datetimes(
    datetime(1970, 1, 2),  # noqa: DTZ001 - the zones come apart
    datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))]),
)
spaces = st.lists(
    st.builds(Tablespace, words, st.integers(1, 2**32 - 1), words),
    max_size=3,
    unique_by=lambda each: each.oid,
).map(lambda many: tuple(sorted(many, key=lambda each: each.oid)))
backups = st.builds(
    Backup,
    server=st.just("main"),
    id=st.just("20240501T023000"),
    status=st.sampled_from(Status),
    method=words,
    name=maybe_words,
    requester=words,
    queued_at=moments,
    started_at=st.none() | moments,
    copied_at=st.none() | moments,
    ended_at=st.none() | moments,
    cluster=st.none()
    | st.builds(
        Cluster,
        system_id=words,
        version=counts,
        segment_size=counts,
        pgdata=words,
        config_file=maybe_words,
        hba_file=maybe_words,
        ident_file=maybe_words,
        included_files=st.lists(words, max_size=2).map(tuple),
        tablespaces=spaces,
        size=st.none() | counts,
        data_checksums=maybe_words,
        summarize_wal=maybe_words,
        is_standby=st.booleans(),
    ),
    copied=st.none()
    | st.builds(
        Copied,
        timeline=counts,
        begin_lsn=counts,
        begin_time=moments,
        end_lsn=counts,
        end_time=moments,
        backup_label=words,
        size=counts,
        deduplicated_size=counts,
        copy_seconds=st.floats(0, 1e9),
        workers=counts,
    ),
    reason=st.none() | st.builds(Reason, words, words, maybe_words),
    compression=maybe_words,
    encryption=maybe_words,
    parent_id=maybe_words,
    children_ids=st.lists(words, max_size=2).map(tuple),
    snapshots=maybe_words,
)


@settings(deadline=None, max_examples=60)
@given(backups)
def test_every_fact_of_a_backup_comes_back(
    shared: Catalog, new_server: Callable[[], str], backup: Backup
) -> None:
    backup = replace(backup, server=new_server())
    with shared.database.writing() as connection:  # many may be active in one property
        connection.exec_driver_sql("UPDATE backups SET status = 'FAILED'")
    shared.backups.adopt(backup, NOW)
    assert shared.backups.get(backup.server, backup.id) == backup


def test_what_is_remembered_of_a_server_is_never_older_than_what_was_written(
    catalog: Catalog,
) -> None:
    """While others read all the time, and so remember."""
    is_over = threading.Event()

    def read_on() -> None:
        while not is_over.is_set():
            catalog.backups.of_server("main")

    readers = [threading.Thread(target=read_on) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for number in range(60):
            backup = catalog.backups.queue(
                "main", method="postgres", name=None, requester="me", now=NOW
            )
            assert catalog.backups.of_server("main")[-1] == backup
            failed = catalog.backups.move(backup, backup.failed(NOW, REASON), now=NOW)
            found = catalog.backups.of_server("main")
            assert (len(found), found[-1]) == (number + 1, failed)
    finally:
        is_over.set()
        for reader in readers:
            reader.join()


def test_who_changes_the_list_of_backups_changes_his_own_only(catalog: Catalog) -> None:
    catalog.backups.queue("main", method="postgres", name=None, requester="me", now=NOW)
    catalog.backups.of_server("main").clear()  # type: ignore[attr-defined] # it is a list
    assert len(catalog.backups.of_server("main")) == 1
    assert catalog.backups.of_server("other") == []
