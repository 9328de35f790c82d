"""The life of the daemon: start, reload, stop."""

import signal
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial

import structlog

from barmand import __version__
from barmand.catalog.memory import open_catalog
from barmand.model.errors import Failure, StorageFailed
from barmand.outside.clock import WallClock, local_now
from barmand.service import journal, systemd, timed_backups
from barmand.service.chores import Chores
from barmand.service.control import Control
from barmand.service.desk import Desk
from barmand.service.holding import Holding
from barmand.service.house import House, Kit
from barmand.service.looking import Looking
from barmand.service.receivers import Receivers
from barmand.service.runner import Runner
from barmand.service.schedule import Schedule, Wanted
from barmand.service.schedule_desk import ScheduleDesk
from barmand.service.signals import Signals
from barmand.service.status_line import status_line
from barmand.service.wal_desk import WalDesk
from barmand.service.watcher import Watcher
from barmand.settings.ini import read
from barmand.settings.schema import Settings
from barmand.storage.ground import complaint
from barmand.storage.lock import StateLock
from barmand.wiring import Builder, at_next_start, limits_of, rights_of
from barmand.works import Bells

log = structlog.get_logger()

STATE_FILE = "barmand.db"
PATROL_SECONDS = 5.0
_SHUT_DOWN = "barmand was shut down"
_STOPS = {signal.SIGTERM, signal.SIGINT}


class Daemon:
    """Everything that lives as long as the process."""

    def __init__(self, settings: Settings) -> None:
        """Raises Failure when the daemon cannot start. Nothing runs yet."""
        daemon = settings.daemon
        self._settings = settings
        self._told_status = ""
        self._reloading = threading.Lock()
        self._lock = StateLock(daemon.state_directory)
        self._catalog = open_catalog(daemon.state_directory / STATE_FILE)
        self._runner = Runner(limits_of(daemon))
        self._receivers = Receivers(
            self._catalog.bell.ring, is_held=Holding(self._catalog.events, local_now).is_held
        )
        self._chores = Chores(
            self._runner,
            self._catalog.chore_runs,
            kits=lambda: self._desk.house.kits,
            poll=timedelta(seconds=daemon.wal_poll_interval),
            for_all={"watch": self._watch_again, "lost-backups": self._fail_lost},
        )
        ring_archive = partial(self._chores.ring, "archive")
        self._watcher = Watcher(ring_archive)
        self._schedule = Schedule(
            self._catalog.schedule_runs,
            start_backup=lambda *due: timed_backups.start(self._desk, *due),
            tell=partial(timed_backups.tell, self._catalog.events),
        )
        bells = Bells(ring_archive, self._ring_retention, self._find_kit, self._receivers)
        self._builder = Builder(self._catalog, bells)
        self._desk = Desk(
            house=self._builder.house(settings),
            catalog=self._catalog,
            runner=self._runner,
            looking=Looking(
                self._catalog,
                self._runner,
                self._receivers,
                self._schedule.next_ring,
                local_now(),
            ),
            wal=WalDesk(self._catalog, self._runner, self._receivers),
            timed=ScheduleDesk(self._catalog, self._schedule, self._chores),
            reload_house=self._reload_house,
            queueing=threading.Lock(),
        )
        self._control = Control(daemon.control_socket, rights_of(daemon), self._desk.answer)
        self._parts = (self._watcher, self._control, self._schedule, self._chores)

    def live(self) -> bool:
        """Until TERM or INT; False where work that does not end is left behind.

        What was started is stopped in the opposite order, come what may.
        """
        with ExitStack() as life:
            life.callback(self._lock.release)
            life.callback(self._catalog.close)
            signals = Signals()
            log.info("barmand starts", version=__version__, config=str(self._settings.path))
            _tell_problems(self._desk.house)
            self._settle(self._desk.house.kits.values())
            self._control.start()
            # Control ends after the work: who waits for an answer hears how it ended.
            life.callback(self._control.stop)
            life.callback(self._receivers.stop, _SHUT_DOWN)
            life.callback(self._runner.stop, _SHUT_DOWN)
            self._watcher.start()
            life.callback(self._watcher.stop)
            self._schedule.start()
            life.callback(self._schedule.stop)
            self._serve(self._desk.house)
            self._chores.start()
            life.callback(self._chores.stop)
            systemd.ready()
            log.info("barmand is ready", servers=len(self._desk.house.kits))
            self._patrol(signals)
            systemd.stopping()
            log.info("barmand stops")
        log.info("barmand has stopped")
        return not self._runner.has_left_work_behind

    # ------------------------------------------------------------------------------------ start
    def _settle(self, kits: Iterable[Kit]) -> None:
        """What an earlier life left behind, as far as it is quick; the rest is a chore."""
        self._catalog.holds.release_all()
        for kit in kits:
            with structlog.contextvars.bound_contextvars(server=kit.name):
                _rebuild(kit)
                kit.restart.fail_interrupted(kit.name)

    def _serve(self, house: House) -> None:
        """Directories, watches, receivers, schedules and unfinished deletions of this house."""
        working = {name: kit for name, kit in house.kits.items() if kit.is_active}
        for kit in working.values():
            self._prepare_ground(kit)
        self._chores.serve(working)
        self._schedule.serve(
            {name: Wanted(kit.schedule, kit.schedule_grace) for name, kit in working.items()},
            put_aside=house.broken,
        )
        self._watcher.serve({name: kit.watched for name, kit in working.items()})
        self._receivers.serve(
            {name: kit.source for name, kit in working.items() if kit.source is not None}
        )
        for name in working:
            self._runner.ring(f"settle {name}", self._of_kit(name, self._settle_rest))

    def _prepare_ground(self, kit: Kit) -> None:
        """Make a new server's directories; never on what may be a bare mount point."""
        is_known = self._catalog.servers.system_id(kit.name) is not None
        try:
            if not is_known:
                kit.layout.prepare()
            why_not = complaint(kit.layout, is_known=is_known)
        except Failure as failure:
            why_not = failure.message
        if why_not is not None:
            log.warning("server is not ready", server=kit.name, why=why_not)

    # ------------------------------------------------------------------------------------- work
    def _settle_rest(self, kit: Kit) -> None:
        """Deletions under way; then the archive, which has one pass at a time."""
        kit.restart.go_on(kit.name, stop=self._runner.stopping)
        self._chores.ring("archive", kit.name)
        self._ring_retention(kit.name)

    def _ring_retention(self, server: str) -> None:
        """What stays and what goes may be another now: backups, and WAL."""
        self._chores.ring("retention", server)
        self._chores.ring("prune", server)

    def _find_kit(self, server: str) -> Kit | None:
        return self._desk.house.kits.get(server)

    def _watch_again(self) -> None:
        """Folders that are there again, with their file system say."""
        self._watcher.renew()

    def _fail_lost(self) -> None:
        self._desk.fail_lost()

    def _of_kit(self, server: str, deed: Callable[[Kit], None]) -> Callable[[], None]:
        """A chore with the kit that the settings give it when it begins, if they still do."""

        def chore() -> None:
            kit = self._desk.house.kits.get(server)
            if kit is not None:
                deed(kit)

        return chore

    # -------------------------------------------------------------------------- reload and stop
    def _reload_house(self) -> House:
        """Read the INI again. Raises ConfigInvalid, with nothing changed."""
        with self._reloading:
            return self._read_again()

    def _read_again(self) -> House:
        systemd.reloading()
        try:
            settings = read(self._settings.path)
            house = self._builder.house(settings)
            later = at_next_start(self._settings.daemon, settings.daemon)
            house = replace(house, warnings=[*house.warnings, *later])
            new = [kit for name, kit in house.kits.items() if name not in self._desk.house.kits]
            for kit in new:
                _rebuild(kit)
            self._desk.house = house
            self._serve(house)
        finally:
            systemd.ready()
        self._runner.limit(limits_of(settings.daemon))
        journal.configure(settings.daemon.log_level.value)
        log.info("settings read again", servers=len(house.kits), put_aside=sorted(house.broken))
        _tell_problems(house)
        return house

    def _patrol(self, signals: Signals) -> None:
        """The main thread's whole work: signals, and the watchdog while the others live."""
        asked = systemd.watchdog_seconds()
        pause = min(PATROL_SECONDS, asked / 3) if asked else PATROL_SECONDS
        clock = WallClock()
        while True:
            heard = signals.wait(pause)
            if heard & _STOPS:
                return
            if jump := clock.jump():
                log.warning("clock was set", seconds=round(jump))
                self._schedule.look_again()
            if signal.SIGHUP in heard:
                self._reload_on_signal()
            if all(part.is_alive() for part in self._parts):
                systemd.pat_watchdog()
            self._tell_status()

    def _reload_on_signal(self) -> None:
        try:
            self._reload_house()
        except Failure as failure:
            log.error("settings not changed", error=failure.message, hint=failure.hint)  # noqa: TRY400 - the operator's mistake, not ours

    def _tell_status(self) -> None:
        line = status_line(self._runner.all_progress(), len(self._desk.house.kits))
        if line != self._told_status:
            self._told_status = line
            systemd.status(line)


def _rebuild(kit: Kit) -> None:
    """One server's disk must not keep the others waiting; its check says what is wrong with it."""
    try:
        kit.rebuild.run()
        kit.push.forget()
    except StorageFailed as failure:
        log.error("catalogue not read from disk", server=kit.name, error=failure.message)  # noqa: TRY400 - the administrator's disk, not our fault


def _tell_problems(house: House) -> None:
    for warning in house.warnings:
        log.warning("settings", warning=warning)
    for problem in house.problems:
        log.error("settings", problem=problem)
