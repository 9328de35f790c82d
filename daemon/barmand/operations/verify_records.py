"""WAL that came without a sum, adopted from Barman say: each of its records has one of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from barmand.model.backup import Backup, Cluster, Copied
from barmand.model.errors import ToolFailed
from barmand.model.wal import Run, Segment, format_lsn, runs_of
from barmand.operations.ports import Stop, WalReader
from barmand.storage.findings import Findings
from barmand.storage.wals import WalArchive


@dataclass(frozen=True, slots=True)
class VerifyRecords:
    wals: WalArchive
    program: WalReader
    found: Findings
    stop: Stop

    def run(
        self, backup: Backup, plain: Sequence[Segment], unsummed: Sequence[Segment]
    ) -> set[Segment]:
        """Read what the backup needs of `unsummed`, with what lies `plain` around it.

        Which of them are damaged. What could not be judged so is noted. Raises Stopped, ToolFailed.
        """
        cluster, copied = backup.cluster, backup.copied
        if not unsummed or cluster is None or copied is None:
            return set()
        complaint = self._complaint(cluster)
        if complaint is not None:
            self._note(len(unsummed), f": {complaint}")
            return set()
        damaged = set[Segment]()
        for run, _ in runs_of((segment, 0) for segment in plain):
            if any(segment in run for segment in unsummed):
                damaged |= self._read(run, cluster.segment_size, copied)
        return damaged

    def _complaint(self, cluster: Cluster) -> str | None:
        """It reads WAL of its own major version alone."""
        major = cluster.version // 10_000
        try:
            version = self.program.version()
        except ToolFailed as error:
            return error.message
        return None if version == major else f"pg_waldump is of version {version}, not {major}"

    def _read(self, run: Run, size: int, copied: Copied) -> set[Segment]:
        begin = max(run.first * size, copied.begin_lsn)
        end = min((run.last + 1) * size, copied.end_lsn)
        segments = list(run.segments())
        paths = [self._path(segment.name(size)) for segment in segments]
        flaw = self.program.read(paths, timeline=run.timeline, begin=begin, end=end, stop=self.stop)
        if flaw is None:
            return set()
        if flaw.is_no_beginning and begin != copied.begin_lsn:
            self._note(len(segments), "")
            return set()
        lsn = begin if flaw.lsn is None else flaw.lsn
        name = flaw.segment or Segment(run.timeline, lsn // size).name(size)
        self.found.add(
            self._path(name), f"a record of it, at {format_lsn(lsn)}, is damaged: {flaw.what}"
        )
        return {Segment.parse(name, size)}

    def _path(self, name: str) -> Path:
        return self.wals.layout.wal(name)

    def _note(self, count: int, why: str) -> None:
        self.found.note(
            f"{count} WAL segment(s) came without a sum: size and first page judged{why}"
        )
