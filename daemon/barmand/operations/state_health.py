"""barmand's own state, which every server depends on."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from barmand.catalog.memory import Catalog
from barmand.model.finding import Finding, Measure, failed, passed
from barmand.operations.inquiry import Group, Item, Lines, ask_all
from barmand.operations.ports import Stop
from barmand.storage.disk import free_bytes

_MIB = 1 << 20
LEAST_FREE = 64 * _MIB
_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class StateHealth:
    directory: Path
    catalog: Catalog
    lines: Lines = field(default_factory=Lines)
    least_free: int = LEAST_FREE

    def findings(self, stop: Stop) -> list[Finding]:
        items = (
            Item("state directory", lambda _stop: self._directory()),
            Item("state database", lambda _stop: self._database()),
        )
        return ask_all([Group("the state", items)], self.lines, _SECONDS, stop)

    def _directory(self) -> Iterator[Finding]:
        name, free = "state directory", free_bytes(self.directory)
        words = f"{self.directory}: {free // _MIB} MiB free"
        measure = Measure("state_free", free, "B", None, self.least_free, is_least=True)
        if not os.access(self.directory, os.W_OK | os.X_OK):
            yield failed(name, f"{self.directory} cannot be written by this user, or is read-only")
        elif free < self.least_free:
            words += f", of at least {self.least_free // _MIB}: nothing can be begun without room"
            yield failed(name, words, measure=measure)
        else:
            yield passed(name, words, measure=measure)

    def _database(self) -> Iterator[Finding]:
        """Its pages were looked through when it was opened; here it answers, and can be read."""
        yield passed("state database", self.catalog.database.look())
