"""Checks of many servers at once, and those that nobody asked for."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from barmand.catalog.memory import Catalog, open_catalog
from barmand.model.errors import ConfigInvalid, NotFound, Stopped
from barmand.model.finding import Finding, failed, passed, warned
from barmand.operations.ports import Stop
from barmand.operations.state_health import StateHealth
from barmand.service.checking import AT_ONCE, VERDICT, Checking
from barmand.service.house import House, Kit
from barmand.service.stopping import StopFlag
from barmand.wire.check_messages import CheckReply, CheckServer, ServerCheck
from support.waiting import eventually

FINE = passed("PostgreSQL")
BAD = failed("WAL gaps", "3 missing")
SLOW = warned("clock", "see to NTP")


@dataclass
class FakeCheck:
    found: list[Finding]
    seconds: int = 30
    begun: threading.Event = field(default_factory=threading.Event)
    may_end: threading.Event | None = None
    error: Exception | None = None
    patience: list[int] = field(default_factory=list)

    def within(self, seconds: int) -> "FakeCheck":
        self.patience.append(seconds)
        return self

    def report(self, stop: Stop) -> list[Finding]:
        self.begun.set()
        while self.may_end is not None and not self.may_end.wait(0.05):
            if stop.is_set():
                raise Stopped(stop.reason)
        if self.error is not None:
            raise self.error
        return list(self.found)


class FakeHouse:
    def __init__(self, checks: dict[str, FakeCheck], *inactive: str) -> None:
        self.checks = checks
        self.inactive = inactive

    def kit(self, name: str) -> Kit:
        if name == "broken":
            raise ConfigInvalid("server broken is put aside: conninfo is missing", hint="Mend it.")
        if name not in self.checks:
            raise NotFound(f"no server {name!r} is configured")
        return kit(name, self.checks[name], is_active=name not in self.inactive)


def kit(name: str, check: FakeCheck, *, is_active: bool = True) -> Kit:
    return cast("Kit", SimpleNamespace(name=name, check=check, is_active=is_active))


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = open_catalog(tmp_path / "barmand.db")
    yield opened
    opened.close()


@pytest.fixture
def checking(catalog: Catalog, tmp_path: Path) -> Checking:
    return Checking(catalog.events, StateHealth(directory=tmp_path, catalog=catalog), StopFlag())


def answer(
    checking: Checking, house: FakeHouse, *names: str, **more: object
) -> Iterator[CheckReply | None]:
    of_all = names == ("all",)
    request = CheckServer(servers=list(names), **more)  # type: ignore[arg-type] # named by the tests
    wanted = list(house.checks) if of_all else list(names)
    return checking.answer(request, wanted, cast("House", house))


def reply(checking: Checking, house: FakeHouse, *names: str, **more: object) -> CheckReply:
    *_, last = answer(checking, house, *names, **more)
    assert last is not None
    return last


def by_name(told: CheckReply) -> dict[str, ServerCheck]:
    return {check.server: check for check in told.servers}


def test_each_server_has_its_verdict_and_the_worst_decides(checking: Checking) -> None:
    house = FakeHouse(
        {"a": FakeCheck([FINE]), "b": FakeCheck([FINE, SLOW]), "c": FakeCheck([BAD, SLOW])}
    )
    told = reply(checking, house, "all")
    assert [check.server for check in told.servers] == ["a", "b", "c"]
    assert {name: (check.level, check.ok) for name, check in by_name(told).items()} == {
        "a": ("OK", True),
        "b": ("WARNING", True),
        "c": ("FAILED", False),
    }
    assert told.exit_code == 5
    assert told.seconds >= max(check.seconds for check in told.servers)
    assert [finding.name for finding in told.daemon] == ["state directory", "state database"]
    assert reply(checking, house, "a", "b").exit_code == 0


def test_a_server_that_is_unknown_or_put_aside_is_told_beside_the_others(
    checking: Checking,
) -> None:
    house = FakeHouse({"a": FakeCheck([FINE])})
    told = reply(checking, house, "nobody", "a", "broken")
    assert [check.level for check in told.servers] == ["FAILED", "OK", "FAILED"]
    assert told.servers[2].findings[0].name == "configuration"
    assert "conninfo is missing (Mend it.)" in told.servers[2].findings[0].hint
    assert told.exit_code == 3
    assert reply(checking, house, "a", "broken").exit_code == 5


def test_an_inactive_server_is_looked_at_only_by_name(checking: Checking) -> None:
    house = FakeHouse({"a": FakeCheck([BAD])}, "a")
    told = reply(checking, house, "all")
    assert (told.exit_code, len(told.servers[0].findings)) == (0, 1)
    assert "inactive" in told.servers[0].findings[0].hint
    told = reply(checking, house, "a")
    assert [finding.name for finding in told.servers[0].findings] == ["configuration", "WAL gaps"]


def test_a_check_may_have_another_time(checking: Checking) -> None:
    check = FakeCheck([FINE])
    reply(checking, FakeHouse({"a": check}), "a", check_timeout=0.5)
    assert check.patience == [1]  # 0 would be without end


def test_servers_are_checked_side_by_side_and_a_slow_one_delays_no_other(
    checking: Checking,
) -> None:
    may_end = threading.Event()
    slow = {f"slow{n}": FakeCheck([FINE], may_end=may_end) for n in range(AT_ONCE - 1)}
    quick = {f"quick{n}": FakeCheck([FINE]) for n in range(100)}
    going = answer(checking, FakeHouse(slow | quick), "all")
    assert next(going) is None
    for check in (slow | quick).values():
        assert check.begun.wait(60)
    may_end.set()
    *_, told = going
    assert told is not None
    assert len(told.servers) == len(slow) + len(quick)


def test_who_goes_away_leaves_no_check_behind(checking: Checking) -> None:
    check = FakeCheck([FINE], may_end=threading.Event())
    before = threading.active_count()
    asked = answer(checking, FakeHouse({"a": check}), "a")
    assert next(asked) is None
    assert check.begun.wait(60)
    asked.close()  # type: ignore[attr-defined] # a generator, as the caller's thread treats it
    eventually(lambda: threading.active_count() <= before)


def test_the_daemons_end_waits_for_no_check(checking: Checking) -> None:
    asked = answer(checking, FakeHouse({"a": FakeCheck([], may_end=threading.Event())}), "a")
    assert next(asked) is None
    checking.stopping.stop("barmand was shut down")
    with pytest.raises(Stopped, match="shut down"):
        list(asked)


def test_a_fault_of_ours_costs_one_server_only(checking: Checking) -> None:
    house = FakeHouse({"a": FakeCheck([], error=ZeroDivisionError("oh")), "b": FakeCheck([FINE])})
    told = reply(checking, house, "all")
    assert [check.level for check in told.servers] == ["FAILED", "OK"]
    assert "a fault of barmand" in told.servers[0].findings[-1].hint
    assert told.exit_code == 5


def test_the_last_verdict_is_remembered_whoever_asked(checking: Checking) -> None:
    assert checking.last("a") is None
    check = FakeCheck([BAD, SLOW, FINE])
    reply(checking, FakeHouse({"a": check}), "a")
    last = checking.last("a")
    assert last is not None
    assert (last.level, last.failed, last.warnings) == ("FAILED", ["WAL gaps"], ["clock"])
    check.found = [FINE]
    assert checking.ring(kit("a", check), StopFlag()) is False
    assert getattr(checking.last("a"), "level", None) == "OK"


def test_a_verdict_is_an_event_and_told_when_it_changes(
    checking: Checking, capsys: pytest.CaptureFixture[str]
) -> None:
    check = FakeCheck([FINE])
    for found, words in (
        ([FINE], "check is OK"),
        ([FINE], None),
        ([SLOW], "check warns"),
        ([BAD, SLOW], "check FAILED"),
        ([BAD, SLOW], None),
        ([FINE], "check is OK"),
    ):
        check.found = found
        checking.ring(kit("a", check), StopFlag())
        said = capsys.readouterr().out
        assert words in said if words else said == ""
    events = [event for event in checking.events.of_server("a") if event.kind == VERDICT]
    assert [event.facts["level"] for event in events] == ["OK", "WARNING", "FAILED", "OK"]
    assert events[2].facts["failed"] == ["WAL gaps"]


def test_a_check_that_nobody_waits_for_ends_whatever_the_settings_allow(
    checking: Checking,
) -> None:
    check = FakeCheck([FINE], seconds=0)
    checking.ring(kit("a", check), StopFlag())
    assert check.patience == [300]


def test_never_is_no_chore(checking: Checking) -> None:
    assert checking.chores(0) == []
    (chore,) = checking.chores(60)
    assert (chore.name, chore.every and chore.every.total_seconds()) == ("check", 60)


def test_a_state_directory_that_is_full_or_gone_fails(catalog: Catalog, tmp_path: Path) -> None:
    stop = StopFlag()
    full = StateHealth(directory=tmp_path, catalog=catalog, least_free=1 << 62)
    assert [each.level for each in full.findings(stop)] == ["FAILED", "OK"]
    gone = StateHealth(directory=tmp_path / "gone", catalog=catalog).findings(stop)
    assert (gone[0].level, "gone" in gone[0].hint) == ("FAILED", True)
