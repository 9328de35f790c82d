"""config.example.ini: written from the schema, so that it cannot lie."""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING
from itertools import groupby
from textwrap import wrap

from barmand.settings.schema import (
    CLOUD_PREFIXES,
    NOT_CARRIED,
    DaemonSettings,
    NotCarried,
    Option,
    ServerSettings,
    find_not_carried,
    options,
)
from barmand.settings.values import write

_WIDTH = 100
_NAME = "main"
# What an administrator cannot do without; everything else stands there as a comment.
_ACTIVE: Mapping[str, str] = {
    "barman_home": "/var/lib/barman",
    "conninfo": "host=pg.example.com user=barman dbname=postgres",
    "backup_method": "postgres",
    "streaming_archiver": "on",
    "slot_name": "barmand",
    "create_slot": "auto",
}
_TOP = """\
The configuration of barmand: every option, its default and its meaning.
An option behind ';' shows its default; without a value after '=', there is none.
A comment begins its own line, a value ends with its line (but a schedule may go on in indented
ones), and quotes around a value are taken off.
Barman's files are read as they are: [barman] means the same as [barmand], and where both give an
option, [barmand] decides."""

_SERVER = """\
One section for each server; its header is the server's name. What is marked 'any section' may also
stand in [barmand], as the default of every server; where there may be no value, an empty one undoes
that default."""

_END = """\
Options of Barman that this version does not carry. Those marked '!' put a server aside when they
ask for something; the others are named in a warning."""


def render() -> str:
    lines = [*_comment(_TOP), "", "[barmand]"]
    for option in options(DaemonSettings).values():
        lines += ["", *_explained(option, ""), _line(option)]
    lines += ["", "", *_comment(_SERVER), f"[{_NAME}]"]
    for option in options(ServerSettings).values():
        scope = "" if option.doc.is_server_only else "; any section"
        lines += ["", *_explained(option, scope), _line(option)]
    lines += ["", "", *_comment(_END), *_not_carried()]
    return "\n".join([*lines, ""])


def _comment(text: str) -> list[str]:
    return wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ")


def _explained(option: Option, scope: str) -> list[str]:
    required = "; required" if option.is_required else ""
    return _comment(f"{option.doc.text} ({option.kind.words}{scope}{required})")


def _line(option: Option) -> str:
    if option.key in _ACTIVE:
        return f"{option.key} = {_ACTIVE[option.key]}"
    return f";{option.key} = {_default(option)}".rstrip()


def _default(option: Option) -> str:
    known = dict(_ACTIVE, name=_NAME)
    known["backup_directory"] = f"{known['barman_home']}/{_NAME}"
    derived = option.derived.text(known) if option.derived else None
    return derived or ("" if option.default is MISSING else write(option.default))


def _not_carried() -> Iterator[str]:
    """Neighbours with the same reason share a line."""

    def why(item: tuple[str, NotCarried]) -> tuple[bool, str]:
        return item[1].is_unsafe, item[1].reason

    cloud = [(f"{prefix}*", find_not_carried(prefix)) for prefix in CLOUD_PREFIXES]
    items = [*NOT_CARRIED.items(), *((key, missing) for key, missing in cloud if missing)]
    for (is_unsafe, reason), group in groupby(items, why):
        mark = "!" if is_unsafe else "-"
        words = ", ".join(key for key, _ in group)
        yield from wrap(
            f"{words}: {reason}",
            _WIDTH,
            initial_indent=f"# {mark} ",
            subsequent_indent="#   ",
            break_on_hyphens=False,
        )
