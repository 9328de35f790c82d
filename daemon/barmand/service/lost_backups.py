"""Active backups of whom nobody works: the last write of one met a full disk, say."""

from barmand.model.backup import ACTIVE, INTERRUPTED, Backup
from barmand.outside.clock import local_now
from barmand.service.desk import Desk
from barmand.service.job import key_of


def lost(desk: Desk) -> list[Backup]:
    with desk.queueing:
        return [
            backup
            for backup in desk.catalog.backups.in_status(*ACTIVE)
            if not desk.runner.has(key_of(backup))
        ]


def fail(desk: Desk, backup: Backup) -> None:
    """It must not stay active. It takes as long as the server's disk does."""
    kit = desk.house.find(backup.server)
    if kit is not None:
        kit.restart.fail_if_active(backup)
    else:  # its server is configured no more, and nobody knows its directories
        failed = backup.failed(local_now(), INTERRUPTED)
        desk.catalog.backups.move(backup, failed, now=local_now())
