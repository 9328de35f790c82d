"""pg_waldump: are the records of some WAL what PostgreSQL wrote? Each has a CRC32C of its own.

Source: PostgreSQL documentation, pg_waldump. It finds segments by their names in one folder.
"""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from barmand.model.errors import ToolFailed
from barmand.model.proof import WalFlaw
from barmand.model.wal import format_lsn, parse_lsn
from barmand.outside.pg_version import version_of
from barmand.outside.process import Stop, find_program, run
from barmand.storage.disk import at_the_disk

NAME = "pg_waldump"
_ERROR = re.compile(r"pg_waldump: (?:error|fatal): (.*)")
_SEGMENT = re.compile(r"segment ([0-9A-F]{24})\b")
_PLACE = re.compile(r"\b(?:at|after) ([0-9A-F]{1,8}/[0-9A-F]{1,8})\b")


@dataclass(frozen=True, slots=True)
class PgWaldump:
    path_prefix: Sequence[Path] = ()

    def version(self) -> int:
        """Its major version. Raises ToolFailed when it is missing."""
        return version_of(find_program(NAME, self.path_prefix))

    def read(
        self, segments: Sequence[Path], *, timeline: int, begin: int, end: int, stop: Stop
    ) -> WalFlaw | None:
        """Every record from `begin` to `end` (LSN), which lie in `segments`; None: all are whole.

        Nothing is written but links to them. Raises ToolFailed where it came to no end, Stopped.
        """
        with at_the_disk("make a folder", Path(tempfile.gettempdir())), _links(segments) as folder:
            finished = run(
                [
                    str(find_program(NAME, self.path_prefix)),
                    "--quiet",
                    f"--path={folder}",
                    f"--timeline={timeline}",
                    f"--start={format_lsn(begin)}",
                    f"--end={format_lsn(end)}",
                ],
                stop=stop,
            )
        if finished.exit_code == 0:
            return None
        said = next((found[1] for each in finished.tail if (found := _ERROR.match(each))), None)
        if finished.exit_code != 1 or said is None:
            raise ToolFailed(
                f"pg_waldump {finished.words}: {said or 'it gave no reason'}",
                hint=finished.way_out or "\n".join(finished.tail) or None,
            )
        return meaning(said)


def meaning(words: str) -> WalFlaw:
    """What an error tells: a segment by its name, or a record's place, which is named last."""
    segment, places = _SEGMENT.search(words), _PLACE.findall(words)
    return WalFlaw(
        words, parse_lsn(places[-1]) if places else None, segment[1] if segment else None
    )


@contextmanager
def _links(segments: Sequence[Path]) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="barmand-wal-") as folder:
        for path in segments:
            Path(folder, path.name).symlink_to(path.absolute())
        yield folder
