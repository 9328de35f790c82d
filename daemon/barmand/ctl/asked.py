"""What is asked for, once the command line is understood."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any


class Asked:
    """One request. `method` is its name on the wire, and the command's own."""

    def __init__(
        self,
        method: str,
        params: dict[str, Any],
        options: argparse.Namespace,
        act: Callable[[Asked], int] | None = None,
    ) -> None:
        self.method = method
        self.act = act
        self.params = params
        self.format: str = options.format
        self.socket: str = options.socket
        self.is_quiet: bool = options.quiet
        self.options = options
