"""Does the disk that we write to look like ours?"""

import os

from barmand.storage.backup_info import remaking
from barmand.storage.layout import Layout


def complaint(layout: Layout, *, is_known: bool) -> str | None:
    """Why backups of this server cannot be written, or None.

    `is_known`: the catalogue knows the server's cluster, so its identity.json must lie there. A
    missing one means a file system that is not mounted, and a new tree must not grow on the bare
    mount point.
    """
    try:
        return _complaint(layout, is_known=is_known)
    except OSError as error:
        return f"cannot look at {layout.home}: {error.strerror or error}"


def _complaint(layout: Layout, *, is_known: bool) -> str | None:
    if is_known and not layout.identity.is_file():
        return (
            f"{layout.identity} is missing: the backup directory is not the one that barmand knows "
            "(is its file system mounted?); if only this file is lost, "
            f"{remaking(layout)}"
        )
    for folder in (layout.home, layout.base, layout.meta, layout.wals, layout.streaming):
        if not folder.is_dir():
            return f"{folder} does not exist"
        if not os.access(folder, os.W_OK | os.X_OK):
            return f"{folder} cannot be written by this user, or its file system is read-only"
    return None
