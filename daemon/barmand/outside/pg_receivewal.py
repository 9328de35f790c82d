"""pg_receivewal: its command line, and what its lines mean.

Source: PostgreSQL documentation, pg_receivewal. It writes a segment as `.partial` and gives it its
name when it is whole; with --verbose it says so once it will not touch it again.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from barmand.model.errors import ToolFailed
from barmand.model.masking import without_secrets
from barmand.model.secret import Conninfo
from barmand.model.wal import parse_lsn
from barmand.outside.pg_version import version_of
from barmand.outside.postgres import without_password
from barmand.outside.process import Stop, find_program, run

_FINISHED = re.compile(r"finished segment at ([0-9A-F]+/[0-9A-F]+) \(timeline (\d+)\)")
_SWITCHED = re.compile(r"switched to timeline (\d+) at ")


@dataclass(frozen=True, slots=True)
class PgReceivewal:
    conninfo: Conninfo
    application_name: str
    slot_name: str | None
    directory: Path
    path_prefix: Sequence[Path] = ()

    def version(self) -> int:
        """Its major version. Raises ToolFailed when it is missing."""
        return version_of(find_program("pg_receivewal", self.path_prefix))

    def receive(
        self,
        *,
        stop: Stop,
        on_start: Callable[[], None],
        on_finished: Callable[[int, int], None] = lambda _timeline, _lsn: None,
        on_timeline: Callable[[int], None] = lambda _timeline: None,
        is_synchronous: bool = False,
    ) -> None:
        """Stream until `stop` (Stopped) or until it ends by itself (ToolFailed: it never should).

        `on_start` is called once the stream flows; `on_finished` with timeline and end of each
        segment that it will not touch again; `on_timeline` once it has a timeline's history.
        """

        def take(line: str) -> None:
            if finished := _FINISHED.search(line):
                on_finished(int(finished[2]), parse_lsn(finished[1]))
            elif switched := _SWITCHED.search(line):
                on_timeline(int(switched[1]))
            elif "starting log streaming at" in line:
                on_start()

        connection, environment = without_password(
            self.conninfo, application_name=self.application_name
        )
        program = find_program("pg_receivewal", self.path_prefix)
        finished = run(
            [str(program), *self._arguments(connection, is_synchronous=is_synchronous)],
            stop=stop,
            environment=environment,
            on_line=take,
        )
        # Its last word may be "disconnected"; the line before it tells why.
        said = [line for line in finished.tail if not line.endswith("error: disconnected")]
        words = (said or finished.tail or ["it said nothing"])[-1]
        secrets = self.conninfo.secrets
        raise ToolFailed(
            without_secrets(f"pg_receivewal {finished.words}: {words}", secrets),
            hint=without_secrets("\n".join(finished.tail), secrets),
        )

    def _arguments(self, connection: str, *, is_synchronous: bool) -> list[str]:
        wanted = [
            f"--dbname={connection}",
            f"--directory={self.directory}",
            "--no-loop",
            "--no-password",
            "--verbose",
        ]
        if self.slot_name is not None:
            wanted.append(f"--slot={self.slot_name}")
        if is_synchronous:
            wanted.append("--synchronous")
        return wanted
