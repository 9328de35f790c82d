"""Long lists of files on their way to a caller: by and by, in notes."""

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from barmand.catalog.memory import Catalog
from barmand.model.naming import find
from barmand.operations.list_files import FileTarget
from barmand.service.house import House
from barmand.wire.messages import FilesNote, Reply
from barmand.wire.wal_messages import FilesReply, ListFiles

NOTE_PATHS = 256


def listed(
    request: ListFiles, house: House, catalog: Catalog
) -> Iterator[FilesNote | Reply | None]:
    """Raises Failure. None now and then: a caller who went away ends it."""
    kit = house.kit(request.server)
    backup = find(catalog.backups.of_server(request.server), request.server, request.backup)
    paths = kit.list_files.run(backup, FileTarget(request.target))
    count = 0
    for told in _chunks(paths):
        count += len(told)
        yield FilesNote(server=backup.server, backup_id=backup.id, paths=told)
        yield None
    yield FilesReply(server=backup.server, backup_id=backup.id, target=request.target, count=count)


def _chunks(paths: Iterable[Path]) -> Iterator[list[str]]:
    left = iter(paths)
    while chunk := [_text(path) for path in islice(left, NOTE_PATHS)]:
        yield chunk


def _text(path: Path) -> str:
    """JSON carries no bytes that are not UTF-8: those are written as backslash and number."""
    return os.fsencode(path).decode(errors="backslashreplace")
