"""The copy of a backup, looked at: by PostgreSQL's own program where that can, and by ours."""

from collections.abc import Callable
from dataclasses import dataclass

from barmand.model.backup import Backup, Cluster, Copied
from barmand.model.errors import Failure, StorageFailed, ToolFailed
from barmand.model.positions import end_of, start_of
from barmand.model.proof import MOST_FLAWS
from barmand.operations.copying import MANIFESTS_SINCE
from barmand.operations.ports import Stop, VerifyTool
from barmand.storage import control_file, promises
from barmand.storage.base_backup import read_label, read_manifest_tail
from barmand.storage.data_tree import system_id_of
from barmand.storage.disk import at_the_disk
from barmand.storage.findings import Findings
from barmand.storage.layout import Layout
from barmand.storage.manifest import NAME as MANIFEST
from barmand.storage.own_words import OwnWords
from barmand.storage.packed import BASE, archive_in
from barmand.storage.packed_proof import PackedProof
from barmand.storage.plain_proof import PlainCopy, PlainProof
from barmand.storage.promises import nothing_promised, promised
from barmand.storage.reading import Span

_BLOCKS_OF = 100
"""Damaged files that are read again, to tell which of their blocks it is."""
_HEAD_BYTES = 4096
_BY_PROGRAM = "postgres"


def plain_copy(layout: Layout, backup: Backup) -> PlainCopy:
    spaces = backup.cluster.tablespaces if backup.cluster else ()
    folders = {each.oid: layout.tablespace(backup.id, each.oid) for each in spaces}
    return PlainCopy(layout.data(backup.id), folders)


def checked_span(backup: Backup) -> Span | None:
    """Its beginning and end, if its cluster had data checksums: what is older must be right."""
    cluster, copied = backup.cluster, backup.copied
    if cluster is None or copied is None or cluster.data_checksums != "on":
        return None
    return Span(copied.begin_lsn, copied.end_lsn)


def known_bad(backup: Backup) -> dict[str, frozenset[int]]:
    damages = backup.copied.damages if backup.copied else ()
    return {each.path: frozenset(each.blocks) for each in damages}


def was_made_with_manifest(backup: Backup) -> bool:
    """pg_basebackup makes one, and nothing lets it go without."""
    cluster = backup.cluster
    return (
        backup.method == _BY_PROGRAM and cluster is not None and cluster.version >= MANIFESTS_SINCE
    )


@dataclass(frozen=True, slots=True)
class VerifyCopy:
    layout: Layout
    program: VerifyTool
    backup: Backup
    found: Findings
    stop: Stop
    progress: Callable[[int], None]

    def run(self) -> None:
        """Raises Stopped, ToolFailed where the program came to no end."""
        data = self.layout.data(self.backup.id)
        if not data.is_dir():
            self.found.add(data, "is missing")
            return
        has_manifest = self._has_whole_manifest()
        self._note_limits(has_manifest=has_manifest)
        if self.backup.compression is None:
            self._look_at_plain(has_manifest=has_manifest)
        else:
            self._look_at_packed(has_manifest=has_manifest)
        self._compare_positions(has_manifest=has_manifest)

    # ------------------------------------------------------------------------------- plain files
    def _look_at_plain(self, *, has_manifest: bool) -> None:
        copy = plain_copy(self.layout, self.backup)
        proof = PlainProof(
            copy,
            self.found,
            checked_span(self.backup),
            known_bad(self.backup),
            self.stop,
            self.progress,
            self._words,
        )
        for lacking in self._words.lacking(copy.data, has_manifest=has_manifest):
            self.found.add(lacking, "is missing")
        self._look_at_control()
        self._compare_size(copy, has_manifest=has_manifest)
        if not has_manifest:
            proof.by_pages()
            return
        by_program = self._fits()
        if by_program:
            self._ask_program(proof)
        with promised(copy.data) as wanted:
            proof.by_manifest(wanted, rest_only=by_program)

    def _fits(self) -> bool:
        """Is PostgreSQL's program there, and at least as new as the backup?"""
        major = self._cluster.version // 10_000
        try:
            version = self.program.version()
        except ToolFailed as error:
            self.found.note(f"{error.message}: barmand read the files by the manifest itself")
            return False
        if version < major:
            self.found.note(
                f"pg_verifybackup is of version {version}, the backup of {major}: barmand read the "
                "files by the manifest itself"
            )
        return version >= major

    def _ask_program(self, proof: PlainProof) -> None:
        """Tablespaces lie elsewhere here than in a cluster: those are ours to look at."""
        told: list[tuple[str, str]] = []
        data, size, read = proof.copy.data, proof.copy.size(spaces=False), 0

        def on_flaw(path: str, what: str) -> None:
            if len(told) < MOST_FLAWS:
                told.append((path, what))
            else:
                self.found.add(data / path, what)

        def on_bytes(count: int) -> None:
            """It reads more than the backup: its own libraries, say."""
            nonlocal read
            count = min(count, size - read)
            read += count
            self.progress(count)

        self.program.verify(
            data,
            ignored=["pg_tblspc"] if proof.copy.spaces else [],
            stop=self.stop,
            on_flaw=on_flaw,
            on_bytes=on_bytes,
        )
        on_bytes(size)
        for number, (path, what) in enumerate(told):
            is_sum = "checksum" in what and number < _BLOCKS_OF
            self.found.add(data / (path or MANIFEST), what, proof.blocks(path) if is_sum else ())

    def _look_at_control(self) -> None:
        data = self.layout.data(self.backup.id)
        place = data / "global/pg_control"
        if not place.is_file():  # which was told
            return
        with at_the_disk("read", place):
            content = place.read_bytes()
        if not control_file.is_whole(content):
            self.found.add(place, "does not have its own checksum")
        elif self._cluster.system_id not in ("", system_id_of(data)):
            self.found.add(place, f"is of another cluster than {self._cluster.system_id}")

    def _compare_size(self, copy: PlainCopy, *, has_manifest: bool) -> None:
        """A manifest that was made later is not in what was counted then."""
        size, manifest = copy.size(), copy.data / MANIFEST
        later = manifest.lstat().st_size if manifest.exists() else 0
        known = self._copied.size
        if known not in (size, size - later):
            words = f"its files have {size} bytes together, the catalogue says {known}"
            if not has_manifest and size < known and not was_made_with_manifest(self.backup):
                words += "; backup_manifest is missing, if it was made with one"
            self.found.add(self.layout.backup(self.backup.id), words)

    # ---------------------------------------------------------------------------------- archives
    def _look_at_packed(self, *, has_manifest: bool) -> None:
        data = self.layout.data(self.backup.id)
        with promised(data) if has_manifest else nothing_promised(data) as wanted:
            proof = PackedProof(
                wanted,
                has_manifest,
                self.found,
                checked_span(self.backup),
                known_bad(self.backup),
                self.stop,
                self.progress,
                self._words,
            )
            for space in self._cluster.tablespaces:
                self._look_at_archive(proof, str(space.oid), f"pg_tblspc/{space.oid}/")
            self._look_at_archive(proof, BASE, "")
            proof.end()
        size = sum(path.lstat().st_size for path in data.iterdir() if path.is_file())
        if size != self._copied.size:
            words = f"its files have {size} bytes together, the catalogue says {self._copied.size}"
            self.found.add(data, words)

    def _look_at_archive(self, proof: PackedProof, name: str, prefix: str) -> None:
        data = self.layout.data(self.backup.id)
        try:
            archive = archive_in(data, name)
        except StorageFailed:
            proof.is_read_to_the_end = False
            self.found.add(data / f"{name}.tar", "is missing, packed or not")
            return
        proof.look_at(archive, prefix)

    # -------------------------------------------------------------------- what it says of itself
    def _has_whole_manifest(self) -> bool:
        manifest = self.layout.data(self.backup.id) / MANIFEST
        if not manifest.exists():
            if was_made_with_manifest(self.backup):
                self.found.add(manifest, "is missing")
            return False
        if self.backup.compression is not None:  # else it is read with the other files
            self.progress(manifest.lstat().st_size)
        if promises.is_whole(manifest):
            return True
        self.found.add(manifest, "does not have the checksum that it names")
        return False

    def _note_limits(self, *, has_manifest: bool) -> None:
        checked = self._cluster.data_checksums == "on"
        if not has_manifest:
            self.found.note(
                "without a manifest: files are judged by sizes, pages by their checksums"
                if checked
                else "without a manifest, of a cluster without data checksums: only sizes and what "
                "files say of themselves can be judged"
            )
        elif not self._is_summed():
            self.found.note("its manifest has no checksums: only names and sizes are judged")
        bad = sum(len(each.blocks) for each in self._copied.damages)
        if bad:
            self.found.note(f"{bad} page(s) were bad in the cluster itself, and are so in the copy")

    def _is_summed(self) -> bool:
        manifest = self.layout.data(self.backup.id) / MANIFEST
        with at_the_disk("read", manifest), manifest.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        return b'Path"' not in head or b"Checksum-Algorithm" in head

    def _compare_positions(self, *, has_manifest: bool) -> None:
        """Where it begins and ends, told by the backup itself and by the catalogue."""
        data, copied = self.layout.data(self.backup.id), self._copied
        place = data / "backup_label"
        try:
            if self.backup.compression is None:
                label = read_label(data)
            else:
                label, place = archive_in(data, BASE).read_label(), data / BASE
            start = start_of(label)
            end = end_of(read_manifest_tail(data)) if has_manifest else None
        except (Failure, ValueError) as error:
            self.found.add(place, error.message if isinstance(error, Failure) else str(error))
            return
        if (start.timeline, start.lsn) != (copied.timeline, copied.begin_lsn):
            self.found.add(place, "says another beginning than the catalogue")
        elif copied.backup_label.strip() not in ("", label.strip()):
            self.found.add(place, "is not the label that the catalogue has")
        if end is not None and (end.timeline != copied.timeline or end.lsn > copied.end_lsn):
            self.found.add(data / MANIFEST, "says another end than the catalogue")

    @property
    def _words(self) -> OwnWords:
        return OwnWords.of(self._cluster)

    @property
    def _cluster(self) -> Cluster:
        if self.backup.cluster is None:
            raise ValueError("a backup that is restorable knows its cluster")
        return self.backup.cluster

    @property
    def _copied(self) -> Copied:
        if self.backup.copied is None:
            raise ValueError("a backup that is restorable knows its copy")
        return self.backup.copied
