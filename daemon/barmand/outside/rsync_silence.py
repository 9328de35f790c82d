"""An rsync that says nothing for too long, and the words of one that does not.

Its own --timeout is not enough: what it writes counts as life, and it writes to a sender that
stands still for as long as ssh takes its words.
"""

from collections.abc import Sequence

from barmand.outside.process import Stop
from barmand.outside.rsync_words import Ending, Hearing
from barmand.outside.silence import Silence, died, run_heard

_ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC"}


def run_rsync(
    argv: Sequence[str], hearing: Hearing, stop: Stop, *, seconds: float, first_seconds: float
) -> Ending:
    """`argv` to its end, or as long as it talks; `first_seconds` before its first word.

    Raises Stopped.
    """
    silence = Silence(stop, first_seconds)

    def take(line: str) -> None:
        silence.hear(seconds)
        hearing.take(line)

    finished = run_heard(
        argv,
        silence,
        environment=_ENVIRONMENT,
        on_line=take,
    )
    if finished is None:
        return Ending(died("rsync", silence), may_be_retried=True)
    return hearing.ending(finished)
