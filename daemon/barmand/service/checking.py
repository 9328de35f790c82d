"""Checks of servers: asked for, or on a ring of their own; and the last verdict of each.

Servers are checked side by side, in threads that may be left behind: what a check waits for may
never answer, and neither a caller nor the daemon's end waits for it longer than it must.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from barmand.catalog.events import Events
from barmand.model.errors import CheckFailed, ConfigInvalid, NotFound, Stopped
from barmand.model.event import Event
from barmand.model.finding import Finding, Level, failed, passed, worst
from barmand.operations.ports import heed
from barmand.operations.state_health import StateHealth
from barmand.outside.clock import local_now
from barmand.service.chore_table import Chore
from barmand.service.house import House, Kit
from barmand.service.stopping import StopFlag
from barmand.service.views import finding_view
from barmand.wire.check_messages import CheckReply, CheckServer, ServerCheck
from barmand.wire.messages import LastCheckView

log = structlog.get_logger()

AT_ONCE = 20
TICK_SECONDS = 0.5
LONGEST_SECONDS = 300
"""Of a check that nobody waits for, whatever the settings allow."""
VERDICT = "check"
_IN_ALL = "inactive (active = false): `all` does not look at it"


@dataclass(frozen=True, slots=True)
class Checking:
    """`stopping` is the daemon's end."""

    events: Events
    state: StateHealth
    stopping: StopFlag
    _last: dict[str, LastCheckView] = field(default_factory=dict)

    def last(self, server: str) -> LastCheckView | None:
        return self._last.get(server)

    def answer(
        self, request: CheckServer, names: Sequence[str], house: House
    ) -> Iterator[CheckReply | None]:
        """None while it lasts. Raises Stopped."""
        of_all, seconds = "all" in request.servers, request.check_timeout
        work = _Round(self, deque(names), house, of_all, seconds)
        work.begin()
        try:
            while not work.is_over.wait(TICK_SECONDS):
                heed(self.stopping)
                yield None
            yield work.reply()
        finally:
            work.stop.stop("nobody waits for this check any more")

    def chores(self, every_seconds: int) -> list[Chore]:
        """Nothing where it is never due."""
        every = timedelta(seconds=every_seconds)
        return [Chore(name="check", deed=self.ring, every=every)] if every else []

    def ring(self, kit: Kit, stop: StopFlag) -> bool:
        """A check that nobody asked for: a verdict that is new is an event, and told."""
        seconds = min(kit.check.seconds or LONGEST_SECONDS, LONGEST_SECONDS)
        found = kit.check.within(seconds).report(stop)
        self.remember(kit.name, found)
        facts = {
            "level": worst(found).value,
            "failed": _names(found, Level.FAILED),
            "warnings": _names(found, Level.WARNING),
        }
        event = Event(at=local_now(), kind=VERDICT, server=kit.name, facts=facts)
        if self.events.add_once(event):
            _tell(kit.name, found)
        return False

    def remember(self, server: str, found: Sequence[Finding]) -> None:
        self._last[server] = LastCheckView(
            level=worst(found).value,
            at=local_now(),
            failed=_names(found, Level.FAILED),
            warnings=_names(found, Level.WARNING),
        )


class _Round:
    """All servers of one request."""

    def __init__(
        self,
        checking: Checking,
        names: deque[str],
        house: House,
        of_all: bool,
        seconds: float | None,
    ) -> None:
        self._checking = checking
        self._order = list(names)
        self._names = names
        self._house = house
        self._of_all = of_all
        self._seconds = seconds
        self._lock = threading.Lock()
        self._checks: dict[str, ServerCheck] = {}
        self._codes: list[int] = []
        self._state: list[Finding] = []
        self._left = 0
        self._begun = time.monotonic()
        self.stop = StopFlag()
        self.is_over = threading.Event()

    def begin(self) -> None:
        work = [self._look_at_state, *[self._work] * min(AT_ONCE, len(self._names))]
        self._left = len(work)
        for each in work:
            threading.Thread(target=self._run, args=[each], name="checks", daemon=True).start()

    def reply(self) -> CheckReply:
        state = [finding_view(finding) for finding in self._state]
        if worst(self._state) is Level.FAILED:
            self._codes.append(CheckFailed.exit_code)
        return CheckReply(
            servers=[self._checks[name] for name in self._order],
            daemon=state,
            seconds=round(time.monotonic() - self._begun, 3),
            exit_code=next(iter(sorted(self._codes)), 0),
        )

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Stopped:
            log.debug("check left", why=self.stop.reason)
        finally:
            with self._lock:
                self._left -= 1
                if not self._left:
                    self.is_over.set()

    def _look_at_state(self) -> None:
        self._state = self._checking.state.findings(self.stop)

    def _work(self) -> None:
        while not self.stop.is_set():
            try:
                name = self._names.popleft()
            except IndexError:
                return
            begun = time.monotonic()
            found, code = self._found(name)
            level = worst(found)
            check = ServerCheck(
                server=name,
                ok=level is not Level.FAILED,
                level=level.value,
                findings=[finding_view(finding) for finding in found],
                seconds=round(time.monotonic() - begun, 3),
            )
            with self._lock:
                self._checks[name] = check
                self._codes += [code] if code else []

    def _found(self, name: str) -> tuple[list[Finding], int]:
        """And the exit code that it asks for."""
        try:
            kit = self._house.kit(name)
            found = self._of(kit)
        except (ConfigInvalid, NotFound) as failure:
            is_unknown = isinstance(failure, NotFound)
            words = f"{failure.message} ({failure.hint})"
            code = failure.exit_code if is_unknown else CheckFailed.exit_code
            return [failed("configuration", words, keeps_from_backup=True)], code
        except Stopped:
            raise
        except Exception:
            # One server that we cannot judge must not cost the others their answer.
            log.exception("check ended in a fault of barmand", server=name)
            words = "a fault of barmand: its journal has the traceback"
            return [failed("check", words)], CheckFailed.exit_code
        self._checking.remember(name, found)
        return found, CheckFailed.exit_code if worst(found) is Level.FAILED else 0

    def _of(self, kit: Kit) -> list[Finding]:
        if not kit.is_active and self._of_all:
            return [passed("configuration", _IN_ALL)]
        check = kit.check if self._seconds is None else kit.check.within(math.ceil(self._seconds))
        found = check.report(self.stop)
        if not kit.is_active:
            return [passed("configuration", "inactive (active = false)"), *found]
        return [passed("configuration"), *found]


def _names(found: Sequence[Finding], level: Level) -> list[str]:
    return [finding.name for finding in found if finding.level is level]


def _tell(server: str, found: Sequence[Finding]) -> None:
    wrong = {
        level: "; ".join(f"{each.name}: {each.hint}" for each in found if each.level is level)
        for level in (Level.FAILED, Level.WARNING)
    }
    match worst(found):
        case Level.OK:
            log.info("check is OK", server=server)
        case Level.WARNING:
            log.warning("check warns", server=server, warnings=wrong[Level.WARNING])
        case Level.FAILED:
            log.error(
                "check FAILED",
                server=server,
                failed=wrong[Level.FAILED],
                warnings=wrong[Level.WARNING],
            )
