"""Where the rooms meet: settings in, a house of operations out."""

from collections import defaultdict
from dataclasses import dataclass, field

from barmand import __version__
from barmand.catalog.memory import Catalog
from barmand.fittings import folders_of
from barmand.model.errors import ConfigInvalid
from barmand.model.queueing import Limits
from barmand.service.house import House
from barmand.service.peers import Rights, group_number
from barmand.settings.schema import DaemonSettings, Settings
from barmand.works import Bells, Locks, Works

_READ_AT_START = (
    *("state_directory", "control_socket", "control_group", "monitor_group"),
    "wal_poll_interval",
)


@dataclass(frozen=True, slots=True)
class Builder:
    """Builds houses from settings."""

    catalog: Catalog
    bells: Bells
    locks: defaultdict[str, Locks] = field(default_factory=lambda: defaultdict(Locks))

    def house(self, settings: Settings) -> House:
        forbidden = tuple(
            {settings.daemon.barman_home, settings.daemon.state_directory}
            | {folder for each in settings.servers.values() for folder in folders_of(each)}
        )
        surroundings = {
            "BARMAN_CONFIGURATION": str(settings.path),
            "BARMAND_SOCKET": str(settings.daemon.control_socket),
            "BARMAND_VERSION": __version__,
        }
        return House(
            config_file=settings.path,
            kits={
                name: Works(self.catalog, self.bells, server, self.locks[name], surroundings).kit(
                    forbidden
                )
                for name, server in settings.servers.items()
            },
            broken={
                name: [str(problem) for problem in problems]
                for name, problems in settings.broken.items()
            },
            problems=[str(problem) for problem in settings.problems],
            warnings=[str(warning) for warning in settings.warnings],
        )


def rights_of(daemon: DaemonSettings) -> Rights:
    """Raises ConfigInvalid for a group that does not exist."""
    numbers: list[int | None] = []
    for option, name in (
        ("control_group", daemon.control_group),
        ("monitor_group", daemon.monitor_group),
    ):
        try:
            numbers.append(None if name is None else group_number(name))
        except KeyError as error:
            raise ConfigInvalid(f"{option}: there is no group {name!r}") from error
    return Rights(*numbers)


def limits_of(daemon: DaemonSettings) -> Limits:
    return Limits(daemon.max_parallel_backups, daemon.max_parallel_backups_per_host or None)


def at_next_start(running: DaemonSettings, wanted: DaemonSettings) -> list[str]:
    """A warning for each change that a reload cannot make."""
    return [
        f"[barmand] {name}: its new value counts from the next start on"
        for name in _READ_AT_START
        if getattr(running, name) != getattr(wanted, name)
    ]
