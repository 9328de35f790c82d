"""What a restore will do, as it was judged before anything is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from barmand.model.backup import Backup, Tablespace
from barmand.model.lineage import Lineage
from barmand.model.recovery import Target
from barmand.model.wal import Run
from barmand.storage.restored import Destination


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`places` has the folder of each tablespace."""

    backup: Backup
    destination: Destination
    places: Mapping[Tablespace, Destination]
    target: Target
    segments: Sequence[Run]
    segment_size: int
    version: int
    line: Lineage
    """The timelines that recovery follows."""
    hole: Run | None = None
    """Where recovery ends early, as an operator has accepted."""
