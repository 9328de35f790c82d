"""What a base backup that lies on our disk says of itself."""

from pathlib import Path

from barmand.model.errors import StorageFailed

MANIFEST_TAIL_BYTES = 1 << 20


def read_label(data: Path) -> str:
    return _tail(data / "backup_label")


def read_manifest_tail(data: Path) -> str:
    """The end of backup_manifest, where the WAL ranges stand; empty where there is no manifest.

    Only the end: the manifest of a million files has hundreds of megabytes.
    """
    manifest = data / "backup_manifest"
    return _tail(manifest) if manifest.exists() else ""


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - MANIFEST_TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError as error:
        raise StorageFailed(f"cannot read {path}: {error.strerror}") from error
