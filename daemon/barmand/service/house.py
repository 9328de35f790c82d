"""What the daemon serves at this moment: one kit of operations for each server.

Frozen. A reload builds a new house and swaps one reference; running work keeps the old one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from barmand.model.calendar import ScheduleLine
from barmand.model.changes import NO_CHANGES, Changes
from barmand.model.errors import ConfigInvalid, NotFound, Refused
from barmand.model.order import Order
from barmand.operations.accounts import Accounts
from barmand.operations.archive import Archive
from barmand.operations.backup import TakeBackup
from barmand.operations.check import Check
from barmand.operations.delete import Delete
from barmand.operations.expire import Expire
from barmand.operations.fetch import Fetch
from barmand.operations.forecast import Forecast
from barmand.operations.hooks import Hooks
from barmand.operations.keep import KeepBackup
from barmand.operations.list_files import ListFiles
from barmand.operations.make_manifest import MakeManifest
from barmand.operations.prune import Prune
from barmand.operations.push import Push
from barmand.operations.rebuild import Rebuild
from barmand.operations.restart import Restart
from barmand.operations.restore import Restore
from barmand.operations.slots import SlotKeeper
from barmand.operations.streaming import Streaming
from barmand.operations.verify import Verify
from barmand.operations.wal_health import WalHealth
from barmand.outside.wal_source import WalSource
from barmand.service.receivers import Source
from barmand.storage.layout import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class WalKit:
    """What can be asked of the server that WAL comes from, and of the one that is backed up.

    `switcher` is where WAL can be switched; `streaming` is None where WAL is only pushed.
    """

    source: WalSource
    backup_host: WalSource
    switcher: WalSource
    keeper: SlotKeeper
    streaming: Streaming | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """One healthy server: what is said of it, and what can be done for it."""

    name: str
    description: str | None
    is_active: bool
    method: str
    conninfo: str
    """With its password masked."""
    told_settings: Mapping[str, object]
    """Every option in force, secrets masked."""
    secrets: frozenset[str] = field(repr=False)
    """What nobody may see, to be hidden wherever it turns up."""
    host: str
    """The machine whose servers share max_parallel_backups_per_host."""
    order: Order
    schedule: tuple[ScheduleLine, ...]
    schedule_grace: timedelta
    layout: Layout
    source: Source | None
    """Where WAL is streamed from; None where it is pushed."""
    wal_kit: WalKit
    take: TakeBackup
    archive: Archive
    push: Push
    fetch: Fetch
    delete: Delete
    expire: Expire
    forecast: Forecast
    keep: KeepBackup
    prune: Prune
    list_files: ListFiles
    restore: Restore
    check: Check
    restart: Restart
    rebuild: Rebuild
    accounts: Accounts
    wal_health: WalHealth
    hooks: Hooks
    verify: Verify
    make_manifest: MakeManifest
    is_current: Callable[[], bool]
    """Is this still what the settings say of the server?"""

    @property
    def watched(self) -> tuple[Path, ...]:
        """Where an arrival must be noticed; pg_receivewal says itself what it has finished."""
        both = (self.layout.incoming, self.layout.streaming)
        return both if self.source is None else both[:1]


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """`broken` names servers with the problems that put them aside.

    `leaving` are those whose backups have not ended, though the settings have the server no more,
    or put it aside, or switch it off: they are served as they were until then. `changes` are what
    the last reload made of the house before.
    """

    config_file: Path
    kits: Mapping[str, Kit]
    broken: Mapping[str, Sequence[str]]
    problems: Sequence[str]
    warnings: Sequence[str]
    leaving: Mapping[str, Kit] = field(default_factory=dict)
    changes: Changes = NO_CHANGES
    known_backups: Callable[[str], int] = lambda _server: 0
    """How many the catalogue has of a server, also of one that is configured no more."""

    @property
    def served(self) -> dict[str, Kit]:
        """Whose WAL is archived, by name."""
        active = {name: kit for name, kit in self.kits.items() if kit.is_active}
        return {**active, **self.leaving}

    def known_kit(self, server: str) -> Kit:
        """As `kit`, also of a server that is leaving."""
        return self.leaving.get(server) or self.kit(server)

    def wal_kit(self, server: str) -> Kit:
        """As `working_kit`, also of a server that is leaving: its last backup needs its WAL."""
        return self.leaving.get(server) or self.working_kit(server)

    @property
    def names(self) -> list[str]:
        return sorted({*self.kits, *self.broken})

    @property
    def told_names(self) -> list[str]:
        """As `names`, with those that are leaving."""
        return sorted({*self.names, *self.leaving})

    def kit(self, server: str) -> Kit:
        """Raises NotFound, or ConfigInvalid for a broken server."""
        if server in self.broken:
            raise ConfigInvalid(
                f"server {server} is put aside: {'; '.join(self.broken[server])}",
                hint="Mend its settings, then `barmanctl reload`.",
            )
        if server not in self.kits:
            raise unknown(server, self.known_backups(server))
        return self.kits[server]

    def find(self, server: str) -> Kit | None:
        """Of a server that is configured or leaving, whatever its state; None of another one."""
        return self.leaving.get(server) or self.kits.get(server)

    def is_inactive(self, server: str) -> bool:
        return server in self.kits and not self.kits[server].is_active

    def working_kit(self, server: str) -> Kit:
        """As `kit`, and the server is not switched off."""
        if server in self.leaving and server not in self.kits and server not in self.broken:
            raise Refused(
                f"server {server} is leaving: the settings have it no more, and nothing new begins",
                hint="It goes once its backups have ended.",
            )
        kit = self.kit(server)
        if not kit.is_active:
            raise Refused(f"server {server} is inactive (active = false)")
        return kit


def unknown(server: str, backups: int = 0) -> NotFound:
    """`backups` are those that the catalogue has of it."""
    words = f"no server {server!r} is configured"
    if not backups:
        return NotFound(words, hint="`barmanctl list-servers` names them.")
    stay = "1 backup stays" if backups == 1 else f"{backups} backups stay"
    return NotFound(
        f"{words}; {stay} on disk, in its folder",
        hint=f"Put a section [{server}] back (active = false is enough), then `barmanctl reload`, "
        "to restore, keep or delete what is there.",
    )
