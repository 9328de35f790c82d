"""The one door through which work starts: jobs (backups, restores, verifications), each with a stop
of its own; and chores (archiving passes, polls) in lanes, so that WAL never queues behind a copy,
nor behind another server.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import structlog

from barmand.model.errors import Refused, Stopped
from barmand.model.progress import Phase, Progress
from barmand.model.queueing import Limits
from barmand.model.turns import Chore
from barmand.outside.clock import local_now, monotonic
from barmand.service import memory
from barmand.service.boundary import bounded, do_chore, tell_job
from barmand.service.job import Job, Key
from barmand.service.lanes import Lanes, UnderWay
from barmand.service.queue import Queue
from barmand.service.stopping import StopFlag

log = structlog.get_logger()

HOOKS_PATIENCE_SECONDS = 5.0
"""So long a backup keeps its place for hooks before it; then another one has it."""
STOP_SECONDS = 20.0
"""What does not end within this time hangs in the kernel, on a dead mount say."""

READINGS = Limits(total=2, per_host=1)
"""Verifications and the like: two servers' at a time, so that a hung disk stops no other's."""


class Runner:
    def __init__(self, limits: Limits) -> None:
        self._lock = threading.Lock()
        self._ended = threading.Condition(self._lock)
        self._jobs: dict[Key, Job] = {}
        self._threads: set[threading.Thread] = set()
        self._queue: Queue[Key, tuple[Job, Callable[[Job], None]]] = Queue(limits)
        self._lanes = Lanes(do_chore)
        self._readings: Queue[Key, tuple[Job, Callable[[Job], None]]] = Queue(READINGS)
        self.stopping = StopFlag()
        self.has_left_work_behind = False

    # ------------------------------------------------------------------------------------- jobs
    def enlist(self, key: Key) -> Job:
        """A job that is queued: it can be withdrawn, and is not lost. Raises Refused."""
        job = Job(key)
        with self._lock:
            if key in self._jobs:
                raise Refused(f"a {key.deed} of {key.backup_id} of {key.server} is under way")
            self._jobs[key] = job
            if self.stopping.is_set():
                job.stop.stop(self.stopping.reason)
        return job

    def queue(self, job: Job, work: Callable[[Job], None], *, host: str, request: str) -> None:
        """Perform a job when its turn has come; see `Queue.put`. After a stop: at once, stopped."""
        with self._lock:
            if not self.stopping.is_set():
                if not job.is_withdrawn:
                    self._queue.put(job.key, host, request, (job, work))
                    self._begin_queued()
                return
        self.perform(job, work)

    def limit(self, limits: Limits) -> None:
        """From now on; what runs is not stopped."""
        with self._lock:
            self._queue.limits = limits
            self._begin_queued()

    def queue_reading(self, job: Job, work: Callable[[Job], None]) -> None:
        """Perform a job that reads a whole backup: a few at a time, in a queue of their own."""
        with self._lock:
            if not self.stopping.is_set():
                if not job.is_withdrawn:
                    host = request = job.key.server
                    self._readings.put(job.key, host, request, (job, work))
                    self._begin_queued()
                return
        self.perform(job, work)

    def perform(self, job: Job, work: Callable[[Job], None]) -> None:
        """Do a job's work in this thread, unless it was withdrawn; a failure of it ends here."""
        with self._lock:
            job.has_begun = not job.is_withdrawn
            job.since = local_now()
        try:
            if job.has_begun:
                with structlog.contextvars.bound_contextvars(
                    server=job.key.server, backup_id=job.key.backup_id, job=job.key.deed
                ):
                    bounded(lambda: work(job), tell_job)
        finally:
            with self._lock:
                self._discharge(job)

    def wait_for_end(self, key: Key, seconds: float) -> None:
        """Until the job has ended, or for so many seconds."""
        with self._lock:
            self._ended.wait_for(lambda: key not in self._jobs, seconds)

    def withdraw(self, key: Key, reason: str) -> bool | None:
        """Stop a job. True: it had not begun, and never will. None: there is no such job."""
        with self._lock:
            job = self._jobs.get(key)
            if job is None:
                return None
            job.stop.stop(reason)
            if job.has_begun:
                return False
            job.is_withdrawn = True
            self._discharge(job)
            return True

    def has(self, key: Key) -> bool:
        with self._lock:
            return key in self._jobs

    def reporter(self, job: Job) -> Callable[[Phase, int | None, int | None], None]:
        """What the work calls to tell how far it is; its elapsed time counts within the phase."""

        def report(phase: Phase, done: int | None, total: int | None) -> None:
            with self._lock:
                if job.progress.phase is not phase:
                    self._heed_hooks(job, phase)
                now = monotonic()
                if job.progress.phase is not phase:
                    job.phase_since = now
                job.progress = Progress(phase, done, total, now - job.phase_since)

        return report

    def _heed_hooks(self, job: Job, phase: Phase) -> None:
        """Hooks may hang: a place is for copying, and others must not wait for them.

        What had to give its place up before it began to copy waits here until it has one again.
        """
        was, patience = job.progress.phase, job.patience
        if patience is not None:
            patience.cancel()
            job.patience = None
        if phase is Phase.AGREEING:
            job.patience = threading.Timer(HOOKS_PATIENCE_SECONDS, self._lend, [job])
            job.patience.daemon = True
            job.patience.start()
        elif phase is Phase.HOOKS:
            self._queue.lend(job.key)
            self._begin_queued()
        elif was is Phase.AGREEING:
            self._queue.want_back(job.key)
            self._begin_queued()
            job.progress = Progress(Phase.QUEUED)
            while not (self._queue.has_place(job.key) or job.stop.is_set()):
                self._ended.wait(1)

    def _lend(self, job: Job) -> None:
        with self._lock:
            if job.patience is not None:  # else its hooks have ended at this very moment
                self._queue.lend(job.key)
                self._begin_queued()

    def progress(self, key: Key) -> Progress | None:
        with self._lock:
            return self._told(self._jobs[key]) if key in self._jobs else None

    def moment(self) -> dict[Key, Progress]:
        """Of all jobs, as of one moment: their places are those of one queue."""
        with self._lock:
            return {key: self._told(job) for key, job in self._jobs.items()}

    def _told(self, job: Job) -> Progress:
        place = None if job.has_begun else self._queue.place(job.key)
        return job.progress if place is None else replace(job.progress, place=place)

    def all_progress(self) -> list[tuple[Key, Progress]]:
        with self._lock:
            return [(job.key, job.progress) for job in self._jobs.values() if job.has_begun]

    def jobs_of(self, server: str) -> list[tuple[Key, Progress, datetime]]:
        """With how far they are, and since when."""
        with self._lock:
            jobs = [job for job in self._jobs.values() if job.key.server == server]
            return [(job.key, self._told(job), job.since) for job in jobs]

    def wait_for_chores(self, kind: str, seconds: float) -> list[str]:
        """Until they have ended, or for so many seconds: the servers whose have not."""
        return self._lanes.wait_for(kind, seconds)

    def chores(self) -> dict[Chore, UnderWay]:
        """Those that are being done."""
        return self._lanes.under_way()

    def queued(self) -> int:
        """How many backups wait for their turn."""
        with self._lock:
            return self._queue.count

    def _discharge(self, job: Job) -> None:
        if self._jobs.get(job.key) is job:
            del self._jobs[job.key]
            self._queue.drop(job.key)
            if job.patience is not None:
                job.patience.cancel()
            self._readings.drop(job.key)
            self._begin_queued()
            self._ended.notify_all()

    def _begin_queued(self) -> None:
        if not self.stopping.is_set():
            for job, work in (*self._queue.begin(), *self._readings.begin()):
                self._start(job, work)

    # ----------------------------------------------------------------------------------- chores
    def ring(self, name: str, chore: Callable[[], None]) -> None:
        """Have `chore` done soon; one of a name at a time."""
        self._lanes.ring(name, chore)

    def apart(self, job: Job, work: Callable[[Job], None]) -> None:
        """Perform a job at once, in a thread of its own: neither copies nor chores delay it.

        Raises Stopped.
        """
        with self._lock:
            self._demand_open()
            self._start(job, work)

    def _start(self, job: Job, work: Callable[[Job], None]) -> None:
        """In a thread that ends with the process: work may hang for ever in the kernel."""
        words = f"{job.key.deed} {job.key.server} {job.key.backup_id}".strip()
        thread = threading.Thread(
            target=self._perform_apart, args=(job, work), name=words, daemon=True
        )
        self._threads.add(thread)
        thread.start()

    def _perform_apart(self, job: Job, work: Callable[[Job], None]) -> None:
        try:
            self.perform(job, work)
        finally:
            memory.give_back()
            with self._lock:
                self._threads.discard(threading.current_thread())
                self._ended.notify_all()

    # ------------------------------------------------------------------------------------- stop
    def _demand_open(self) -> None:
        if self.stopping.is_set():
            raise Stopped(self.stopping.reason)

    def stop(self, reason: str) -> None:
        """Stop all work and wait for its end: programs get their grace, nothing new begins.

        Bounded: what hangs is left behind.
        """
        with self._lock:
            self.stopping.stop(reason)
            for job in self._jobs.values():
                job.stop.stop(reason)
            # They end at once, for their stop is set; or they hang, as any other may.
            for job, work in (*self._queue.empty(), *self._readings.empty()):
                self._start(job, work)
        self._lanes.close()
        deadline = monotonic() + STOP_SECONDS
        with self._lock:
            self._ended.wait_for(lambda: not self._threads, STOP_SECONDS)
            hanging = [thread.name for thread in self._threads]
        hanging += self._lanes.wait_for_end(max(0.0, deadline - monotonic()))
        if hanging:
            log.error("work does not end, and is left behind", work=sorted(hanging))
        with self._lock:
            self._jobs.clear()  # what is left never began: who waits for it need not any more
            self._ended.notify_all()
            self.has_left_work_behind = bool(hanging)
