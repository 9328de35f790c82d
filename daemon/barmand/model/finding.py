"""What a check found."""

from collections.abc import Sequence
from dataclasses import dataclass

from barmand.model.errors import CheckFailed


@dataclass(frozen=True, slots=True)
class Finding:
    """One item looked at; `hint` tells what is wrong and the way out, or what was seen.

    What is not `is_vital` is an alarm, but keeps no backup from being taken.
    """

    name: str
    hint: str = ""
    is_ok: bool = True
    is_vital: bool = True


def demand(server: str, findings: Sequence[Finding]) -> None:
    """Raise CheckFailed that names each item that failed, not only the first; alarms aside."""
    failed = [finding for finding in findings if not finding.is_ok and finding.is_vital]
    if not failed:
        return
    words = "; ".join(f"{finding.name}: {finding.hint}" for finding in failed)
    raise CheckFailed(
        f"server {server} is not ready for a backup: {words}",
        hint=f"`barmanctl check {server}` looks again, at any time.",
    )
