"""The life of the daemon: start, reload, stop."""

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial

import structlog

from barmand import __version__
from barmand.catalog.memory import open_catalog
from barmand.model.backup import ACTIVE, SHUT_DOWN, Backup
from barmand.operations.ports import Stop
from barmand.operations.state_health import StateHealth
from barmand.outside.clock import local_now
from barmand.service import journal, lost_backups, memory, systemd, timed_backups
from barmand.service.alone import alone
from barmand.service.checking import Checking
from barmand.service.chore_table import SERVER_CHORES
from barmand.service.chores import Chores
from barmand.service.control import Control
from barmand.service.desk import Desk
from barmand.service.ground_work import prepare_ground, rebuild
from barmand.service.grounds import Grounds
from barmand.service.holding import Holding
from barmand.service.house import House, Kit
from barmand.service.job import Key
from barmand.service.looking import Looking
from barmand.service.patrol import Patrol
from barmand.service.receivers import Receivers
from barmand.service.reloaded import tell_changes, tell_problems
from barmand.service.runner import Runner
from barmand.service.schedule import Schedule, Wanted
from barmand.service.schedule_desk import ScheduleDesk
from barmand.service.signals import Signals
from barmand.service.status_line import status_line
from barmand.service.wal_desk import WalDesk
from barmand.service.watcher import Watcher
from barmand.settings.ini import read
from barmand.settings.schema import Settings
from barmand.storage.lock import StateLock
from barmand.storage.real_paths import real_paths
from barmand.wiring import Builder, demand_grammar, judged_by_doors, limits_of, rights_of
from barmand.works import Bells

log = structlog.get_logger()

STATE_FILE = "barmand.db"
GROUND_SECONDS = 5.0


class Daemon:
    """Everything that lives as long as the process."""

    def __init__(self, settings: Settings) -> None:
        """Raises Failure when the daemon cannot start. Nothing runs yet."""
        daemon = settings.daemon
        self._settings = settings
        self._read = settings
        self._reloading = threading.Lock()
        self._lock = StateLock(daemon.state_directory)
        self._grounds = Grounds()
        self._catalog = open_catalog(daemon.state_directory / STATE_FILE)
        self._runner = Runner(limits_of(daemon))
        self._receivers = Receivers(
            self._catalog.bell.ring, is_held=Holding(self._catalog.events, local_now).is_held
        )
        self._checking = Checking(
            self._catalog.events,
            StateHealth(directory=daemon.state_directory, catalog=self._catalog),
            self._runner.stopping,
        )
        self._chores = Chores(
            self._runner,
            self._catalog.chore_runs,
            kits=lambda: self._desk.house.served,
            poll=timedelta(seconds=daemon.wal_poll_interval),
            for_all={"watch": self._watch_again, "lost-backups": self._fail_lost},
            table=(*SERVER_CHORES, *self._checking.chores(daemon.check_interval)),
        )
        ring_archive = partial(self._chores.ring, "archive")
        self._watcher = Watcher(ring_archive)
        self._schedule = Schedule(
            self._catalog.schedule_runs,
            start_backup=lambda *due: timed_backups.start(self._desk, *due),
            tell=partial(timed_backups.tell, self._catalog.events),
        )
        bells = Bells(
            ring_archive,
            self._ring_retention,
            self._find_kit,
            self._delete_alone,
            self._works_on_deletion,
            self._receivers,
            partial(self._chores.ring, "done-hooks"),
            self._runner.stopping,
        )
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
                self._checking.last,
            ),
            checking=self._checking,
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
            self._desk.house = self._claimed(self._desk.house)
            tell_problems(self._desk.house)
            self._settle(self._desk.house.kits.values())
            self._control.start()
            # Control ends after the work: who waits for an answer hears how it ended.
            life.callback(self._control.stop)
            # Chores watch directories: it closes after them.
            self._watcher.start()
            life.callback(self._watcher.stop)
            life.callback(self._receivers.stop, SHUT_DOWN)
            life.callback(self._runner.stop, SHUT_DOWN)
            self._schedule.start()
            life.callback(self._schedule.stop)
            self._serve(self._desk.house)
            self._chores.start()
            life.callback(self._chores.stop)
            memory.set_apart_what_stays()
            systemd.ready()
            log.info("barmand is ready", servers=len(self._desk.house.kits))
            Patrol(
                parts=self._parts,
                reload=self._reload_house,
                when_clock_was_set=self._schedule.look_again,
                status=self._status,
            ).go(signals)
            systemd.stopping()
            log.info("barmand stops")
        log.info("barmand has stopped")
        return not any(
            each.has_left_work_behind for each in (self._runner, self._receivers, self._control)
        )

    # ------------------------------------------------------------------------------------ start
    def _settle(self, kits: Iterable[Kit]) -> None:
        """What an earlier life left behind, as far as it is quick; the rest is a chore."""
        self._catalog.holds.release_all()
        self._catalog.hook_runs.interrupt_all()
        interrupted = self._catalog.backups.in_status(*ACTIVE)
        self._see_to_ground(kits, partial(self._settle_one, interrupted=interrupted))

    def _settle_one(self, kit: Kit, interrupted: Sequence[Backup]) -> None:
        """`interrupted` was asked for before anybody could ask for a new backup."""
        rebuild(kit)
        for backup in interrupted:
            if backup.server == kit.name:
                kit.restart.fail_if_active(backup)

    def _claimed(self, house: House) -> House:
        self._see_to_ground(house.kits.values(), self._grounds.claim)
        return self._grounds.without_refused(house)

    def _see_to_ground(self, kits: Iterable[Kit], deed: Callable[[Kit], None]) -> None:
        """Each server's disk, side by side: one that does not answer is not waited for long."""
        for kit in kits:
            self._runner.ring(f"ground {kit.name}", partial(deed, kit))
        for name in self._runner.wait_for_chores("ground", GROUND_SECONDS):
            log.error("server's disk does not answer, and is not waited for", server=name)

    def _serve(self, house: House) -> None:
        """Directories, watches, receivers, schedules and unfinished deletions of this house."""
        prepare = partial(prepare_ground, self._catalog.servers, self._grounds)
        self._see_to_ground(house.served.values(), prepare)
        self._grounds.keep([*house.kits.values(), *house.leaving.values()])
        self._wire(house)
        for name in house.served:
            self._runner.ring(f"settle {name}", self._of_kit(name, self._settle_rest))

    def _wire(self, house: House) -> None:
        served = house.served
        self._chores.serve(served)
        self._schedule.serve(
            {
                name: Wanted(kit.schedule, kit.schedule_grace)
                for name, kit in house.kits.items()
                if kit.is_active
            },
            put_aside=house.broken,
        )
        # The watcher and the receivers may wait for a server that hangs.
        self._watcher.serve({name: kit.watched for name, kit in served.items()})
        self._receivers.serve(
            {name: kit.source for name, kit in served.items() if kit.source is not None}
        )

    # ------------------------------------------------------------------------------------- work
    def _settle_rest(self, kit: Kit) -> None:
        """Watches, deletions under way, the archive (one pass at a time), hooks owed."""
        self._watcher.renew(kit.name)
        self._chores.ring("done-hooks", kit.name)
        kit.restart.go_on(kit.name, stop=self._runner.stopping)
        self._chores.ring("archive", kit.name)
        self._ring_retention(kit.name)

    def _ring_retention(self, server: str) -> None:
        """What stays and what goes may be another now: backups, and WAL."""
        self._chores.ring("retention", server)
        self._chores.ring("prune", server)

    def _status(self) -> str:
        servers = len(self._desk.house.kits)
        return status_line(self._runner.all_progress(), servers, self._runner.queued())

    def _delete_alone(self, backup: Backup, delete: Callable[[Stop], int]) -> int:
        return alone(self._runner, Key("delete", backup.server, backup.id), delete)

    def _works_on_deletion(self, backup: Backup) -> bool:
        return self._runner.has(Key("delete", backup.server, backup.id))

    def _find_kit(self, server: str) -> Kit | None:
        return self._desk.house.kits.get(server)

    def _watch_again(self) -> None:
        for name in self._desk.house.served:
            self._runner.ring(f"watch {name}", partial(self._watcher.renew, name))

    def _fail_lost(self) -> None:
        for backup in lost_backups.lost(self._desk):
            fail = partial(lost_backups.fail, self._desk, backup)
            self._runner.ring(f"lost {backup.server}", fail)
        self._let_go()

    def _let_go(self) -> None:
        """Servers that the settings have no more, once their last backup has ended."""
        with self._reloading:
            house = self._desk.house
            leaving = {n: kit for n, kit in house.leaving.items() if self._builder.unfinished(n)}
            for name in house.leaving.keys() - leaving.keys():
                log.info("server has left: its backups have ended", server=name)
            if len(leaving) < len(house.leaving):
                self._desk.house = replace(house, leaving=leaving)
                self._wire(self._desk.house)

    def _of_kit(self, server: str, deed: Callable[[Kit], None]) -> Callable[[], None]:
        """A chore with the kit that the settings give it when it begins, if they still do."""

        def chore() -> None:
            kit = self._desk.house.served.get(server)
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
            settings = judged_by_doors(read(self._settings.path, real_paths))
            demand_grammar(settings)
            began_with = self._settings.daemon
            house = self._claimed(
                self._builder.next_house(self._desk.house, self._read, settings, began_with)
            )
            known = self._desk.house.kits
            self._see_to_ground((house.kits[n] for n in house.kits.keys() - known), rebuild)
            self._desk.house, self._read = house, settings
            self._serve(house)
        finally:
            systemd.ready()
        self._runner.limit(limits_of(settings.daemon))
        journal.configure(settings.daemon.log_level.value)
        memory.set_apart_what_stays()
        tell_changes(house)
        tell_problems(house)
        return house
