"""Where the rooms meet: settings in, a house of operations out."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType

from barmand import __version__
from barmand.catalog.memory import Catalog
from barmand.fittings import folders_of
from barmand.model.backup import ACTIVE, Status
from barmand.model.changes import Became, Changes, OptionChange, ServerChange
from barmand.model.errors import ConfigInvalid
from barmand.model.masking import secrets_in, without_secrets
from barmand.model.queueing import Limits
from barmand.model.secret import Conninfo
from barmand.outside.postgres import parse_conninfo
from barmand.outside.ssh import ssh_words, transport
from barmand.service.house import House
from barmand.service.peers import Rights, group_number
from barmand.settings.schema import BackupMethod, DaemonSettings, Problem, ServerSettings, Settings
from barmand.settings.values import write
from barmand.works import Bells, Locks, Works

UNFINISHED = (*ACTIVE, Status.WAITING_FOR_WALS)
_READ_AT_START = (
    *("state_directory", "control_socket", "control_group", "monitor_group"),
    *("wal_poll_interval", "check_interval"),
)
_CONNECTIONS = (
    *("conninfo", "streaming_conninfo", "primary_conninfo"),
    *("wal_conninfo", "wal_streaming_conninfo"),
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
            known_backups=self._known_backups,
        )

    def next_house(
        self, old: House, before: Settings, after: Settings, began_with: DaemonSettings
    ) -> House:
        """After a reload: what is not served any more is served until its backups have ended."""
        house = self.house(after)
        gone = [name for name in old.served if name not in house.served]
        unfinished = {name: found for name in gone if (found := self.unfinished(name))}
        changes = changes_between(before, after)
        servers = tuple(
            replace(
                change,
                unfinished=unfinished.get(change.server, ()),
                backups_left=self._known_backups(change.server)
                if change.became is Became.REMOVED
                else 0,
            )
            for change in changes.servers
        )
        return replace(
            house,
            warnings=[*house.warnings, *at_next_start(began_with, after.daemon)],
            leaving={name: old.served[name] for name in unfinished},
            changes=replace(changes, servers=servers),
        )

    def _known_backups(self, server: str) -> int:
        return len(self.catalog.backups.of_server(server))

    def unfinished(self, server: str) -> tuple[str, ...]:
        """Its backups that are under way or wait for WAL."""
        backups = self.catalog.backups.of_server(server)
        return tuple(each.id for each in backups if each.status in UNFINISHED)


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


def demand_grammar(settings: Settings) -> None:
    """A reload takes nothing from files of which one cannot be read. Raises ConfigInvalid."""
    faults = [str(each) for each in settings.problems if each.section is None]
    if faults:
        lines = "\n".join(faults)
        raise ConfigInvalid(f"not every file of the settings can be read:\n{lines}")


def judged_by_doors(settings: Settings) -> Settings:
    """A server is put aside whose connection string libpq does not take, or whose ssh_command
    names no host.
    """
    found = {
        name: (
            *_refused(name, server, settings.files[name]),
            *_out_of_reach(name, server, settings.files[name]),
        )
        for name, server in settings.servers.items()
    }
    refused = {name: problems for name, problems in found.items() if problems}
    healthy = {name: each for name, each in settings.servers.items() if name not in refused}
    more = [problem for problems in refused.values() for problem in problems]
    return replace(
        settings,
        servers=MappingProxyType(healthy),
        broken=MappingProxyType({**settings.broken, **refused}),
        problems=(*settings.problems, *more),
    )


def _refused(name: str, server: ServerSettings, file: Path) -> Iterator[Problem]:
    given = {getattr(server, option): option for option in reversed(_CONNECTIONS)}
    for conninfo, option in given.items():  # one that another defaults to is judged once
        try:
            if conninfo is not None:
                parse_conninfo(conninfo)
        except ConfigInvalid as failure:
            yield Problem(file, name, option, failure.message)


def _out_of_reach(name: str, server: ServerSettings, file: Path) -> Iterator[Problem]:
    """Where the method goes by ssh; another one may leave there what it likes."""
    if server.backup_method is not BackupMethod.RSYNC:
        return
    try:
        transport(ssh_words(server.ssh_command or ""), 1, 1)
    except ConfigInvalid as failure:
        yield Problem(file, name, "ssh_command", f"{failure.message}. {failure.hint}")


def limits_of(daemon: DaemonSettings) -> Limits:
    return Limits(daemon.max_parallel_backups, daemon.max_parallel_backups_per_host or None)


def at_next_start(running: DaemonSettings, wanted: DaemonSettings) -> list[str]:
    """A warning for each change that a reload cannot make."""
    return [
        f"[barmand] {name}: its new value counts from the next start on"
        for name in _READ_AT_START
        if getattr(running, name) != getattr(wanted, name)
    ]


def changes_between(before: Settings, after: Settings) -> Changes:
    """What is told of a reload: of each server, and of the daemon itself."""
    names = sorted({*before.servers, *before.broken, *after.servers, *after.broken})
    found = [(name, _server_change(name, before, after)) for name in names]
    changed = tuple(change for _, change in found if change is not None)
    return Changes(
        daemon=_option_changes(before.daemon, after.daemon, _READ_AT_START),
        servers=changed,
        unchanged=len(found) - len(changed),
    )


def _server_change(name: str, before: Settings, after: Settings) -> ServerChange | None:
    """None where nothing changed."""
    problems = tuple(map(str, after.broken.get(name, ())))
    if name in after.broken:
        same = problems == tuple(map(str, before.broken.get(name, ())))
        return None if same else ServerChange(name, Became.PUT_ASIDE, problems=problems)
    if name not in after.servers:
        return ServerChange(name, Became.REMOVED)
    if name in before.broken:
        return ServerChange(name, Became.BACK)
    if name not in before.servers:
        return ServerChange(name, Became.ADDED)
    options = _server_options(before.servers[name], after.servers[name])
    return ServerChange(name, Became.CHANGED, options) if options else None


def _server_options(before: ServerSettings, after: ServerSettings) -> tuple[OptionChange, ...]:
    """A streaming_conninfo that is conninfo's by default is not told again."""
    follows = all(each.streaming_conninfo == each.conninfo for each in (before, after))
    changes = _option_changes(before, after)
    return tuple(each for each in changes if not (follows and each.option == "streaming_conninfo"))


def _option_changes(
    before: DaemonSettings | ServerSettings,
    after: DaemonSettings | ServerSettings,
    at_start: Sequence[str] = (),
) -> tuple[OptionChange, ...]:
    return tuple(
        _option_change(each.name, old, new, is_late=each.name in at_start)
        for each in fields(before)
        if (old := getattr(before, each.name)) != (new := getattr(after, each.name))
    )


def _option_change(option: str, old: object, new: object, *, is_late: bool) -> OptionChange:
    before, after = _words(old), _words(new)
    if before == after:
        after = "the same with another secret"
    return OptionChange(option, before, after, is_late)


def _words(value: object) -> str:
    if isinstance(value, Conninfo):
        return value.masked
    text = write(value)
    return without_secrets(text, secrets_in(text))
