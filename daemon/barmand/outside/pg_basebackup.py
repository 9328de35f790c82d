"""pg_basebackup: its command line, and what its lines and exit codes mean.

Source: PostgreSQL documentation, pg_basebackup. WAL is not in the backup (`--wal-method=none`): it
comes from the archive.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from barmand.model.backup import Tablespace, Told
from barmand.model.compression import Algorithm, Compression, Location
from barmand.model.errors import StorageFailed, ToolFailed
from barmand.model.masking import without_secrets
from barmand.model.order import Checksums, Order
from barmand.model.secret import Conninfo
from barmand.outside.pg_basebackup_words import PROGRESS, Report, Words
from barmand.outside.pg_version import version_of
from barmand.outside.postgres import without_password
from barmand.outside.process import Finished, Stop, find_program, run
from barmand.outside.silence import Silence, died, run_heard

_CUT_OFF = "COPY stream ended before last file was finished"
"""All that it says when the server ends the session: the server's own words it keeps to itself."""

SILENCE_SECONDS = 120.0
_PACKED_TIMES = 5
"""zstd may hold back hundreds of megabytes, and packs them at two in a second."""

_NOWHERE = "/dev/null"
"""A path under which there is neither a socket nor a folder, and nobody can make one."""


@dataclass(frozen=True, slots=True)
class PgBasebackup:
    conninfo: Conninfo
    application_name: str
    path_prefix: Sequence[Path] = ()
    silence_seconds: float = SILENCE_SECONDS
    """After its first bytes it is taken for dead when none come for so long: a connection whose
    other end stands still looks to it like one that is slow."""

    def version(self) -> int:
        """Its major version. Raises ToolFailed when it is missing."""
        return version_of(find_program("pg_basebackup", self.path_prefix))

    def refusal_of(self, compression: Compression) -> str | None:
        """Why this build of it cannot pack or unpack so; None when it can.

        It looks at the words of its command line before it connects, here to nobody.
        """
        if not compression.unpacks_here or not (words := _packing(compression)):
            return None
        finished = run(
            [
                str(find_program("pg_basebackup", self.path_prefix)),
                f"--dbname=host={_NOWHERE}",
                f"--pgdata={_NOWHERE}/data",
                "--format=tar",
                "--wal-method=none",
                *(word.replace("=server-", "=client-") for word in words),
            ],
            stop=Event(),
        )
        said = [line for line in finished.tail if "error:" in line and "compress" in line]
        return f"pg_basebackup: {said[0].split('error: ', 1)[1]}" if said else None

    def copy(
        self,
        *,
        data: Path,
        tablespaces: Sequence[Tablespace],
        label: str,
        order: Order,
        compression: Compression | None = None,
        stop: Stop,
        report: Report,
    ) -> Told:
        """Copy the cluster into `data`, each tablespace into a folder named by its oid beside it;
        or, as archives, all of them into `data`.

        Raises ToolFailed with the tail of its words, Stopped. Nothing is synced to disk yet. Where
        it ended with nothing but bad pages they are told; `backup_manifest.tmp` is then not yet
        renamed.
        """
        connection, environment = without_password(
            self.conninfo, application_name=self.application_name
        )
        program = find_program("pg_basebackup", self.path_prefix)
        mapped = {space.location: data.parent / str(space.oid) for space in tablespaces}
        words = Words(report, tablespaces)
        told = arguments(connection, data, mapped, label, order, compression=compression)
        patience = self.silence_seconds * (_PACKED_TIMES if _packs(compression) else 1)
        silence = Silence(stop, math.inf)

        def take(line: str) -> None:
            words.take(line)
            silence.hear(patience if words.is_flowing else math.inf)

        finished = run_heard([str(program), *told], silence, environment=environment, on_line=take)
        if finished is None:
            raise died("pg_basebackup", silence)
        if finished.exit_code == 0:
            return Told(words.end_point)
        if finished.exit_code == 1 and words.is_only_damaged:
            return Told(words.end_point, words.damages)
        if any("No space left" in line for line in finished.tail):
            raise StorageFailed(
                f"the disk of {data} is full", hint="Free space there, or make it larger."
            )
        hint, secrets = _hint(finished), self.conninfo.secrets
        raise ToolFailed(
            without_secrets(_reason(finished), secrets),
            hint=None if hint is None else without_secrets(hint, secrets),
        )


def arguments(
    connection: str,
    data: Path,
    mapped: Mapping[str, Path],
    label: str,
    order: Order,
    *,
    compression: Compression | None = None,
) -> list[str]:
    """`connection` must not hold a password: a command line is public."""
    limit, sums = order.bandwidth_limit, order.manifest_checksums
    is_tar = compression is not None and compression.is_tar
    places = () if is_tar else mapped.items()  # archives all lie in `data`
    return [
        f"--dbname={connection}",
        f"--pgdata={data}",
        f"--label={label}",
        f"--checkpoint={'fast' if order.immediate_checkpoint else 'spread'}",
        f"--format={'tar' if is_tar else 'plain'}",
        "--wal-method=none",
        "--no-slot",
        "--no-password",
        "--no-sync",
        "--progress",
        "--verbose",
        *([] if limit is None else [f"--max-rate={limit}k"]),
        *([] if sums is Checksums.CRC32C else [f"--manifest-checksums={sums.name}"]),
        *([] if compression is None else _packing(compression)),
        *(
            f"--tablespace-mapping={_escaped(location)}={_escaped(str(folder))}"
            for location, folder in places
        ),
    ]


def _packs(compression: Compression | None) -> bool:
    return compression is not None and compression.algorithm is not Algorithm.NONE


def _packing(compression: Compression) -> list[str]:
    """For gzip at our side, words that every version of pg_basebackup understands."""
    level, workers = compression.given_level, compression.workers
    match compression:
        case Compression(algorithm=Algorithm.NONE):
            return []
        case Compression(algorithm=Algorithm.GZIP, location=Location.CLIENT):
            return ["--gzip", *([] if level is None else [f"--compress={level}"])]
        case _:
            details = [f"level={level}"] * (level is not None)
            details += [f"workers={workers}"] * (workers is not None)
            words = ":".join([compression.algorithm, *([",".join(details)] if details else [])])
            return [f"--compress={compression.location}-{words}"]


def _escaped(path: str) -> str:
    return path.replace("=", r"\=")


def _complaint(finished: Finished) -> str | None:
    said = [line for line in finished.tail if "error:" in line or "FATAL" in line]
    return said[-1] if said else None


def _reason(finished: Finished) -> str:
    words = (_complaint(finished) or "it gave no reason").split("error: ", 1)[-1]
    if _CUT_OFF in words:
        words += ": PostgreSQL closed the connection, because it shut down or was told to"
    return f"pg_basebackup {finished.words}: {words}"


def _hint(finished: Finished) -> str | None:
    """The way out, where one is known, and what else it said."""
    told = _complaint(finished)
    said = [line for line in finished.tail if not PROGRESS.match(line) and line != told]
    return "\n".join([*([finished.way_out] if finished.way_out else []), *said]) or None
