"""What PostgreSQL itself tells of a server, asked now."""

from collections.abc import Sequence

from barmand.model.backup import Cluster
from barmand.model.errors import Failure
from barmand.model.wal import Segment, format_lsn
from barmand.operations.ports import Identity, PostgresServer, Readiness
from barmand.service.asked_together import asked_together
from barmand.service.house import House
from barmand.wire.messages import ServerFacts, TablespaceView

ANSWER_SECONDS = 10
"""For each question; and for all servers together twice that."""

Told = tuple[ServerFacts | None, str | None]


def live_facts(servers: Sequence[str], house: House) -> dict[str, Told]:
    """Of each server that is worked for: its facts, or why there are none."""
    working = [name for name in servers if name in house.kits and house.kits[name].is_active]

    def ask(name: str) -> Told:
        return _told(house.kits[name].check.postgres.within(ANSWER_SECONDS))

    answers = asked_together(working, ask, seconds=2 * ANSWER_SECONDS)
    late = (None, f"it did not answer within {2 * ANSWER_SECONDS} seconds")
    return {name: late if answer is None else answer for name, answer in answers.items()}


def _told(postgres: PostgresServer) -> Told:
    try:
        ready = postgres.readiness()
    except Failure as failure:
        return None, failure.message
    problems: list[str] = []
    cluster = identity = None
    try:
        cluster = postgres.facts()
    except Failure as failure:
        problems.append(failure.message)
    try:
        identity = postgres.identify()
    except Failure as failure:
        problems.append(failure.message)
    return _facts(ready, cluster, identity, problems), None


def _facts(
    ready: Readiness, cluster: Cluster | None, identity: Identity | None, problems: list[str]
) -> ServerFacts:
    return ServerFacts(
        postgres_version=ready.version,
        postgres_release=_release(ready.version),
        is_standby=ready.is_standby,
        current_lsn=format_lsn(identity.flushed_lsn) if identity else None,
        current_wal=_current_wal(cluster, identity),
        timeline=identity.timeline if identity else None,
        system_id=identity.system_id if identity else None,
        data_directory=cluster.pgdata if cluster else None,
        config_file=cluster.config_file if cluster else None,
        hba_file=cluster.hba_file if cluster else None,
        ident_file=cluster.ident_file if cluster else None,
        cluster_size_bytes=cluster.size if cluster else None,
        wal_segment_size_bytes=cluster.segment_size if cluster else None,
        data_checksums=cluster.data_checksums if cluster else None,
        tablespaces=[
            TablespaceView(name=each.name, oid=each.oid, location=each.location)
            for each in (cluster.tablespaces if cluster else ())
        ],
        wal_level=ready.wal_level,
        archive_mode=ready.archive_mode,
        archiving_fails=ready.archiving_fails,
        role=ready.role,
        reads_settings=ready.reads_settings,
        switches_wal=ready.switches_wal,
        starts_backups=ready.starts_backups,
        problems=problems,
    )


def _release(version: int) -> str:
    first, rest = divmod(version, 10_000)
    return f"{first}.{rest}"


def _current_wal(cluster: Cluster | None, identity: Identity | None) -> str | None:
    if cluster is None or identity is None:
        return None
    size = cluster.segment_size
    number = max(0, identity.flushed_lsn - 1) // size
    return Segment(identity.timeline, number).name(size)
