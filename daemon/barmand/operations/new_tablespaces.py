"""A tablespace that was made after the cluster was asked for its own, and before the copy began.

WAL does not tell of it: its record lies before the backup's start.
"""

from collections.abc import Iterable

from barmand.model.backup import Backup
from barmand.model.errors import PostgresFailed


def demand_known(backup: Backup, oids: Iterable[int]) -> None:
    """`oids`: what PostgreSQL says that the backup has. Raises PostgresFailed."""
    known = {space.oid for space in backup.cluster.tablespaces} if backup.cluster else set()
    new = sorted(set(oids) - known)
    if new:
        raise PostgresFailed(
            f"{backup.server} got a new tablespace (oid {new[0]}) while its backup began, which "
            "is not in the copy as it should be",
            hint="Take the backup again.",
        )
