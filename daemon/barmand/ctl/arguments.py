"""argv becomes what is asked: a method, its params, and how the answer is shown."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys

from barmand import __version__
from barmand.ctl import help_page
from barmand.ctl.asked import Asked
from barmand.ctl.commands import ALIASES, COMMANDS, HELP
from barmand.model.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn, TextIO

PROGRAM = "barmanctl"
DEFAULT_SOCKET = "/run/barmand/barmand.sock"
FORMATS = ("console", "json")


class _Help(argparse.HelpFormatter):
    """Knows its width by itself: the library asks shutil, which costs more than all the rest."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=100)


class _ProgramHelp(_Help, argparse.RawDescriptionHelpFormatter):
    """Leaves the list of commands as it is."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong as a failure, so that it is shown as every other one."""

    def __init__(self, prog: str, description: str = "", *, add_help: bool = True) -> None:
        super().__init__(
            prog=prog,
            description=description,
            formatter_class=_Help,
            add_help=add_help,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        raise UsageError(
            message.removeprefix("argument "), hint=f"`{self.prog} --help` tells what there is."
        )


def parse(argv: Sequence[str]) -> Asked | None:
    """None when there is no command at all. Raises UsageError; SystemExit(0) after --help."""
    options = argparse.Namespace(
        socket=os.environ.get("BARMAND_SOCKET") or DEFAULT_SOCKET,
        format=FORMATS[0],
        quiet=False,
        words=None,
    )
    program, decoded = _program_parser(), _decoded(argv)
    try:
        program.parse_args(decoded, options)
    except UsageError as error:
        raise _of_barman(None, decoded, program) or error from None
    if options.words is None:
        return None
    typed, *words = _helped(options.words)
    name = ALIASES.get(typed, typed)
    if words and f"{typed} {words[0]}" in COMMANDS:  # a command of two words
        name = f"{typed} {words.pop(0)}"
    if name not in COMMANDS:
        raise _unknown(typed)
    command = COMMANDS[name]
    parser = _Parser(f"{PROGRAM} {name}", command.meaning)
    command.add(parser)
    _add_common(parser)
    try:
        if "--" in words:
            parser.parse_args(words, options)
        else:
            parser.parse_intermixed_args(words, options)  # options may stand between servers
    except UsageError as error:
        raise _of_barman(name, words, parser) or error from None
    return Asked(name.replace(" ", "-"), command.params(options), options, command.act)


def asked_format(argv: Sequence[str]) -> str:
    """How to show that `argv` is wrong: as far as it can be told, as it asks itself."""
    parser = _Parser(PROGRAM, add_help=False)
    _add_format(parser)
    options = argparse.Namespace(format=FORMATS[0])
    with contextlib.suppress(UsageError):
        parser.parse_known_args(argv, options)
    return str(options.format)


def print_help(stream: TextIO) -> None:
    _program_parser().print_help(stream)


def _helped(words: list[str]) -> list[str]:
    """`help COMMAND` is `COMMAND --help`, and `help` alone is `--help`."""
    if words[0] != "help":
        return words
    if len(words) == 1:
        print_help(sys.stdout)
        raise SystemExit(0)
    return [*words[1:], "--help"]


def _program_parser() -> _Parser:
    parser = _Parser(PROGRAM, "Ask barmand, the backup daemon for PostgreSQL.")
    parser.formatter_class = _ProgramHelp
    parser.epilog = help_page.page({**COMMANDS, "help": HELP})
    _add_common(parser)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    command = parser.add_argument(
        "words", metavar="COMMAND", nargs=argparse.PARSER, help="one of those below, and its words"
    )
    command.required = False
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    """Before and after the command alike: what is not said there does not undo what was here."""
    parser.add_argument(
        "--socket",
        metavar="PATH",
        default=argparse.SUPPRESS,
        help=f"the daemon's socket; else $BARMAND_SOCKET; else {DEFAULT_SOCKET}",
    )
    parser.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        default=argparse.SUPPRESS,
        help="say nothing but what went wrong",
    )
    _add_format(parser)


def _add_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-f",
        "--format",
        choices=FORMATS,
        default=argparse.SUPPRESS,
        help="json prints one document; console, for people, is the default",
    )


def _decoded(argv: Sequence[str]) -> list[str]:
    """The words as UTF-8, which is what JSON can carry, whatever the locale made of their bytes."""
    words = []
    for word in argv:
        try:
            words.append(os.fsencode(word).decode())
        except UnicodeError as error:
            raise UsageError(f"{word!a} is not valid UTF-8") from error
    return words


def _of_barman(command: str | None, words: Sequence[str], parser: _Parser) -> UsageError | None:
    from barmand.ctl import barman  # noqa: PLC0415 - only here

    ours = parser._option_string_actions  # noqa: SLF001 - argparse has no other list of them
    return barman.about_options(command, words, ours)


def _unknown(typed: str) -> UsageError:
    import difflib  # noqa: PLC0415 - only here, and too slow to load for every command

    from barmand.ctl import barman  # noqa: PLC0415 - only here

    foreign = barman.about_command(typed)
    if foreign is not None:
        return foreign
    pairs = [name for name in COMMANDS if name.startswith(f"{typed} ")]
    if pairs:
        return UsageError(f"`{typed}` what?", hint=f"There is `{'`, `'.join(pairs)}`.")
    near = [ALIASES.get(word, word) for word in difflib.get_close_matches(typed, _spelt(), n=1)]
    hint = f"Did you mean `{near[0]}`?" if near else f"`{PROGRAM} --help` names the commands."
    return UsageError(f"unknown command {typed!r}", hint=hint)


def _spelt() -> list[str]:
    return [*COMMANDS, *ALIASES]
