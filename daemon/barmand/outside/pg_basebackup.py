"""pg_basebackup: its command line, and what its lines and exit codes mean.

Source: PostgreSQL documentation, pg_basebackup. WAL is not in the backup (`--wal-method=none`): it
comes from the archive.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from barmand.model.backup import Tablespace
from barmand.model.errors import StorageFailed, ToolFailed
from barmand.model.order import Order
from barmand.model.progress import Phase
from barmand.model.secret import Conninfo
from barmand.outside.postgres import without_password
from barmand.outside.process import Finished, Stop, find_program, run, version_of

log = structlog.get_logger()

_KIBIBYTE = 1024
_PROGRESS = re.compile(r"\s*(\d+)/(\d+) kB \(")
_END_POINT = re.compile(r"write-ahead log end point: ([0-9A-F]+/[0-9A-F]+)")
_PHASES = (
    ("waiting for checkpoint to complete", Phase.CHECKPOINT),
    ("checkpoint completed", Phase.COPYING),
    ("waiting for required WAL segments to be archived", Phase.WAITING_FOR_WAL),
)

Report = Callable[[Phase, int | None, int | None], None]
"""Told the phase, the bytes copied and the bytes expected."""


@dataclass(frozen=True, slots=True)
class PgBasebackup:
    conninfo: Conninfo
    application_name: str
    path_prefix: Sequence[Path] = ()

    def version(self) -> int:
        """Its major version. Raises ToolFailed when it is missing."""
        return version_of(find_program("pg_basebackup", self.path_prefix))

    def copy(
        self,
        *,
        data: Path,
        tablespaces: Sequence[Tablespace],
        label: str,
        order: Order,
        stop: Stop,
        report: Report,
    ) -> str | None:
        """Copy the cluster into `data`, each tablespace into a folder named by its oid beside it.

        Returns the end point (LSN) that the tool told, if it did. Raises ToolFailed with the tail
        of its words, Stopped. Nothing is synced to disk yet.
        """
        connection, environment = without_password(
            self.conninfo, application_name=self.application_name
        )
        program = find_program("pg_basebackup", self.path_prefix)
        mapped = {space.location: data.parent / str(space.oid) for space in tablespaces}
        words = _Words(report)
        finished = run(
            [str(program), *arguments(connection, data, mapped, label, order)],
            stop=stop,
            environment=environment,
            on_line=words.take,
        )
        if finished.exit_code != 0 and any("No space left" in line for line in finished.tail):
            raise StorageFailed(
                f"the disk of {data} is full", hint="Free space there, or make it larger."
            )
        if finished.exit_code != 0:
            raise ToolFailed(_reason(finished), hint=_tail(finished))
        return words.end_point


def arguments(
    connection: str, data: Path, mapped: Mapping[str, Path], label: str, order: Order
) -> list[str]:
    """`connection` must not hold a password: a command line is public."""
    limit = order.bandwidth_limit
    return [
        f"--dbname={connection}",
        f"--pgdata={data}",
        f"--label={label}",
        f"--checkpoint={'fast' if order.immediate_checkpoint else 'spread'}",
        "--format=plain",
        "--wal-method=none",
        "--no-slot",
        "--no-password",
        "--no-sync",
        "--progress",
        "--verbose",
        *([] if limit is None else [f"--max-rate={limit}k"]),
        *(
            f"--tablespace-mapping={_escaped(location)}={_escaped(str(folder))}"
            for location, folder in mapped.items()
        ),
    ]


def _escaped(path: str) -> str:
    return path.replace("=", r"\=")


class _Words:
    """What it prints, understood: progress to `report`, the end point kept."""

    def __init__(self, report: Report) -> None:
        self.end_point: str | None = None
        self._report = report

    def take(self, line: str) -> None:
        if counted := _PROGRESS.match(line):
            done, total = (int(number) * _KIBIBYTE for number in counted.groups())
            self._report(Phase.COPYING, done, max(done, total))
        elif ended := _END_POINT.search(line):
            self.end_point = ended[1]
        else:
            if "still waiting for all required WAL" in line:
                log.warning("PostgreSQL waits for its archive_command", said=line)
            for words, phase in _PHASES:
                if words in line:
                    self._report(phase, None, None)


def _reason(finished: Finished) -> str:
    said = [line for line in finished.tail if "error:" in line or "FATAL" in line]
    words = said[-1].split("error: ", 1)[-1] if said else "it gave no reason"
    return f"pg_basebackup {finished.words}: {words}"


def _tail(finished: Finished) -> str:
    return "\n".join(line for line in finished.tail if not _PROGRESS.match(line))
