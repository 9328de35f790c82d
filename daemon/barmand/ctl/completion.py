"""Scripts that let a shell complete barmanctl's words: commands, their options, servers' names."""

from __future__ import annotations

import argparse
import sys

from barmand.ctl.command import Command
from barmand.ctl.screen import complain
from barmand.model.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from barmand.ctl.asked import Asked
    from barmand.ctl.command import Params

SHELLS = ("bash", "zsh", "fish")
_BASH = """\
# barmanctl: source this, or put it into /usr/share/bash-completion/completions/barmanctl
_barmanctl() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} command= each
    for each in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case $each in -*) ;; *) command=$each; break ;; esac
    done
    if [ -z "$command" ]; then
        COMPREPLY=($(compgen -W "{commands}" -- "$word"))
        return
    fi
    local options=
    case $command in
{cases}
    esac
    case $word in
        -*) COMPREPLY=($(compgen -W "$options" -- "$word")) ;;
        *)
            each="all $(barmanctl list-servers --minimal 2>/dev/null)"
            COMPREPLY=($(compgen -W "$each" -- "$word"))
            ;;
    esac
}}
complete -o default -F _barmanctl barmanctl
"""
_ZSH = "autoload -U +X bashcompinit && bashcompinit\n"
_FISH_SERVERS = "(barmanctl list-servers --minimal 2>/dev/null)"


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help="bash, zsh or fish")


def _no_params(_options: argparse.Namespace) -> Params:
    return {}


def command(all_commands: Callable[[], Mapping[str, Command]]) -> Command:
    """`all_commands` has this one too, so it is asked later."""

    def act(asked: Asked) -> int:
        if asked.format == "json":
            complain("completion prints a script, not a document")
            return UsageError.exit_code
        sys.stdout.write(script(asked.options.shell, all_commands()))
        return 0

    return Command("a script for your shell", _add, _no_params, act)


def script(shell: str, commands: Mapping[str, Command]) -> str:
    options: dict[str, list[str]] = {}
    meanings: dict[str, str] = {}
    for name, command in commands.items():
        first = name.partition(" ")[0]  # some are two words
        known = options.setdefault(first, [])
        known += [word for word in options_of(command) if word not in known]
        meanings.setdefault(first, command.meaning)
    if shell == "fish":
        return _fish(meanings, options)
    cases = "\n".join(
        f'        {name}) options="{" ".join(words)}" ;;' for name, words in options.items()
    )
    text = _BASH.format(commands=" ".join(options), cases=cases)
    return _ZSH + text if shell == "zsh" else text


def options_of(command: Command) -> list[str]:
    parser = argparse.ArgumentParser(add_help=False)
    command.add(parser)
    own = [word for action in parser._actions for word in action.option_strings]  # noqa: SLF001 - argparse has no other list
    return [*(word for word in own if word.startswith("--")), "--format", "--socket", "--help"]


def _fish(meanings: Mapping[str, str], options: Mapping[str, list[str]]) -> str:
    lines = ["complete -c barmanctl -f"]
    names = " ".join(meanings)
    for name, words in meanings.items():
        meaning = words.replace("'", "")
        lines.append(
            f"complete -c barmanctl -n 'not __fish_seen_subcommand_from {names}'"
            f" -a {name} -d '{meaning}'"
        )
        seen = f"complete -c barmanctl -n '__fish_seen_subcommand_from {name}'"
        lines += [f"{seen} -l {option.removeprefix('--')}" for option in options[name]]
        lines.append(f"{seen} -a '{_FISH_SERVERS}'")
    return "\n".join(lines) + "\n"
