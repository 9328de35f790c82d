"""Backups to verify that go away before their turn comes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from barmand.catalog.memory import Catalog, open_catalog
from barmand.model.backup import Backup
from barmand.model.errors import Refused
from barmand.model.queueing import Limits
from barmand.outside.clock import local_now
from barmand.service.proof_desk import ProofDesk
from barmand.service.runner import Runner
from barmand.wire.messages import WarningNote
from barmand.wire.proof_messages import VerifiedReply, VerifyBackup
from fakes import Bench, bench_over

Ending = Callable[[Bench, Backup], None]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    catalog = open_catalog(tmp_path / "barmand.db")
    yield bench_over(catalog, tmp_path / "home")
    catalog.close()


@pytest.fixture
def runner() -> Iterator[Runner]:
    made = Runner(Limits(2))
    yield made
    made.stop("the test is over")


@dataclass
class FakeVerify:
    """As the real one: it asks the catalogue for the backup of this moment."""

    catalog: Catalog
    asked: list[str] = field(default_factory=list)

    def refuse_unless_possible(self, backup: Backup) -> None:
        pass

    def run(self, backup: Backup, **_: object) -> object:
        self.asked.append(backup.id)
        now = self.catalog.backups.get(backup.server, backup.id)
        raise Refused(f"backup {now.id} of {now.server} is {now.status}")


def removed(bench: Bench, backup: Backup) -> None:
    deleting(bench, backup)
    gone = bench.now(backup)
    bench.catalog.backups.remove(gone, now=local_now(), facts={})


def deleting(bench: Bench, backup: Backup) -> None:
    bench.catalog.backups.move(backup, backup.deleting(), now=local_now())


def stays(_bench: Bench, _backup: Backup) -> None:
    """It is refused for a reason of its own."""


def verify(bench: Bench, runner: Runner, backups: list[str], ending: Ending) -> Any:
    """The reply and the notes, when `ending` came between the request and the verification."""
    backup = bench.done_backup()
    fake = FakeVerify(bench.catalog)

    def kit(_name: str) -> SimpleNamespace:
        return SimpleNamespace(verify=fake)

    def refuse_unless_possible(_backup: Backup) -> None:
        ending(bench, backup)

    fake.refuse_unless_possible = refuse_unless_possible  # type: ignore[method-assign]
    looking = SimpleNamespace(catalog=bench.catalog, expand=lambda servers, _house: servers)
    desk = ProofDesk(runner, looking)  # type: ignore[arg-type]
    request = VerifyBackup(servers=["main"], backups=backups)
    *notes, reply = list(desk.answer(request, SimpleNamespace(kit=kit), "me"))  # type: ignore[arg-type]
    assert fake.asked == [backup.id]
    assert isinstance(reply, VerifiedReply)
    return reply, [each for each in notes if isinstance(each, WarningNote)]


@pytest.mark.parametrize("ending", [removed, deleting])
def test_of_all_one_that_goes_meanwhile_is_skipped_and_told(
    bench: Bench, runner: Runner, ending: Ending
) -> None:
    with capture_logs() as logs:
        reply, warnings = verify(bench, runner, ["all"], ending)
    assert (reply.exit_code, reply.backups) == (0, [])
    assert "was not verified: it went meanwhile" in warnings[0].message
    assert [line for line in logs if line["log_level"] == "error"] == []


@pytest.mark.parametrize(("ending", "code"), [(removed, 3), (deleting, 4)])
def test_one_that_was_named_is_a_failure(
    bench: Bench, runner: Runner, ending: Ending, code: int
) -> None:
    reply, warnings = verify(bench, runner, ["last"], ending)
    assert (reply.exit_code, warnings) == (code, [])


def test_of_all_one_that_is_still_there_is_a_failure(bench: Bench, runner: Runner) -> None:
    reply, warnings = verify(bench, runner, ["all"], stays)
    assert (reply.exit_code, warnings) == (4, [])
