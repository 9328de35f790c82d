"""How well a server's WAL comes in: what a check finds without asking anybody."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from barmand.catalog.wal_gaps import WalGaps
from barmand.catalog.wal_runs import WalRuns
from barmand.model.errors import StorageFailed
from barmand.model.finding import Finding
from barmand.model.gap import GapState
from barmand.operations.examining import failed
from barmand.operations.ports import Clock
from barmand.storage.arrivals import arrivals
from barmand.storage.layout import Layout


@dataclass(frozen=True, slots=True)
class WalHealth:
    """Barman's `max_incoming_wals_queue` and `last_wal_maximum_age`; None where there is none."""

    server: str
    layout: Layout
    wal_gaps: WalGaps
    wal_runs: WalRuns
    most_waiting: int | None
    oldest: timedelta | None
    now: Clock

    def findings(self) -> Iterator[Finding]:
        yield self._gaps()
        if self.most_waiting is not None:
            yield self._queue(self.most_waiting)
        if self.oldest is not None:
            yield self._age(self.oldest)

    def waiting(self) -> int:
        """Files that have arrived and are not archived yet. Raises StorageFailed."""
        places = (self.layout.incoming, self.layout.streaming)
        return sum(len(arrivals(place)) for place in places)

    def _gaps(self) -> Finding:
        name = "WAL gaps"
        gaps = self.wal_gaps.of_server(self.server)
        unknown = [gap for gap in gaps if gap.state is GapState.OPEN]
        if unknown:
            count = sum(gap.count for gap in unknown)
            hint = (
                f"{count} segment(s) missing: `barmanctl wal-gaps {self.server}` names them; "
                "no recovery comes past them, so take a backup"
            )
            return Finding(name, hint, is_ok=False)
        return Finding(name, f"{len(gaps)} acknowledged" if gaps else "none")

    def _queue(self, most: int) -> Finding:
        name = "WAL waiting"
        try:
            count = self.waiting()
        except StorageFailed as error:
            return failed(name, error)
        return Finding(name, f"{count} files, of at most {most}", is_ok=count <= most)

    def _age(self, oldest: timedelta) -> Finding:
        name = "last archived WAL"
        last = self.wal_runs.last_archived(self.server)
        if last is None:
            return Finding(name, "none yet", is_ok=False)
        age = self.now() - last.at
        words = f"{last.name}, {_words(age)} ago, of at most {_words(oldest)}"
        return Finding(name, words, is_ok=age <= oldest)


def _words(span: timedelta) -> str:
    return str(timedelta(seconds=int(span.total_seconds())))
