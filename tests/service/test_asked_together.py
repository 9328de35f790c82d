"""One server that hangs keeps no other's answer back."""

import threading

from barmand.service.asked_together import asked_together


def test_each_answers_for_itself() -> None:
    assert asked_together(["a", "b"], str.upper, seconds=30) == {"a": "A", "b": "B"}


def test_what_hangs_is_given_up() -> None:
    end = threading.Event()

    def ask(name: str) -> str:
        if name == "hung":
            end.wait(60)
        return name

    try:
        assert asked_together(["hung", "quick"], ask, seconds=1) == {"hung": None, "quick": "quick"}
    finally:
        end.set()
