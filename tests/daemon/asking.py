"""How the tests of the whole daemon ask, follow a backup, hold WAL back, and prove a restore."""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from support.daemon import Daemon, Rpc
from support.postgres import Cluster, Clusters
from support.processes import Process, all_processes
from support.waiting import eventually

LIFE = ["QUEUED", "STARTED", "WAITING_FOR_WALS", "DONE"]
SLOWEST = 32
"""KiB/s: a copy at this rate is still under way whenever we look."""
PUSHED: dict[str, object | None] = {
    "archiver": "on",
    "streaming_archiver": "off",
    "slot_name": None,
    "create_slot": None,
}
"""The options of a server whose WAL comes by archive_command."""

METHODS = ("postgres", "rsync", "local-rsync", "local")
_RSYNC, _LOCAL_RSYNC = (pytest.param(name, marks=pytest.mark.soak) for name in METHODS[1:3])
FILE_METHODS = ("rsync", _LOCAL_RSYNC, "local")
"""`local-rsync` is rsync without ssh: where a test is not about the whole, the soak has it too."""
TWO_METHODS = ("postgres", _RSYNC, _LOCAL_RSYNC, "local")
"""The server copies, or we do: for what is the same however we do it. The soak has them all."""

Json = dict[str, Any]


# ---------------------------------------------------------------------------------------- asking


def ask(daemon: Daemon, method: str, **params: object) -> Json:
    """The result of one request, which must succeed."""
    with daemon.rpc(timeout=60) as rpc:
        answer, _ = rpc.call(method, **params)
    assert "result" in answer, answer
    result: Json = answer["result"]
    return result


def refusal(daemon: Daemon, method: str, **params: object) -> Json:
    """Why a request failed: code, exit_code, message, hint."""
    with daemon.rpc(timeout=60) as rpc:
        answer, _ = rpc.call(method, **params)
    assert "error" in answer, answer
    error: Json = answer["error"]["data"]
    return error


def show(daemon: Daemon, backup: str = "last", server: str = "main") -> Json:
    view: Json = ask(daemon, "show-backup", server=server, backup=backup)["backup"]
    return view


def backups(daemon: Daemon, *servers: str) -> list[Json]:
    """Newest first."""
    views: list[Json] = ask(daemon, "list-backups", servers=list(servers))["backups"]
    return views


def server_status(daemon: Daemon, server: str = "main") -> Json:
    status: Json = ask(daemon, "status", servers=[server])["servers"][0]
    return status


def becomes(
    daemon: Daemon, status: str, backup: str, server: str = "main", within: float = 15.0
) -> Json:
    """The backup, once its row has this status."""

    def look() -> Json | None:
        view = show(daemon, backup, server)
        return view if view["status"] == status else None

    view = eventually(look, within)
    assert view is not None
    return view


def streaming(daemon: Daemon, *servers: str) -> Daemon:
    """The daemon, once the WAL of these servers flows."""
    for server in servers or ("main",):
        eventually(
            lambda name=server: server_status(daemon, name)["receiver"]["state"] == "streaming"
        )  # type: ignore[misc]
    return daemon


def done(daemon: Daemon, *servers: str, **params: object) -> Json:
    """Take backups to their end; the last of them."""
    result = ask(daemon, "backup", servers=list(servers or ("main",)), follow="done", **params)
    assert result["exit_code"] == 0, result
    assert [view["status"] for view in result["backups"]] == ["DONE"] * len(result["backups"])
    return judged(daemon, result["backups"][-1])


def judged(daemon: Daemon, view: Json) -> Json:
    """As it is shown: while a backup is followed it is not judged whether it stays."""
    shown = show(daemon, view["backup_id"], view["server"])
    return view | {key: shown[key] for key in ("retention", "retention_why", "is_on_disk")}


# ------------------------------------------------------------------------------ following backups


@dataclass(slots=True)
class Followed:
    """A `backup` request under way on a connection of its own."""

    rpc: Rpc
    number: int
    notes: list[Json] = field(default_factory=list)
    answer: Json | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.rpc.close()

    @property
    def statuses(self) -> list[str]:
        return [note["params"]["backup"]["status"] for note in self._of("backup")]

    def views(self, status: str) -> list[Json]:
        told = (note["params"]["backup"] for note in self._of("backup"))
        return [view for view in told if view["status"] == status]

    @property
    def phases(self) -> list[str]:
        """In the order in which they were told, each once in a row."""
        told = [note["params"]["progress"]["phase"] for note in self._of("progress")]
        return [
            phase for phase, before in zip(told, [None, *told], strict=False) if phase != before
        ]

    @property
    def problems(self) -> list[Json]:
        return [note["params"] for note in self._of("problem")]

    @property
    def warnings(self) -> list[str]:
        return [note["params"]["message"] for note in self._of("warning")]

    def until(self, is_it: Callable[[Json], bool]) -> Json:
        """The parameters of the next note that is it."""
        while True:
            note = self._read()
            assert note is not None, f"it ended before: {self.answer}"
            if is_it(note):
                params: Json = note["params"]
                return params

    def until_status(self, status: str, server: str = "main") -> Json:
        def is_it(note: Json) -> bool:
            view = note["params"].get("backup", {})
            return (view.get("server"), view.get("status")) == (server, status)

        view: Json = self.until(is_it)["backup"]
        return view

    def until_phase(self, phase: str, server: str = "main") -> Json:
        def is_it(note: Json) -> bool:
            told = note["params"]
            progress = told.get("progress") or {}
            return told.get("server") == server and progress.get("phase") == phase

        return self.until(is_it)

    def hear(self, count: int) -> None:
        """So many notes more, or all up to its end."""
        while count and self._read() is not None:
            count -= 1

    def exit_code(self) -> int:
        """At its end, whether that is a result or an error."""
        self.hear(-1)
        assert self.answer is not None
        ended = self.answer["result"] if "result" in self.answer else self.answer["error"]["data"]
        code: int = ended["exit_code"]
        return code

    def result(self) -> Json:
        self.hear(-1)
        assert self.answer is not None
        assert "result" in self.answer, self.answer
        result: Json = self.answer["result"]
        return result

    def failure(self) -> Json:
        self.hear(-1)
        assert self.answer is not None
        error: Json = self.answer["error"]["data"]
        return error

    def _of(self, method: str) -> Iterator[Json]:
        return (note for note in self.notes if note["method"] == method)

    def _read(self) -> Json | None:
        if self.answer is not None:
            return None
        message = self.rpc.read()
        if message.get("id") == self.number:
            self.answer = message
            return None
        self.notes.append(message)
        return message


def follow(daemon: Daemon, *servers: str, follow: str = "done", **params: object) -> Followed:
    rpc = daemon.rpc(timeout=60)
    number = rpc.request("backup", servers=list(servers or ("main",)), follow=follow, **params)
    return Followed(rpc, number)


@contextlib.contextmanager
def held_copy(daemon: Daemon, *servers: str, **params: object) -> Iterator[tuple[Followed, str]]:
    """A backup that is copying, and will be for minutes; and its id."""
    with follow(daemon, *servers, **{"bwlimit": SLOWEST, **params}) as followed:
        told = followed.until_phase("copying", *servers[:1])
        yield followed, told["backup_id"]


# ------------------------------------------------------------------------------- holding WAL back


@dataclass(frozen=True, slots=True)
class Dam:
    """WAL that archive_command has brought, and that goes on when the test lets it."""

    folder: Path
    incoming: Path

    @property
    def settings(self) -> dict[str, object]:
        """Of a cluster whose WAL is held here."""
        return {"archive_mode": "on", "archive_command": f'cp "%p" "{self.folder}/%f"'}

    def held(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if len(path.name) == 24)

    def holds(self, name: str) -> bool:
        path = self.folder / name
        return path.is_file() and path.stat().st_size > 0

    def let_go(self, *names: str) -> None:
        for name in names:
            eventually(lambda name=name: self.holds(name))  # type: ignore[misc]
            (self.folder / name).rename(self.incoming / name)

    def open(self) -> None:
        """All that is held."""
        self.let_go(*self.held())


# ---------------------------------------------------------------------------------------- proving


def restored(
    daemon: Daemon, clusters: Clusters, destination: Path, backup: str = "last", **params: object
) -> Cluster:
    """A cluster that runs on what was restored, its recovery ended."""
    server = params.pop("server", "main")
    ask(daemon, "restore", server=server, backup=backup, destination=str(destination), **params)
    cluster = clusters.adopt(destination)
    eventually(lambda: cluster.psql("SELECT NOT pg_is_in_recovery()") == "t")
    return cluster


def pgbench_sums(cluster: Cluster) -> set[int]:
    """One number, where the accounts agree with each other."""
    told = cluster.psql(
        "SELECT sum(abalance) FROM pgbench_accounts"
        " UNION ALL SELECT sum(tbalance) FROM pgbench_tellers"
        " UNION ALL SELECT sum(bbalance) FROM pgbench_branches"
        " UNION ALL SELECT coalesce(sum(delta), 0) FROM pgbench_history"
    )
    return {int(number) for number in told.splitlines()}


def programs_of(folder: Path) -> list[Process]:
    """The pg_basebackup and pg_receivewal processes that work in this folder, whoever owns them."""
    return [
        process
        for process in all_processes()
        if str(folder) in process.command
        and any(name in process.command for name in ("pg_basebackup", "pg_receivewal"))
    ]


def file_copiers(folder: Path) -> list[Process]:
    """What works for a copy by rsync in this folder: rsync on either end, and ssh."""
    return [
        process
        for process in all_processes()
        if str(folder) in process.command
        and any(name in process.command for name in ("rsync", "ssh -o"))
    ]


def copiers(folder: Path) -> list[Process]:
    return [process for process in programs_of(folder) if "pg_basebackup" in process.command]


def walsenders(cluster: Cluster) -> list[str]:
    """Whom the cluster streams a base backup to."""
    return cluster.psql(
        "SELECT pid FROM pg_stat_replication WHERE application_name = 'barman_streaming_backup'"
    ).splitlines()


def everything_in(folder: Path) -> dict[str, bytes]:
    """Each file's bytes by its path below `folder`; links and folders by name only."""
    found: dict[str, bytes] = {}
    for root, names, files in os.walk(folder):
        here = Path(root)
        found |= {str((here / name).relative_to(folder)): b"" for name in names}
        found |= {
            str((here / name).relative_to(folder)): (here / name).read_bytes() for name in files
        }
    return found
