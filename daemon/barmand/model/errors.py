"""Every failure an operator can act on: one class per reaction, and its number is the exit code.

    Failure
    ├── UsageError          2   the request makes no sense
    ├── NotFound            3   server, backup or segment unknown
    ├── Refused             4   busy, held, not permitted
    ├── CheckFailed         5   the server is not ready
    ├── PostgresFailed      6   PostgreSQL is unreachable, or said no
    ├── ToolFailed          7   pg_basebackup, rsync or a hook failed
    ├── StorageFailed       8   our own disk
    ├── ConfigInvalid       9   the INI files
    ├── DaemonUnreachable  10   no socket, or gone in mid-answer
    ├── Stopped            11   a shutdown or a cancel came first
    └── WaitTimeout        12   the wait ended, the backup goes on

Any other exception is a bug of ours: exit code 1, its traceback in the journal only.
"""

BUG_EXIT_CODE = 1


class Failure(Exception):  # noqa: N818 - "failure" is the word the operator reads, in every message
    """A message (lowercase, names the thing) and perhaps a hint (a sentence: the way out)."""

    exit_code = BUG_EXIT_CODE

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def kind(self) -> str:
        """The class's name: what is stored and sent as the failure's `code`."""
        return type(self).__name__


class UsageError(Failure):
    exit_code = 2


class NotFound(Failure):
    exit_code = 3


class Refused(Failure):
    exit_code = 4


class CheckFailed(Failure):
    exit_code = 5


class PostgresFailed(Failure):
    exit_code = 6


class ToolFailed(Failure):
    exit_code = 7


class StorageFailed(Failure):
    exit_code = 8


class ConfigInvalid(Failure):
    exit_code = 9


class DaemonUnreachable(Failure):
    exit_code = 10


class Stopped(Failure):
    exit_code = 11


class WaitTimeout(Failure):
    exit_code = 12


EXIT_CODES: dict[str, int] = {kind.__name__: kind.exit_code for kind in Failure.__subclasses__()}


def exit_code_of(kind: str) -> int:
    """The exit code of a stored failure's `code`; a code we do not know counts as a bug."""
    return EXIT_CODES.get(kind, BUG_EXIT_CODE)
