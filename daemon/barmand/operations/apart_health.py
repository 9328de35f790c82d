"""Do we keep anything inside the cluster itself? A backup would copy it, and so all backups."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from barmand.model.backup import Tablespace
from barmand.model.finding import Finding, failed, passed
from barmand.operations.inquiry import Item
from barmand.operations.ports import Readiness
from barmand.storage.apart import host_of, is_here
from barmand.storage.layout import Layout

_STATE = "state_directory"
_OUTSIDE_PGDATA = "directories outside PGDATA"
_OUTSIDE_SPACES = "directories outside tablespaces"
Tablespaces = Callable[[], Sequence[Tablespace]]


@dataclass(frozen=True, slots=True)
class ApartHealth:
    """`state` is the directory of barmand's own state."""

    layout: Layout
    state: Path

    def items(self, readiness: Readiness | None, tablespaces: Tablespaces) -> tuple[Item, ...]:
        """Their silence keeps from nothing: what hangs may be a disk that no backup needs, where
        the cluster is on another machine; else the method's own question is not answered either.
        """
        pgdata = Path(readiness.pgdata) if readiness and readiness.pgdata else None
        if pgdata is None:
            return ()
        return (
            Item(_OUTSIDE_PGDATA, lambda _stop: self._data_directory(pgdata)),
            Item(_OUTSIDE_SPACES, lambda _stop: self._tablespaces(pgdata, tablespaces)),
        )

    def _data_directory(self, pgdata: Path) -> Iterator[Finding]:
        """Nothing for a cluster on another machine."""
        wal = pgdata / "pg_wal"  # which may be a link to elsewhere
        hosts = {wal: f"the cluster's WAL, {wal}", pgdata: f"the data directory, {pgdata}"}
        if is_here(pgdata):
            yield from self._outside(_OUTSIDE_PGDATA, hosts)

    def _tablespaces(self, pgdata: Path, tablespaces: Tablespaces) -> Iterator[Finding]:
        if not is_here(pgdata):
            return
        hosts = {
            Path(each.location): f"tablespace {each.name}, {each.location}"
            for each in tablespaces()
            if not each.is_in_place
        }
        if hosts:
            yield from self._outside(_OUTSIDE_SPACES, hosts)

    def _outside(self, name: str, hosts: Mapping[Path, str]) -> Iterator[Finding]:
        folders = {**self.layout.by_option, _STATE: self.state}
        found = [(option, folder, host_of(folder, hosts)) for option, folder in folders.items()]
        within = [folder for _, folder, host in found if host is not None]
        for option, folder, host in found:
            # One in which others lie by default tells it for them.
            if host is not None and not any(other in folder.parents for other in within):
                yield failed(name, _words(option, folder, hosts[host]), keeps_from_backup=True)
        if not within:
            yield passed(name, ", ".join(map(str, hosts)))


def _words(option: str, folder: Path, host: str) -> str:
    then = "restart barmand" if option == _STATE else "reload"
    return (
        f"{option} {folder} lies in {host}: backups would hold themselves, or barmand's files and "
        "PostgreSQL's spoil each other; move it elsewhere, best to another disk, set "
        f"{option} to that, and {then}"
    )
