"""Who is measured: bare programs, barmand, and Barman and pgBackRest where they are installed.

A row does one copy and returns its seconds by the name they are shown under. What is not the copy
is done outside of what is timed; copies that are not needed any more are taken away apart.
"""

import getpass
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from _cluster import PORT, Cluster, quietly, spread


@dataclass(frozen=True)
class Row:
    """`run` is measured; `tidy` takes away what earlier runs have left."""

    run: Callable[[], dict[str, float]]
    tidy: Callable[[], None] = lambda: None


CP = "cp -a + sync -f"
BARE_SSH = "2 bare rsync -a --whole-file + sync -f"
BARE_GCM = "  the same, with ssh -c aes128-gcm@openssh.com"
"""What barmand's own copies choose where nobody has chosen a cipher."""
INSIDE = "  of it between start and stop"


def _timed(name: str, work: Callable[[], object]) -> dict[str, float]:
    begun = time.perf_counter()
    work()
    return {name: time.perf_counter() - begun}


# ------------------------------------------------------------------------------------ bare programs
def bare_rows(cluster: Cluster) -> list[Row]:
    base = [cluster.programs / "pg_basebackup", "-d", cluster.where, "-X", "none", "-c", "fast"]

    def bare(name: str, *commands: list[object]) -> Row:
        def row() -> dict[str, float]:
            copy = _new_copy(cluster)
            filled = [[copy if word is _COPY else word for word in each] for each in commands]
            os.sync()
            return _timed(name, lambda: [quietly(*command) for command in filled])

        return Row(row, lambda: _clear_copies(cluster))

    sync = ["sync", "-f", _COPY]
    rsync = ["rsync", "-a", "--whole-file", f"{cluster.data}/", _COPY]
    return [
        bare(CP, ["cp", "-a", cluster.data, _COPY], sync),
        bare("rsync -a --whole-file + sync -f", rsync, sync),
        bare("pg_basebackup -X none", [*base, "-D", _COPY]),
    ]


_COPY = object()
"""Stands for where the copy goes."""


def _new_copy(cluster: Cluster) -> Path:
    """Where the next bare copy goes: nothing is there."""
    return spread(cluster.folder / "copies") / f"{time.time_ns()}"


def _clear_copies(cluster: Cluster) -> None:
    for copy in spread(cluster.folder / "copies").iterdir():
        shutil.rmtree(copy)


def bare_ssh_row(cluster: Cluster, ssh_command: str, *, has_gcm: bool = False) -> Row:
    """Two processes, each with half of the bytes: the least that 2 jobs over this ssh can take."""
    *shell, host = shlex.split(ssh_command)
    shell += ["-c", "aes128-gcm@openssh.com"] if has_gcm else []

    def fetch(names: Path, copy: Path) -> subprocess.Popen[bytes]:
        listed = ["--from0", f"--files-from={names}", "-e", shlex.join(shell)]
        source = f"{host}:{cluster.data}/"
        return subprocess.Popen(["rsync", "-a", "--whole-file", *listed, source, copy])

    def work(lists: list[Path], copy: Path) -> None:
        for fetching in [fetch(names, copy) for names in lists]:
            if fetching.wait():
                sys.exit("a bare rsync over ssh failed")
        quietly("sync", "-f", copy)

    def row() -> dict[str, float]:
        copy = _new_copy(cluster)
        copy.mkdir()
        lists = _halves(cluster)
        os.sync()
        return _timed(BARE_GCM if has_gcm else BARE_SSH, lambda: work(lists, copy))

    return Row(row, lambda: _clear_copies(cluster))


def _halves(cluster: Cluster) -> list[Path]:
    """The data directory's files in two lists of as many bytes, in files that rsync reads."""
    left_out = {"postmaster.pid", "postmaster.opts"}
    files = [path for path in cluster.data.rglob("*") if path.is_file()]
    sizes = {path: path.stat().st_size for path in files if path.name not in left_out}
    halves: list[list[Path]] = [[], []]
    totals = [0, 0]
    for path in sorted(sizes, key=sizes.__getitem__, reverse=True):
        which = totals.index(min(totals))
        halves[which].append(path)
        totals[which] += sizes[path]
    lists = [cluster.folder / "first-half", cluster.folder / "second-half"]
    for names, half in zip(lists, halves, strict=True):
        names.write_bytes(b"\0".join(bytes(path.relative_to(cluster.data)) for path in half))
    return lists


# ------------------------------------------------------------------------------------------ barmand
class Barmand:
    """The daemon beside this interpreter, with a server for each way to copy the one cluster."""

    def __init__(self, cluster: Cluster, ssh_command: str | None) -> None:
        self.folder = cluster.folder
        self._cluster = cluster
        self._servers = {name: dict(options) for name, options in _SERVERS.items()}
        if ssh_command is not None:
            self._servers["rsync"] = {"backup_method": "rsync", "ssh_command": ssh_command}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None, "it runs inside `running` only"
        return self.process.pid

    @contextmanager
    def running(self) -> Iterator["Barmand"]:
        for server in self._servers:
            spread(self.folder / "home" / server / "base")
        config = self.folder / "barmand.conf"
        config.write_text(self._ini())
        ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        ready.bind(str(self.folder / "notify"))
        environment = {**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify")}
        with (self.folder / "barmand.log").open("wb") as log:
            program = Path(sys.executable).with_name("barmand")
            command = [program, "--config", config]
            self.process = subprocess.Popen(command, env=environment, stderr=log, stdout=log)
        ready.settimeout(30)
        try:
            while b"READY=1" not in ready.recv(4096):
                pass
            yield self
        except TimeoutError:
            sys.exit(f"barmand did not start: {(self.folder / 'barmand.log').read_text()}")
        finally:
            ready.close()
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)

    def row(self, name: str, server: str, *, inside: bool = False) -> Row:
        """From request to copied and synced; with `inside` also from backup start to stop."""

        def row() -> dict[str, float]:
            os.sync()
            begun = time.perf_counter()
            reply = self.ask("backup", server)
            seconds = {name: time.perf_counter() - begun}
            backup = reply["backups"][0]
            if inside:
                begin, end = (datetime.fromisoformat(backup[f"{key}_time"]) for key in _TIMES)
                seconds[INSIDE] = (end - begin).total_seconds()
            return seconds

        return Row(row, lambda: self.leave_one(server))

    def leave_one(self, server: str) -> None:
        """The disk need not hold every run's backup: the newest is enough to link to."""
        for backup in self.ask("list-backups", server)["backups"][1:]:
            self.ask("delete", server, backup["backup_id"])

    def ask(self, *words: str) -> dict[str, list[dict[str, str]]]:
        printed = subprocess.run(
            [Path(sys.executable).with_name("barmanctl"), "-f", "json", *words],
            env={**os.environ, "BARMAND_SOCKET": str(self.folder / "barmand.sock")},
            capture_output=True,
            check=False,
        )
        if printed.returncode != 0:
            sys.exit(f"barmanctl {shlex.join(words)}: {printed.stdout!r} {printed.stderr!r}")
        reply: dict[str, list[dict[str, str]]] = json.loads(printed.stdout)
        return reply

    def _ini(self) -> str:
        home = self.folder
        text = (
            f"[barmand]\nbarman_home = {home}/home\nstate_directory = {home}/state\n"
            f"control_socket = {home}/barmand.sock\nimmediate_checkpoint = on\n"
            f"path_prefix = {self._cluster.programs}\narchiver = on\nparallel_jobs = 2\n"
        )
        for name, options in self._servers.items():
            text += f"[{name}]\nconninfo = {self._cluster.where} dbname=postgres\n"
            text += "".join(f"{key} = {value}\n" for key, value in options.items())
        return text


_TIMES = ("begin", "end")
_SERVERS = {
    "postgres": {"backup_method": "postgres", "parallel_jobs": "1"},
    "local": {"backup_method": "local"},
    "local-manifest": {"backup_method": "local", "autogenerate_manifest": "on"},
    "local-link": {"backup_method": "local", "reuse_backup": "link"},
    "local-rsync": {"backup_method": "local-rsync"},
    "local-rsync-link": {"backup_method": "local-rsync", "reuse_backup": "link"},
}


# ------------------------------------------------------------------------------------------- Barman
def find_barman() -> str | None:
    return os.environ.get("BARMAN") or shutil.which("barman")


def barman_row(cluster: Cluster, ssh_command: str | None, *, reuse: str) -> Row:
    """With 2 jobs; over ssh where `ssh_command` is given."""
    method = "local-rsync" if ssh_command is None else "rsync"
    command = _barman(cluster, method, ssh_command)
    name = f"Barman {method}, 2 jobs, reuse {reuse}"

    def leave_one() -> None:
        listed = json.loads(quietly(*command, "-f", "json", "list-backups", "main"))["main"]
        for backup in listed[1:]:
            quietly(*command, "delete", "main", backup["backup_id"])

    def row() -> dict[str, float]:
        os.sync()
        words = ("backup", f"--reuse-backup={reuse}", "-j", "2", "main")
        return _timed(name, lambda: quietly(*command, *words))

    return Row(row, leave_one)


def _barman(cluster: Cluster, method: str, ssh_command: str | None) -> list[object]:
    """A Barman of its own for each method: with one home, the two would link to each other's."""
    home, config = cluster.folder / f"barman-{method}", cluster.folder / f"barman-{method}.conf"
    command: list[object] = [find_barman(), "-c", config]
    if home.exists():
        return command
    spread(home / "main/base")
    ssh = "" if ssh_command is None else f"ssh_command = {ssh_command}\n"
    config.write_text(
        f"[barman]\nbarman_user = {getpass.getuser()}\nbarman_home = {home}\n"
        f"log_file = {home}.log\npath_prefix = {cluster.programs}\n"
        f"[main]\ndescription = bench\nconninfo = host={cluster.folder} port={PORT} user=postgres "
        f"dbname=postgres\nbackup_method = {method}\n{ssh}archiver = on\n"
        "backup_options = concurrent_backup\nimmediate_checkpoint = true\n"
        f"incoming_wals_directory = {cluster.folder}/arrivals\n"
    )
    cluster.keep_wal(kept=True)  # Barman refuses to begin before it has archived a segment
    quietly(*command, "switch-wal", "--force", "--archive", "--archive-timeout", "30", "main")
    cluster.keep_wal(kept=False)
    return command


# --------------------------------------------------------------------------------------- pgBackRest
_PACKINGS = {
    "none": "compress-type=none\n",
    "lz4": "compress-type=lz4\n",
    "zst": "compress-type=zst\n",
    "zst, bundles": "compress-type=zst\nrepo1-bundle=y\n",
    "zst, bundles, blocks": "compress-type=zst\nrepo1-bundle=y\nrepo1-block=y\n",
}
_BLOCKS_SINCE = (2, 46)


def pgbackrest_rows(cluster: Cluster, kind: str) -> list[Row]:
    program = shutil.which("pgbackrest")
    if program is None:
        return []
    version = tuple(int(word) for word in quietly(program, "version").split()[1].split(".")[:2])
    return [
        _pgbackrest_row(cluster, program, kind, packing)
        for packing in _PACKINGS
        if "blocks" not in packing or version >= _BLOCKS_SINCE
    ]


def _pgbackrest_row(cluster: Cluster, program: str, kind: str, packing: str) -> Row:
    home = cluster.folder / f"pgbackrest-{packing.replace(', ', '-')}"
    config = home / "conf"
    command = [program, f"--config={config}", "--stanza=main"]
    if not home.exists():
        home.mkdir()
        config.write_text(
            f"[global]\nrepo1-path={home}/repo\nlog-path={home}\nlock-path={home}/lock\n"
            f"process-max=2\nstart-fast=y\n{_PACKINGS[packing]}repo1-retention-full=1\n"
            f"[main]\npg1-path={cluster.data}\npg1-socket-path={cluster.folder}\npg1-port={PORT}\n"
            "pg1-user=postgres\n"
        )
        quietly(*command, "--no-online", "stanza-create")
        spread(home / "repo/backup/main")

    def row() -> dict[str, float]:
        os.sync()
        name = f"pgBackRest {kind}, 2 processes, {packing}"
        return _timed(
            name, lambda: quietly(*command, "--no-archive-check", f"--type={kind}", "backup")
        )

    return Row(row)
