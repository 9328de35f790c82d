"""What the WAL stream looks like to a person: sentences and pages, by command."""

from __future__ import annotations

from barmand.ctl.words import moment, size, span, told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.pages import Page, View


def switched(result: View) -> list[str]:
    segment, server = result["segment"], result["server"]
    if not result["closed"]:
        return [f"{server}: nothing was written since {segment} was closed"]
    more = " and archived" if result["archived"] else ""
    return [f"{server}: {segment} closed{more}"]


def checked_archive(result: View) -> list[str]:
    return [f"{result['server']}: {'ok' if result['ok'] else 'FAILED'}: {result['hint']}"]


def received(result: View) -> list[str]:
    server = result["server"]
    return [*_done(result), f"{server}: receiver {_receiver(result['receiver'])}", *_slot(result)]


def _done(result: View) -> list[str]:
    server, did = result["server"], result["changed"]
    match result["action"]:
        case "stop":
            return [f"{server}: stopped until `receive-wal {server} --start`"]
        case "start":
            return [] if did else [f"{server}: it was not stopped"]
        case "reset":
            lost = f"; {result['lost_segments']} segments are lost before it"
            return [f"{server}: begins anew at {result['begins_at']}{lost}"]
        case "create-slot":
            return [f"{server}: slot made" if did else f"{server}: the slot was there already"]
        case "drop-slot":
            return [f"{server}: slot dropped"]
        case _:
            return []


def _receiver(receiver: View) -> str:
    words = f"{receiver['state']}, restarted {receiver['restarts']} times"
    if receiver["next_attempt_seconds"] is not None:
        words += f", next attempt in {span(receiver['next_attempt_seconds'])}"
    if receiver["last_error"]:
        words += f": {receiver['last_error']}"
    return words


def _slot(result: View) -> list[str]:
    slot = result["slot"]
    if slot is None:
        problem = result["problem"]
        return [f"{result['server']}: slot not examined: {problem}"] if problem else []
    if not slot["exists"]:
        return [f"{result['server']}: slot {slot['name']} does not exist"]
    words = f"slot {slot['name']} {'' if slot['active'] else 'not '}active, {slot['wal_status']}"
    words += f", {size(slot['held_bytes'])} kept for it since {told(slot['restart_lsn'])}"
    if slot["safe_bytes"] is not None:
        words += f", lost after {size(slot['safe_bytes'])} more"
    return [f"{result['server']}: {words}"]


SENTENCES = {
    "check-wal-archive": checked_archive,
    "receive-wal": received,
    "switch-wal": switched,
}


def replication(result: View) -> Page:
    from barmand.ctl.pages import Facts, Table  # noqa: PLC0415 - most commands draw no page

    replicas = result["replicas"]
    if not replicas:
        return [f"{result['server']} streams WAL to nobody"]
    title = f"{result['server']} at {told(result['current_lsn'])}"
    if not result["minimal"]:
        return [title, *(Facts(each["application_name"], _replica(each)) for each in replicas)]
    rows = [
        [
            str(each["pid"]),
            each["application_name"],
            each["kind"],
            told(each["state"]),
            told(each["sync_state"]),
            size(_behind(each)),
        ]
        for each in replicas
    ]
    return [Table("PID | APPLICATION | KIND | STATE | SYNC | >BEHIND", rows, title)]


def _replica(each: View) -> dict[str, str | list[str]]:
    return {
        "kind": each["kind"],
        "pid": str(each["pid"]),
        "state": f"{told(each['state'])}, {told(each['sync_state'])}",
        "role": told(each["user"]),
        "address": each["address"] or "a local socket",
        "slot": told(each["slot_name"]),
        "since": moment(each["since"]),
        **{step: _step(each, step) for step in ("sent", "write", "flush", "replay")},
    }


def _step(each: View, step: str) -> str:
    lsn = each[f"{step}_lsn"]
    if lsn is None:
        return "-"
    lag = each.get(f"{step}_lag")
    late = "" if lag is None else f", {span(lag)}"
    return f"{lsn}, {size(each[f'{step}_behind'])} behind{late}"


def _behind(each: View) -> int | None:
    """How far the furthest of what it has made safe is behind."""
    for step in ("replay", "flush", "write", "sent"):
        if each[f"{step}_behind"] is not None:
            return int(each[f"{step}_behind"])
    return None


PAGES = {
    "replication-status": replication,
}
