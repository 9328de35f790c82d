"""The card: what Barman's backup.info has no field for, as JSON beside it."""

import json
from dataclasses import asdict, replace
from datetime import datetime

from barmand.model.backup import Backup, Damage, Reason, Status

_FORMAT = 1


def card(backup: Backup) -> bytes:
    facts = {
        "format": _FORMAT,
        "name": backup.name,  # whole; backup.info can hold one trimmed line
        "requester": backup.requester,
        "queued_at": _text(backup.queued_at),
        "started_at": _text(backup.started_at),
        "copied_at": _text(backup.copied_at),
        "ended_at": _text(backup.ended_at),
        "reason": None if backup.reason is None else asdict(backup.reason),
        "method": backup.method,
        "damages": [
            {"path": each.path, "blocks": list(each.blocks)}
            for each in (backup.copied.damages if backup.copied else ())
        ],
        "is_standby": backup.cluster is not None and backup.cluster.is_standby,
    }
    return (json.dumps(facts, indent=4) + "\n").encode()


def with_card(backup: Backup, text: bytes) -> Backup:
    """`backup` as Barman's format tells it, made whole by its card.

    Where the card is silent backup.info speaks: Barman may have gone on with the backup since.
    Raises ValueError, KeyError or TypeError for anything but a card.
    """
    facts = json.loads(text)
    if facts["format"] != _FORMAT:
        raise ValueError(f"its format is {facts['format']!r}, this barmand reads {_FORMAT}")
    cluster, reason = backup.cluster, backup.reason
    if cluster is not None:
        cluster = replace(cluster, is_standby=bool(facts["is_standby"]))
    copied = backup.copied
    if copied is not None:
        found = facts.get("damages", [])
        damages = tuple(Damage(each["path"], tuple(each["blocks"])) for each in found)
        copied = replace(copied, damages=damages)
    if facts["reason"] is not None and backup.status is Status.FAILED:
        reason = Reason(**facts["reason"])
    return replace(
        backup,
        name=facts["name"],
        requester=facts["requester"],
        queued_at=_moment(facts["queued_at"]) or backup.queued_at,
        started_at=_moment(facts["started_at"]) or backup.started_at,
        copied_at=_moment(facts["copied_at"]) or backup.copied_at,
        ended_at=_moment(facts["ended_at"]) or backup.ended_at,
        method=facts.get("method", backup.method),
        cluster=cluster,
        copied=copied,
        reason=reason,
    )


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
