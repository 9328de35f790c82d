"""pg_receivewal: its command line, and what its lines mean.

Source: PostgreSQL documentation, pg_receivewal. It writes a segment as `.partial` and gives it its
name, synced, when it is whole.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from barmand.model.errors import ToolFailed
from barmand.model.secret import Conninfo
from barmand.outside.postgres import without_password
from barmand.outside.process import Stop, find_program, run, version_of


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

    def receive(self, *, stop: Stop, on_start: Callable[[], None]) -> None:
        """Stream until `stop` (Stopped) or until it ends by itself (ToolFailed: it never should).

        `on_start` is called once the stream flows.
        """

        def take(line: str) -> None:
            if "starting log streaming at" in line:
                on_start()

        connection, environment = without_password(
            self.conninfo, application_name=self.application_name
        )
        program = find_program("pg_receivewal", self.path_prefix)
        finished = run(
            [str(program), *self._arguments(connection)],
            stop=stop,
            environment=environment,
            on_line=take,
        )
        # Its last word may be "disconnected"; the line before it tells why.
        said = [line for line in finished.tail if not line.endswith("error: disconnected")]
        words = (said or finished.tail or ["it said nothing"])[-1]
        raise ToolFailed(
            f"pg_receivewal {finished.words}: {words}",
            hint="\n".join(finished.tail),
        )

    def _arguments(self, connection: str) -> list[str]:
        wanted = [
            f"--dbname={connection}",
            f"--directory={self.directory}",
            "--no-loop",
            "--no-password",
            "--verbose",
        ]
        if self.slot_name is not None:
            wanted.append(f"--slot={self.slot_name}")
        return wanted
