"""What verifications and manifests look like to a person."""

from __future__ import annotations

from barmand.ctl.words import moment, size, span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    View = dict[str, Any]

MOST_BLOCKS = 10
MOST_FLAWS = 20
DAMAGED = "damaged"


def verified(who: str, verification: View) -> list[str]:
    """As soon as one backup's verification has ended."""
    read = f"{size(verification['bytes_read'])} read in {span(verification['seconds'])}"
    verdict = verification["verdict"]
    if verdict == DAMAGED:
        verdict = f"DAMAGED: {verification['flaw_count']} flaw(s)"
    lines = [f"{who}: {verdict}, {read}"]
    lines += [f"  {line}" for line in flaws(verification)]
    return lines + [f"  note: {words}" for words in verification["notes"]]


def flaws(verification: View) -> list[str]:
    told = verification["flaws"][:MOST_FLAWS]
    lines = [f"{each['file']}: {each['what']}{_blocks(each['blocks'])}" for each in told]
    more = verification["flaw_count"] - len(told)
    return lines + ([f"and {more} more; `-f json` names up to 1,000"] if more else [])


def of_backup(verification: View | None) -> dict[str, str | list[str]]:
    if verification is None:
        return {"last": "never"}
    facts: dict[str, str | list[str]] = {
        "last": f"{moment(verification['verified_at'])}: {verification['verdict']}",
    }
    if verification["flaws"]:
        facts["flaws"] = flaws(verification)
    if verification["notes"]:
        facts["notes"] = verification["notes"]
    return facts


def _blocks(blocks: list[int]) -> str:
    if not blocks:
        return ""
    more = len(blocks) - MOST_BLOCKS
    named = ", ".join(str(block) for block in blocks[:MOST_BLOCKS])
    return f", block {named}" + (f" and {more} more" if more > 0 else "")


def manifest_made(result: View) -> list[str]:
    what = f"{result['files']} files, {size(result['size_bytes'])} in {span(result['seconds'])}"
    return [
        f"{result['server']} {result['backup_id']}: manifest made, {what}",
        "it sums what lies there now: it cannot tell what changed before",
    ]


SENTENCES = {"generate-manifest": manifest_made}
