"""The version that a program of PostgreSQL's tells."""

import subprocess
from pathlib import Path

from barmand.model.errors import ToolFailed


def version_of(program: Path) -> int:
    """The major version that a PostgreSQL program prints. Raises ToolFailed."""
    try:
        printed = subprocess.run(  # noqa: S603 - a program found by the administrator's own path
            [program, "--version"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
        number = printed.rsplit("(PostgreSQL)", 1)[1].split()[0]
        return int("".join(digit if digit.isdigit() else " " for digit in number).split()[0])
    except (OSError, subprocess.SubprocessError, IndexError, ValueError) as error:
        raise ToolFailed(f"{program} does not tell its version", hint=str(error)) from error
