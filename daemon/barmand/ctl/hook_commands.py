"""Commands about hooks: they have two words, `hook test` and `hook runs`."""

from __future__ import annotations

import argparse

from barmand.ctl import subjects, values
from barmand.ctl.command import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.command import Params

_HOOK = "as its option is called: pre_backup_script, or pre_backup"


def _add_test(parser: argparse.ArgumentParser) -> None:
    subjects.add_server(parser)
    parser.add_argument("hook", metavar="HOOK", type=values.word, help=_HOOK)


def _test_params(options: argparse.Namespace) -> Params:
    return {"server": options.server, "hook": options.hook}


def _add_runs(parser: argparse.ArgumentParser) -> None:
    subjects.add_server(parser)
    parser.add_argument(
        "hook", metavar="HOOK", nargs="?", type=values.word, help=f"{_HOOK}; else all of them"
    )
    parser.add_argument(
        "--limit", metavar="N", type=values.listed, default=20, help="so many, the newest (20)"
    )


def _runs_params(options: argparse.Namespace) -> Params:
    return {"server": options.server, "hook": options.hook, "limit": options.limit}


HOOK_COMMANDS = {
    "hook test": Command("run a hook with sample values", _add_test, _test_params),
    "hook runs": Command("what hooks were run, and how", _add_runs, _runs_params),
}
