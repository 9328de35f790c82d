"""A real sshd on loopback, for the user who runs the tests and nobody else."""

import getpass
import shlex
import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from support.processes import Process, descendants, find_process
from support.waiting import eventually

SSHD = Path("/usr/sbin/sshd")


@dataclass(slots=True)
class Sshd:
    """It serves its own account: an ordinary user's sshd can serve no other."""

    folder: Path
    port: int = 0
    known_hosts: Path = field(init=False)
    process: subprocess.Popen[bytes] | None = None
    seen: set[Process] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.known_hosts = self.folder / "known_hosts"
        for name in ("host_key", "key"):
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name))
        shutil.copy(self.folder / "key.pub", self.folder / "authorized_keys")

    @property
    def words(self) -> tuple[str, ...]:
        """Barman's `ssh_command`, in words."""
        return (
            *("ssh", "-F", "none", "-p", str(self.port), "-i", str(self.folder / "key")),
            *("-o", f"UserKnownHostsFile={self.known_hosts}", "-o", "GlobalKnownHostsFile=none"),
            *("-o", "IdentitiesOnly=yes", f"{getpass.getuser()}@127.0.0.1"),
        )

    @property
    def command(self) -> str:
        return shlex.join(self.words)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    @property
    def children(self) -> list[Process]:
        """The connections: sshd's own processes, and what runs for them."""
        assert self.process is not None
        found = descendants(self.process.pid)
        self.seen.update(found)
        return found

    def start(self, *options: str) -> "Sshd":
        """`options` are lines of sshd's configuration, besides what it has."""
        self.port = self.port or _free_port()
        host_key = (self.folder / "host_key.pub").read_text()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {host_key}")
        (self.folder / "config").write_text("\n".join([self._config(), *options, ""]))
        self.process = subprocess.Popen(
            [SSHD, "-D", "-f", self.folder / "config", "-E", self.folder / "log"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
        eventually(self._answers)
        return self

    def stop(self) -> None:
        if self.process is not None:
            self.seen.update(self.children)
            self.process.kill()
            self.process.wait()
            # What is frozen outlives its parent, and has another one then: only the start tells.
            for process in self.seen:
                found = find_process(process.pid)
                if found is not None and found.started == process.started:
                    found.kill()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def _config(self) -> str:
        return "\n".join(
            [
                "ListenAddress 127.0.0.1",
                f"Port {self.port}",
                f"HostKey {self.folder / 'host_key'}",
                f"AuthorizedKeysFile {self.folder / 'authorized_keys'}",
                f"PidFile {self.folder / 'pid'}",
                "UsePAM no",
                "StrictModes no",
                "PasswordAuthentication no",
                "KbdInteractiveAuthentication no",
                "MaxStartups 100",
                "LogLevel VERBOSE",
                "",
            ]
        )


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _run(*argv: str) -> None:
    subprocess.run(argv, stdin=subprocess.DEVNULL, check=True, capture_output=True)
