"""What a command is."""

from __future__ import annotations

import argparse
from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Params = dict[str, Any]


class Command:
    """`add` gives a parser the command's own options; `params` makes what is sent of them."""

    def __init__(
        self,
        meaning: str,
        add: Callable[[argparse.ArgumentParser], None],
        params: Callable[[argparse.Namespace], Params],
    ) -> None:
        self.meaning = meaning
        self.add = add
        self.params = params
