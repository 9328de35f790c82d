"""A cluster made for measuring, and an sshd on loopback: both of this user's own."""

import getpass
import mmap
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PORT = "54329"
_REMEMBERED_SECONDS = 65
"""The kernel's minute (ext4, RECENTCY_MIN), and some more. Nobody tells when it is over."""
NOISE_ROWS = 1600
"""For each step of the scale; some 10 MB, so that there is two thirds as much noise as the rest."""


class Cluster:
    """WAL lies beside the data directory: a backup leaves it out, so `cp -a` shall not copy it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "pg"
        self.programs = postgres_programs()
        self.where = f"host={folder} port={PORT} user=postgres"

    def make(self, scale: int, tables: int, *, noise: bool, checksums: bool) -> None:
        words = ("-U", "postgres", "-A", "trust", "--no-sync", *(["-k"] if checksums else []))
        self.run("initdb", "-D", self.data, "-X", self.folder / "wal", *words)
        (self.folder / "arrivals").mkdir()
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.write(
                f"listen_addresses=''\nunix_socket_directories='{self.folder}'\nport={PORT}\n"
                "max_wal_size='8GB'\nshared_buffers='256MB'\nsynchronous_commit=off\n"
                "autovacuum=off\narchive_mode=on\n"
                f"archive_command='cp %p {self.folder}/arrivals/%f'\n"
            )
        self.run("pg_ctl", "-D", self.data, "-l", self.folder / "pg.log", "-w", "start")
        self.keep_wal(kept=False)
        self.run("pgbench", "-q", "-i", "-s", str(scale), *self._words, "postgres")
        self.sql(
            "DO $$ BEGIN FOR n IN 1.." + str(tables) + " LOOP EXECUTE format("
            "'CREATE TABLE small_%s AS SELECT n FROM generate_series(1, 300) n', n);"
            " IF n % 500 = 0 THEN COMMIT; END IF; END LOOP; END $$"
        )
        if noise:
            self.sql("CREATE TABLE noise (n int, bytes bytea)")
            self.sql("ALTER TABLE noise ALTER bytes SET STORAGE EXTERNAL")
            self.sql(
                "INSERT INTO noise SELECT n, string_agg(sha512((n::text || '-' || m)::bytea), '')"
                f" FROM generate_series(1, {NOISE_ROWS * scale}) n, generate_series(1, 100) m"
                " GROUP BY n"
            )
        self.sql("CHECKPOINT")

    def keep_wal(self, *, kept: bool) -> None:
        """The copies are what is measured: WAL is thrown away but for Barman's first segment."""
        command = f"cp %p {self.folder}/arrivals/%f" if kept else "cp %p /dev/null"
        self.sql(f"ALTER SYSTEM SET archive_command = '{command}'")
        self.sql("SELECT pg_reload_conf()")

    def load(self, seconds: int) -> None:
        self.run("pgbench", "-c", "4", "-j", "2", "-T", str(seconds), *self._words, "postgres")
        self.sql("CHECKPOINT")

    def sql(self, text: str) -> None:
        self.run("psql", "-Xqc", text, *self._words, "postgres")

    def stop(self) -> None:
        if (self.data / "postmaster.pid").exists():
            self.run("pg_ctl", "-D", self.data, "-m", "immediate", "stop")

    def run(self, program: str, *words: object) -> None:
        quietly(self.programs / program, *words)

    def warm(self) -> None:
        """Have the system hold as much free memory as a copy takes, as it does after some days.

        A virtual machine gives memory that lies idle back to its host (page_reporting), and whoever
        writes to it first pays for getting each page again: up to several times the copy.
        """
        _, size = self.weigh()
        with mmap.mmap(-1, size * 5 // 4, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
            for begin in range(0, len(memory), mmap.PAGESIZE):
                memory[begin] = 1

    def has_room(self, copies: int) -> bool:
        _, size = self.weigh()
        return shutil.disk_usage(self.folder).free > copies * size * 5 // 4

    def weigh(self) -> tuple[int, int]:
        sizes = [path.stat().st_size for path in self.data.rglob("*") if path.is_file()]
        return len(sizes), sum(sizes)

    @property
    def _words(self) -> tuple[str, ...]:
        return ("-h", str(self.folder), "-p", PORT, "-U", "postgres")


def postgres_programs() -> Path:
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not versions:
        sys.exit("initdb is neither on PATH nor in /usr/lib/postgresql")
    return versions[-1].parent


def spread(folder: Path) -> Path:
    """Make it a folder in which ext4 lays each new folder far from the others: what a contender
    deletes in the midst of a round, by itself, seldom lies where the next one writes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["chattr", "+T", folder], check=False, capture_output=True)
    return folder


@contextmanager
def forgetting(folder: Path) -> Iterator[None]:
    """When this ends, what was deleted within is not remembered by the file system.

    For a minute ext4 without a journal gives no inode again that was freed, and looks at each such
    one near by for each new file: whoever comes to lie there takes up to eight times as long.
    """
    yield
    os.sync()
    if _has_memory(folder):
        time.sleep(_REMEMBERED_SECONDS)


def _has_memory(folder: Path) -> bool:
    words = quietly("findmnt", "-n", "-o", "FSTYPE,SOURCE", "-T", folder).split()
    journals = Path("/proc/fs/jbd2").glob(f"{Path(words[-1]).name}-*")
    return words[0] == "ext4" and not any(journals)


@contextmanager
def serving_ssh(folder: Path) -> Iterator[str | None]:
    """An sshd for this user alone; yields Barman's `ssh_command`, or None where none is installed.

    Keys, known hosts and configuration are its own: nobody's ~/.ssh is read or written.
    """
    program = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if program is None or shutil.which("ssh-keygen") is None:
        yield None
        return
    home = folder / "ssh"
    home.mkdir()
    for name in ("host_key", "key"):
        quietly("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / name)
    shutil.copy(home / "key.pub", home / "authorized_keys")
    port = _free_port()
    known = f"[127.0.0.1]:{port} {(home / 'host_key.pub').read_text()}"
    (home / "known_hosts").write_text(known)
    (home / "config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {home}/host_key\n"
        f"AuthorizedKeysFile {home}/authorized_keys\nPidFile {home}/pid\n"
        "UsePAM no\nStrictModes no\nPasswordAuthentication no\nMaxStartups 100\n"
    )
    server = subprocess.Popen([program, "-D", "-f", home / "config", "-E", home / "log"])
    try:
        _await_greeting(port, home / "log")
        yield shlex.join(
            [
                *("ssh", "-F", "none", "-p", str(port), "-i", str(home / "key")),
                *("-o", f"UserKnownHostsFile={home}/known_hosts", "-o", "IdentitiesOnly=yes"),
                f"{getpass.getuser()}@127.0.0.1",
            ]
        )
    finally:
        server.terminate()
        server.wait()


def _await_greeting(port: int, log: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
            if connection.recv(4) == b"SSH-":
                return
        time.sleep(0.1)  # in the foreground sshd tells nobody when it listens: ask again
    sys.exit(f"sshd does not answer: {log.read_text() if log.exists() else 'it left no log'}")


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def quietly(*command: object) -> str:
    """Run it; what it printed. It must succeed."""
    words = [str(word) for word in command]
    finished = subprocess.run(words, capture_output=True, text=True, check=False, cwd="/")
    if finished.returncode != 0:
        sys.exit(f"{shlex.join(words)}\n{finished.stdout}{finished.stderr}")
    return finished.stdout
