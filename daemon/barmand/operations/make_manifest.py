"""Give a plain backup the manifest that it lacks: it sums what lies there now.

It proves that nothing changed from now on, not that nothing changed before. What can be told of
before is looked at on the way: pages, pg_control, the bytes that the catalogue counts. A backup
that is found damaged gets none, for its damage would pass for sound ever after.
"""

import threading
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from barmand.catalog.backups import Backups
from barmand.catalog.holds import Holds
from barmand.model.backup import RESTORABLE, Backup
from barmand.model.errors import Refused, Stopped, StorageFailed
from barmand.model.order import Checksums
from barmand.model.pgdata import RelationFile
from barmand.model.progress import Phase
from barmand.operations.ports import Clock, Report, Seconds, Stop
from barmand.operations.verify_copy import checked_span, known_bad, plain_copy
from barmand.storage.disk import Stop as DiskStop
from barmand.storage.disk import at_the_disk
from barmand.storage.layout import Layout
from barmand.storage.manifest import NAME, Algorithm, Manifest, WalRange, digest, writing
from barmand.storage.own_words import OwnWords
from barmand.storage.plain_proof import PlainCopy
from barmand.storage.reading import Pages, each_read, read_file

log = structlog.get_logger()

_WAL = "pg_wal/"


@dataclass(frozen=True, slots=True)
class Made:
    path: Path
    files: int
    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class MakeManifest:
    layout: Layout
    backups: Backups
    holds: Holds
    now: Clock
    monotonic: Seconds

    def refuse_unless_possible(self, backup: Backup) -> None:
        name = f"backup {backup.id} of {backup.server}"
        if backup.status not in RESTORABLE or backup.copied is None or backup.cluster is None:
            raise Refused(f"{name} is {backup.status}: there is nothing to make a manifest of")
        if backup.compression or backup.encryption:
            raise Refused(
                f"{name} is packed or encrypted: a manifest names the files of a cluster, and "
                "these lie in archives",
                hint="pg_basebackup made one while it packed, if the server was PostgreSQL 13 or "
                "later.",
            )
        if backup.parent_id or backup.snapshots:
            raise Refused(f"{name} is incremental, or a snapshot: its files are not all here")
        data = self.layout.data(backup.id)
        with at_the_disk("look at", data):
            has_manifest, is_there = (data / NAME).exists(), data.is_dir()
        if has_manifest:
            raise Refused(
                f"{name} has a manifest",
                hint=f"`barmanctl verify-backup {backup.server} {backup.id}` looks whether the "
                "files are as it says.",
            )
        if not is_there:
            raise StorageFailed(f"{data} is missing")

    def run(self, backup: Backup, checksums: Checksums, *, stop: Stop, report: Report) -> Made:
        """Raises Refused, Stopped, StorageFailed; then there is no manifest."""
        backup = self.backups.get(backup.server, backup.id)
        self.refuse_unless_possible(backup)
        cluster, copied = backup.cluster, backup.copied
        if cluster is None or copied is None:
            raise ValueError("a backup that is restorable knows its cluster")
        begun = self.monotonic()
        with self.holds.held(backup, holder="generate-manifest", now=self.now()):
            copy = plain_copy(self.layout, backup)
            words = OwnWords.of(cluster)
            _demand_all(copy, words)
            _demand_size(copy, copied.size)
            with writing(copy.data, Algorithm[checksums.name]) as manifest:
                manifest.begin(cluster.version, cluster.system_id)
                summing = _Summing(backup, words, manifest, report, copied.size)
                try:
                    each_read(lambda item, end: summing.add(*item, end), copy.files(), stop)
                except Stopped as error:
                    raise Stopped(stop.reason) from error
                summing.demand_sound()
                manifest.end(
                    [
                        WalRange(
                            timeline=copied.timeline,
                            start_lsn=copied.begin_lsn,
                            end_lsn=copied.end_lsn,
                        )
                    ]
                )
        made = Made(copy.data / NAME, summing.files, summing.done, self.monotonic() - begun)
        log.info("manifest made", files=made.files, bytes=made.size, seconds=round(made.seconds, 1))
        return made


@dataclass(slots=True)
class _Summing:
    """Several readers add to it."""

    backup: Backup
    words: OwnWords
    manifest: Manifest
    report: Report
    total: int
    files: int = 0
    done: int = 0
    bad: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, path: str, place: Path, stop: DiskStop) -> None:
        if path == NAME or path.startswith(_WAL):
            return
        with at_the_disk("read", place):
            changed_ns = place.lstat().st_mtime_ns
        read = read_file(
            place,
            stop,
            self._progress,
            digest=digest(self.manifest.algorithm),
            pages=self._pages(path),
        )
        known = known_bad(self.backup).get(path, frozenset())
        bad = [str(block) for block in read.bad_blocks if block not in known]
        if bad:
            self._tell(f"{place} (block {', '.join(bad[:10])})")
        if self.words.can_judge(path):
            with at_the_disk("read", place):
                complaint = self.words.complaint(path, place.read_bytes())
            if complaint is not None:
                self._tell(f"{place} {complaint}")
        self.manifest.add(path, read.size, changed_ns, read.checksum)
        with self._lock:
            self.files += 1

    def demand_sound(self) -> None:
        if self.bad:
            raise StorageFailed(
                f"the backup is damaged, and gets no manifest: {self.bad[0]}"
                + (f" and {len(self.bad) - 1} file(s) more" if len(self.bad) > 1 else ""),
                hint=f"`barmanctl verify-backup {self.backup.server} {self.backup.id}` names all.",
            )

    def _pages(self, path: str) -> Pages | None:
        relation, during = RelationFile.of(path), checked_span(self.backup)
        return None if relation is None or during is None else Pages(relation, during)

    def _progress(self, count: int) -> None:
        with self._lock:
            self.done += count
            self.report(Phase.SUMMING, min(self.done, self.total), self.total)

    def _tell(self, words: str) -> None:
        with self._lock:
            self.bad.append(words)


def _demand_all(copy: PlainCopy, words: OwnWords) -> None:
    for lacking in words.lacking(copy.data, has_manifest=False):
        raise StorageFailed(f"the backup is damaged, and gets no manifest: {lacking} is missing")


def _demand_size(copy: PlainCopy, known: int) -> None:
    size = copy.size()
    if size != known:
        raise StorageFailed(
            f"the backup is damaged, and gets no manifest: the files below {copy.data.parent} have "
            f"{size} bytes together, the catalogue says {known}"
        )
