"""What WAL looks like to a person: sentences and pages, by command."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.pages import View


def archived(result: View) -> list[str]:
    return [f"{result['archived']} segments of {result['server']} archived"]


SENTENCES = {
    "archive-wal": archived,
}
