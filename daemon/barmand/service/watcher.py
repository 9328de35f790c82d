"""Rings the moment a WAL file arrives: inotify's only door, in a thread of its own."""

import os
import selectors
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import structlog
from inotify_simple import INotify, flags

log = structlog.get_logger()

_ARRIVED = flags.CLOSE_WRITE | flags.MOVED_TO | flags.ONLYDIR


SETTLE_SECONDS = 0.05


class Watcher:
    """`on_arrival` is told the server. The poll is the safety net for what inotify cannot see."""

    def __init__(self, on_arrival: Callable[[str], None]) -> None:
        self._on_arrival = on_arrival
        self._inotify = INotify()
        self._bell = os.eventfd(0)
        self._lock = threading.Lock()
        self._servers: dict[int, str] = {}
        self._paths: dict[Path, int] = {}
        self._wanted: dict[Path, str] = {}
        self._unseen: set[Path] = set()
        self._thread = threading.Thread(target=self._watch, name="watcher")

    def serve(self, directories: Mapping[str, Sequence[Path]]) -> None:
        """Watch these directories of each server, once `renew` has been called for it; and no
        others.
        """
        with self._lock:
            self._wanted = {path: server for server, paths in directories.items() for path in paths}
            for path in set(self._paths) - set(self._wanted):
                self._drop(path)
            self._unseen &= set(self._wanted)

    def renew(self, server: str) -> None:
        """Watch also what came (back) since, with its file system say; the rest stays watched.

        It takes as long as the server's disk does.
        """
        with self._lock:
            paths = [path for path, whose in self._wanted.items() if whose == server]
        for path in paths:
            self._add(path, server)

    def start(self) -> None:
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        os.eventfd_write(self._bell, 1)
        self._thread.join()
        self._inotify.close()
        os.close(self._bell)

    def _add(self, path: Path, server: str) -> None:
        """The kernel gives a directory that is watched already the number that it has."""
        try:
            # Not under the lock: a file system that does not answer must not deafen the others.
            number = self._inotify.add_watch(path, _ARRIVED)
        except OSError as error:
            with self._lock:
                self._drop(path)
                self._tell_unseen(path, server, str(error.strerror))
            return
        with self._lock:
            self._know(path, server, number)

    def _know(self, path: Path, server: str, number: int) -> None:
        if self._wanted.get(path) != server:  # a reload came in between
            if number not in self._servers:
                self._forget(number)
            return
        if self._paths.get(path) != number:
            self._drop(path)
            self._paths[path] = number
        self._servers[number] = server
        if path in self._unseen:
            self._unseen.remove(path)
            log.info("directory watched again", server=server, path=str(path))

    def _tell_unseen(self, path: Path, server: str, why: str) -> None:
        """Once, not at each attempt."""
        if path not in self._unseen:
            self._unseen.add(path)
            log.warning(
                "directory not watched, only polled", server=server, path=str(path), error=why
            )

    def _drop(self, path: Path) -> None:
        number = self._paths.pop(path, None)
        if number is not None:
            self._servers.pop(number, None)
            self._forget(number)

    def _forget(self, number: int) -> None:
        try:
            self._inotify.rm_watch(number)
        except OSError as error:
            log.debug("watch was gone already", error=error.strerror)

    def _watch(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._inotify.fileno(), selectors.EVENT_READ)
            selector.register(self._bell, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select()}
                if self._bell in ready:
                    return
                # Files that come together ring together.
                selector.unregister(self._inotify.fileno())
                if selector.select(SETTLE_SECONDS):
                    return
                selector.register(self._inotify.fileno(), selectors.EVENT_READ)
                self._ring()

    def _ring(self) -> None:
        """Once for each server, however many files came; an overflow of the queue rings for all."""
        numbers = {event.wd for event in self._inotify.read(timeout=0)}
        with self._lock:
            known = dict(self._servers)
        servers = set(known.values()) if -1 in numbers else set()
        servers |= {known[number] for number in numbers if number in known}
        for server in servers:
            self._on_arrival(server)
