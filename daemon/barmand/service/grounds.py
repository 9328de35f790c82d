"""The servers' directories, locked for as long as this daemon works in them.

Two daemons with one barman_home would take each other's backups for interrupted ones, and delete
what the other is at.
"""

import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import structlog

from barmand.model.errors import Refused, StorageFailed
from barmand.service.house import House, Kit
from barmand.storage.lock import DirectoryLock

log = structlog.get_logger()


class Grounds:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[Path, DirectoryLock] = {}
        self._refused: dict[str, str] = {}
        """By server: who works there."""

    def claim(self, kit: Kit) -> None:
        """Where there is no directory yet, or none that can be locked, nobody is kept out."""
        home = kit.layout.home
        with self._lock:
            if home in self._held:
                return
        lock = why_not = None
        try:
            lock = DirectoryLock(home)
        except Refused as refused:
            why_not = f"{refused.message}. {refused.hint}"
        except StorageFailed as failure:
            log.debug("directory is not locked", server=kit.name, why=failure.message)
        with self._lock:
            self._refused.pop(kit.name, None)
            if lock is not None:
                self._held[home] = lock
            if why_not is not None:
                self._refused[kit.name] = why_not
                log.error("server is put aside", server=kit.name, why=why_not)

    def without_refused(self, house: House) -> House:
        """Servers in whose directories another daemon works are put aside, with the reason."""
        with self._lock:
            refused = {name: why for name, why in self._refused.items() if name in house.kits}
        if not refused:
            return house
        kits = {name: kit for name, kit in house.kits.items() if name not in refused}
        broken = {name: [why] for name, why in refused.items()}
        return replace(house, kits=kits, broken={**house.broken, **broken})

    def keep(self, kits: Iterable[Kit]) -> None:
        """Let go of all other directories: who had them is served no more."""
        homes = {kit.layout.home for kit in kits}
        with self._lock:
            for home in self._held.keys() - homes:
                self._held.pop(home).release()
