"""What a restored cluster lacks of its source, and what it has of its damage, in words."""

from dataclasses import dataclass
from pathlib import Path

from barmand.model.backup import Backup
from barmand.model.errors import Refused
from barmand.model.proof import Proof, Verdict
from barmand.operations.by_files import FILE_METHODS

NEEDS_UNKNOWN = (
    "what recovery needs cannot be read from the backup's pg_control: max_connections, "
    "max_worker_processes, max_wal_senders, max_prepared_transactions and "
    "max_locks_per_transaction must not be lower than they were"
)


@dataclass(frozen=True, slots=True)
class Lacks:
    """Configuration files of the source that the backup does not have."""

    config_file: str | None = None
    rights: tuple[str, ...] = ()
    """hba_file and ident_file."""
    included: tuple[tuple[str, Path | None], ...] = ()
    """Each with the folder beside postgresql.conf from which it was included; None: from
    elsewhere."""

    @staticmethod
    def of(backup: Backup, data: Path) -> "Lacks":
        cluster = backup.cluster
        if cluster is None:
            return Lacks()

        def is_lacking(file: str | None) -> bool:
            """The file methods bring it into the data directory, pg_basebackup does not."""
            if file is None or Path(file).is_relative_to(cluster.pgdata):
                return False
            return backup.method not in FILE_METHODS or not (data / Path(file).name).exists()

        rights = (cluster.hba_file, cluster.ident_file)
        return Lacks(
            config_file=cluster.config_file if is_lacking(cluster.config_file) else None,
            rights=tuple(file for file in rights if file is not None and is_lacking(file)),
            included=tuple(
                (file, _folder(file, cluster.config_file))
                for file in cluster.included_files
                if not Path(file).is_relative_to(cluster.pgdata)
            ),
        )

    @property
    def has_settings(self) -> bool:
        return self.config_file is not None or bool(self.included)

    def words(self, destination: Path) -> list[str]:
        words = []
        files = [file for file in (self.config_file, *self.rights) if file is not None]
        if files:
            words.append(_put(files, destination) + (_PLACES if self.config_file else ""))
        folders = sorted({folder for _, folder in self.included if folder is not None})
        for folder in folders:
            files = [file for file, its in self.included if its == folder]
            words.append(_put(files, destination / folder))
        others = [file for file, folder in self.included if folder is None]
        if others:
            words.append(f"{_put(others, destination)}, and let its postgresql.conf include them")
        return words


_PLACES = ", without the lines data_directory, hba_file and ident_file: these name the source"


def bad_pages(backup: Backup) -> list[str]:
    damages = backup.copied.damages if backup.copied else ()
    if not damages:
        return []
    count = sum(len(each.blocks) for each in damages)
    first = damages[0]
    where = f"first block {first.blocks[0]} of {first.path}" if first.blocks else first.path
    words = f"the backup has {count} bad page(s), {where}: the restored cluster will have them too"
    return [f"{words}; an older backup may have them whole"]


def found_damaged(proof: Proof | None) -> list[str]:
    if proof is None or proof.verdict is not Verdict.DAMAGED:
        return []
    first = proof.flaws[0]
    when = f"{proof.at.astimezone():%Y-%m-%d %H:%M %z}"
    words = f"the backup was found damaged on {when}, with {proof.flaw_count} flaw(s)"
    return [f"{words}: {first.file}: {first.what}; if another backup will do, take that"]


def refuse_damaged(backup: Backup, proof: Proof | None) -> None:
    """Raises Refused for a backup whose last verification found it damaged."""
    for words in found_damaged(proof):
        raise Refused(
            f"backup {backup.id} of {backup.server} is not restored: {words}",
            hint="Where it was mended, `barmanctl verify-backup` says so. --accept-damage "
            "restores it as it is.",
        )


def _folder(file: str, config_file: str | None) -> Path | None:
    if config_file is None or not Path(file).is_relative_to(Path(config_file).parent):
        return None
    folder = Path(file).relative_to(Path(config_file).parent).parent
    return folder if folder.parts else None


def _put(files: list[str], folder: Path) -> str:
    return (
        f"not in the backup: {', '.join(files)}; put them into {folder} before you start PostgreSQL"
    )
