"""What a command is."""

from __future__ import annotations

import argparse
from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from barmand.ctl.asked import Asked

    Params = dict[str, Any]


class Command:
    """`add` gives a parser the command's own options; `params` makes what is sent of them.

    A command that is more than to ask and to show has `act`: it returns the exit code.
    """

    def __init__(
        self,
        meaning: str,
        add: Callable[[argparse.ArgumentParser], None],
        params: Callable[[argparse.Namespace], Params],
        act: Callable[[Asked], int] | None = None,
    ) -> None:
        self.meaning = meaning
        self.add = add
        self.params = params
        self.act = act
