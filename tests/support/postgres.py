"""Real PostgreSQL clusters for tests: initdb once, copies of it for everybody, none left behind."""

import contextlib
import fcntl
import hashlib
import itertools
import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from support.processes import Process, find_process, kill_all, working_in

PROGRAMS_USER = "postgres"  # PostgreSQL refuses to run as root; tests that do use this user for it
SOCKET_LIMIT = 100  # bytes of a socket's folder: the kernel allows 107 for the whole path
TIMEOUT = 60

SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "wal_level": "replica",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    "max_connections": "40",
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "mmap",
    "max_wal_size": "512MB",
    "autovacuum": "off",
    "log_line_prefix": "%m [%p] %a: ",
}


def find_bindir() -> Path:
    """Where the newest installed PostgreSQL keeps its programs."""
    debian = Path("/usr/lib/postgresql")
    found = [path.parent for path in debian.glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda bindir: float(bindir.parent.name))
    initdb = shutil.which("initdb")
    assert initdb, "PostgreSQL is not installed: ./dev setup does it"
    return Path(initdb).resolve().parent


def as_postgres() -> list[str]:
    """What to put before a program that refuses root."""
    if os.geteuid() != 0:
        return []
    group = str(pwd.getpwnam(PROGRAMS_USER).pw_gid)
    return ["setpriv", f"--reuid={PROGRAMS_USER}", f"--regid={group}", "--init-groups", "--"]


def give_to_postgres(path: Path) -> None:
    if os.geteuid() == 0:
        shutil.chown(path, PROGRAMS_USER)


def run(*argv: str | Path, timeout: float = TIMEOUT, input: str = "") -> str:  # noqa: A002  (the word of subprocess.run)
    """The program's output, or its own words in the error when it fails."""
    done = subprocess.run(
        [*as_postgres(), *argv],
        input=input,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        cwd="/",
    )
    if done.returncode != 0:
        raise RuntimeError(f"{Path(argv[0]).name} ended with {done.returncode}: {done.stderr}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Template:
    """A cluster that was never started, made once per session and shared by all workers."""

    bindir: Path
    folder: Path

    def copy(self, target: Path, *, wal_segsize: int = 16, initdb: tuple[str, ...] = ()) -> None:
        """Lay a new cluster out at `target`. `wal_segsize` is in MB."""
        original = self._original((f"--wal-segsize={wal_segsize}", *initdb))
        run("cp", "-a", "--reflink=auto", original, target)

    def _original(self, options: tuple[str, ...]) -> Path:
        key = hashlib.sha256("\0".join(options).encode()).hexdigest()[:8]
        original = self.folder / f"template-{key}"
        with original.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not original.exists():
                self._initdb(original, options)
        return original

    def _initdb(self, original: Path, options: tuple[str, ...]) -> None:
        parent = original.with_suffix(".new")
        parent.mkdir()
        give_to_postgres(parent)
        made = parent / "data"
        run(
            self.bindir / "initdb",
            f"--pgdata={made}",
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "--data-checksums",
            "--no-sync",
            *options,
        )
        _append_settings(made, SETTINGS)
        # A third of the files less to make, copy and remove in every test.
        self._single_user(
            made, "UPDATE pg_database SET datistemplate = false WHERE datname = 'template0'"
        )
        self._single_user(made, "DROP DATABASE template0")
        made.rename(original)
        parent.rmdir()

    def _single_user(self, data: Path, sql: str) -> None:
        run(self.bindir / "postgres", "--single", "-D", data, "postgres", input=sql)


@dataclass(slots=True)
class Pgbench:
    """pgbench at work in the background."""

    process: subprocess.Popen[str]
    output: str = ""

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def wait(self, timeout: float = 120) -> str:
        """Its report, after it has come to its end by itself."""
        self.output, errors = self.process.communicate(timeout=timeout)
        if self.process.returncode != 0:
            raise RuntimeError(f"pgbench ended with {self.process.returncode}: {errors}")
        return self.output

    def stop(self) -> None:
        if self.is_running:
            self.process.terminate()
        self.process.communicate(timeout=30)


@dataclass(slots=True)
class Cluster:
    """One PostgreSQL cluster. It listens on a unix socket only."""

    bindir: Path
    data: Path
    port: int
    socket_directory: Path
    user: str = "postgres"
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        assert len(os.fsencode(self.socket_directory)) < SOCKET_LIMIT, self.socket_directory
        self.log = self.data.with_name(f"{self.data.name}.log")
        _append_settings(
            self.data,
            {"port": str(self.port), "unix_socket_directories": str(self.socket_directory)},
        )

    @property
    def conninfo(self) -> str:
        return f"host={self.socket_directory} port={self.port} user={self.user} dbname=postgres"

    @property
    def process(self) -> Process | None:
        """The postmaster, if it lives."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
        except (OSError, IndexError):
            return None
        found = find_process(pid)
        return found if found and "postgres" in found.command else None

    @property
    def is_running(self) -> bool:
        return self.process is not None

    def start(self) -> None:
        try:
            self._pg_ctl("start", "--log", str(self.log))
        except RuntimeError as error:
            error.add_note(self.log.read_text() if self.log.exists() else "no log was written")
            raise

    def stop(self, mode: str = "fast") -> None:
        self._pg_ctl("stop", "--mode", mode)

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    def promote(self) -> None:
        self._pg_ctl("promote")

    def kill9(self) -> None:
        """As a power cut would: all of it dies at once, and what was in memory is gone."""
        family = working_in(self.data)
        for process in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        kill_all(family)
        # The lock files go too: their process may wait, dead, for an init that counts it, and
        # PostgreSQL would take it for alive. The first of them names the shared memory.
        lock_file = self.data / "postmaster.pid"
        with contextlib.suppress(OSError, IndexError, RuntimeError):
            run("ipcrm", f"--shmem-id={lock_file.read_text().splitlines()[6].split()[1]}")
        lock_file.unlink(missing_ok=True)
        (self.socket_directory / f".s.PGSQL.{self.port}.lock").unlink(missing_ok=True)

    def configure(self, **settings: object) -> None:
        """Append to postgresql.conf; `restart()` or `reload()` makes it true."""
        _append_settings(self.data, {name: str(value) for name, value in settings.items()})

    def reload(self) -> None:
        self._pg_ctl("reload")

    def psql(self, sql: str, dbname: str = "postgres") -> str:
        """The rows, unaligned, without header, without the last newline."""
        return run(
            self.bindir / "psql",
            "-XAtq",
            "--set=ON_ERROR_STOP=1",
            f"--dbname={self.conninfo} dbname={dbname}",
            f"--command={sql}",
        ).rstrip("\n")

    def switch_wal(self) -> str:
        """Close the current segment, and give its name."""
        return self.psql(
            "SELECT pg_create_restore_point('switch') IS NOT NULL, pg_walfile_name(pg_switch_wal())"
        ).rpartition("|")[2]

    def pgbench_init(self, scale: int = 1) -> None:
        """Tables of about 15 MB for each unit of `scale`."""
        run(*self._pgbench("--initialize", "--quiet", f"--scale={scale}"), timeout=300)

    @contextlib.contextmanager
    def pgbench(self, seconds: int = 60, clients: int = 2) -> Iterator[Pgbench]:
        """Write in the background, at most so long, and no longer than the `with` block."""
        process = subprocess.Popen(
            [
                *as_postgres(),
                *self._pgbench("--no-vacuum", f"--time={seconds}", f"--client={clients}"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
        )
        load = Pgbench(process)
        try:
            yield load
        finally:
            load.stop()

    def discard(self) -> None:
        """Stop it, by force if need be: nothing of it lives after this."""
        if self.is_running:
            with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
                self.stop("immediate")
        self.kill9()

    def _pg_ctl(self, command: str, *options: str) -> None:
        wait = [] if command == "reload" else ["--wait", f"--timeout={TIMEOUT}"]
        # Its output is not read through a pipe: the server would inherit it and keep it open.
        with self.data.with_suffix(".pg_ctl").open("w+") as said:
            done = subprocess.run(
                [
                    *as_postgres(),
                    self.bindir / "pg_ctl",
                    command,
                    f"--pgdata={self.data}",
                    "--silent",
                    *wait,
                    *options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                check=False,
                timeout=2 * TIMEOUT,
                cwd="/",
            )
            said.seek(0)
            if done.returncode != 0:
                raise RuntimeError(f"pg_ctl {command} failed: {said.read()}")

    def _pgbench(self, *options: str) -> list[str | Path]:
        connection = [
            f"--host={self.socket_directory}",
            f"--port={self.port}",
            f"--username={self.user}",
        ]
        return [self.bindir / "pgbench", *connection, *options, "postgres"]


@dataclass(slots=True)
class Clusters:
    """Makes clusters in one folder, and takes all of them away."""

    template: Template
    folder: Path
    made: list[Cluster] = field(default_factory=list)
    ports: Iterator[int] = field(default_factory=lambda: itertools.count(54320))

    def make(
        self,
        *,
        start: bool = True,
        wal_segsize: int = 16,
        initdb: tuple[str, ...] = (),
        **settings: object,
    ) -> Cluster:
        """A new cluster; `settings` go to its postgresql.conf."""
        home = self._home()
        self.template.copy(home / "data", wal_segsize=wal_segsize, initdb=initdb)
        return self._cluster(home / "data", start=start, settings=settings)

    def adopt(self, data: Path, *, start: bool = True, **settings: object) -> Cluster:
        """A data folder that something else laid out (a restore, say), on a socket of its own."""
        return self._cluster(data, start=start, settings=settings)

    def discard(self) -> None:
        for cluster in reversed(self.made):
            cluster.discard()

    def _home(self) -> Path:
        home = self.folder / f"pg{len(self.made) + 1}"
        home.mkdir()
        give_to_postgres(home)
        return home

    def _cluster(self, data: Path, *, start: bool, settings: dict[str, object]) -> Cluster:
        sockets = self.folder / f"s{len(self.made) + 1}"
        sockets.mkdir()
        give_to_postgres(sockets)
        cluster = Cluster(self.template.bindir, data, next(self.ports), sockets)
        cluster.configure(**settings)
        self.made.append(cluster)
        if start:
            cluster.start()
        return cluster


def _append_settings(data: Path, settings: dict[str, str]) -> None:
    lines = [
        f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items()
    ]
    with (data / "postgresql.conf").open("a") as conf:
        conf.writelines(lines)


def server_version(bindir: Path) -> int:
    """The major version, as a number."""
    found = re.search(r"\d+", run(bindir / "postgres", "--version"))
    assert found
    return int(found[0])
