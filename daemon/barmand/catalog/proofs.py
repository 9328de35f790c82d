"""What the last verification of each backup came to; it goes with the backup."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert as upsert

from barmand.catalog import rows
from barmand.catalog.database import Database
from barmand.catalog.events import write_event
from barmand.model.backup import Backup
from barmand.model.event import Event
from barmand.model.proof import Flaw, Proof, Verdict

DAMAGED = "backup found damaged"
VERIFIED = "backup verified"


@dataclass(frozen=True, slots=True)
class Proofs:
    database: Database

    def remember(self, backup: Backup, proof: Proof, *, actor: str) -> None:
        """In place of what an earlier one came to; with its event, in one transaction."""
        facts = {
            "at": proof.at,
            "verdict": proof.verdict.value,
            "flaw_count": proof.flaw_count,
            "flaws": [[each.file, each.what, list(each.blocks)] for each in proof.flaws],
            "notes": list(proof.notes),
            "bytes_read": proof.bytes_read,
            "seconds": proof.seconds,
            "actor": actor,
        }
        statement = upsert(rows.proofs).values(server=backup.server, backup_id=backup.id, **facts)
        statement = statement.on_conflict_do_update(
            index_elements=["server", "backup_id"], set_=facts
        )
        with self.database.writing() as connection:
            connection.execute(statement)
            write_event(connection, _event(backup, proof, actor))

    def damaged(self, server: str) -> set[str]:
        """The ids of the backups that the last verification found damaged."""
        table = rows.proofs.c
        with self.database.reading() as connection:
            found = select(table.backup_id).where(
                table.server == server, table.verdict == Verdict.DAMAGED
            )
            return set(connection.scalars(found))

    def of_server(self, server: str) -> dict[str, Proof]:
        """By the ids of its backups; nothing of one that was never verified."""
        wanted = select(rows.proofs).where(rows.proofs.c.server == server)
        with self.database.reading() as connection:
            found = connection.execute(wanted).mappings()
            return {row["backup_id"]: _proof(row) for row in found}

    def find(self, server: str, backup_id: str) -> Proof | None:
        """None for a backup that was never verified."""
        table = rows.proofs.c
        with self.database.reading() as connection:
            row = connection.execute(
                select(rows.proofs).where(table.server == server, table.backup_id == backup_id)
            ).first()
            return None if row is None else _proof(row._mapping)  # noqa: SLF001 - its public name


def _proof(row: Mapping[Any, Any]) -> Proof:
    return Proof(
        at=row["at"],
        verdict=Verdict(row["verdict"]),
        flaws=tuple(Flaw(file, what, tuple(blocks)) for file, what, blocks in row["flaws"]),
        flaw_count=row["flaw_count"],
        notes=tuple(row["notes"]),
        bytes_read=row["bytes_read"],
        seconds=row["seconds"],
    )


def _event(backup: Backup, proof: Proof, actor: str) -> Event:
    facts: dict[str, object] = {"verdict": proof.verdict.value, "seconds": proof.seconds}
    if proof.flaws:
        first = proof.flaws[0]
        facts |= {"flaws": proof.flaw_count, "file": first.file, "why": first.what}
    return Event(
        at=proof.at,
        kind=DAMAGED if proof.verdict is Verdict.DAMAGED else VERIFIED,
        server=backup.server,
        backup_id=backup.id,
        actor=actor,
        facts=facts,
    )
