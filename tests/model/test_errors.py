"""One class, one number, one reaction of the operator."""

import pytest

from barmand.model import errors
from barmand.model.errors import BUG_EXIT_CODE, EXIT_CODES, Failure, exit_code_of

TABLE = {
    "UsageError": 2,
    "NotFound": 3,
    "Refused": 4,
    "CheckFailed": 5,
    "PostgresFailed": 6,
    "ToolFailed": 7,
    "StorageFailed": 8,
    "ConfigInvalid": 9,
    "DaemonUnreachable": 10,
    "Stopped": 11,
    "WaitTimeout": 12,
}


def test_every_failure_has_the_exit_code_of_the_table() -> None:
    assert EXIT_CODES == TABLE


def test_no_two_failures_share_a_number_and_none_is_a_bug_or_success() -> None:
    numbers = list(EXIT_CODES.values())
    assert len(numbers) == len(set(numbers))
    assert not {0, BUG_EXIT_CODE} & set(numbers)


def test_the_drawing_at_the_top_is_true() -> None:
    drawing = errors.__doc__ or ""
    drawn = [line.split("──")[1].split()[:2] for line in drawing.splitlines() if "──" in line]
    assert {name: int(number) for name, number in drawn} == TABLE


@pytest.mark.parametrize(("kind", "number"), TABLE.items())
def test_a_stored_code_gives_its_number_back(kind: str, number: int) -> None:
    assert exit_code_of(kind) == number


@pytest.mark.parametrize("kind", ["Bug", "", "Exception", "Failure", "refused"])
def test_a_code_we_do_not_know_counts_as_a_bug(kind: str) -> None:
    assert exit_code_of(kind) == BUG_EXIT_CODE == 1


def test_a_failure_is_a_message_and_perhaps_a_hint() -> None:
    failure = errors.Refused("main is busy", hint="Wait.")
    assert (failure.message, failure.hint, failure.kind) == ("main is busy", "Wait.", "Refused")
    assert str(failure) == "main is busy"
    assert errors.NotFound("no such server").hint is None
    assert isinstance(failure, Failure)
