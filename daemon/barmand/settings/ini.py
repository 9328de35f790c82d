"""INI files to Settings, or the list of problems (configparser's door).

What is wrong with one server puts that server aside; what is wrong with the global section, or with
the grammar of the main file, stops the daemon. Either way everything is told at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from configparser import (
    DuplicateOptionError,
    DuplicateSectionError,
    Error,
    MissingSectionHeaderError,
    ParsingError,
    RawConfigParser,
)
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from barmand.model.errors import ConfigInvalid
from barmand.settings.directories import FollowLinks, as_written
from barmand.settings.schema import (
    GLOBAL_SECTIONS,
    DaemonSettings,
    Problem,
    ServerSettings,
    Settings,
)
from barmand.settings.sections import (
    Entry,
    Section,
    is_model,
    judge_global,
    judge_server,
    judge_together,
)
from barmand.settings.values import unquoted


def read(path: Path, follow: FollowLinks = as_written) -> Settings:
    """Raises ConfigInvalid, with every problem in its message, if the daemon cannot start.

    `follow` tells where directories lead that are links, or have links above them.
    """
    main = _parse(path)
    common = _judge_global(main)
    files = [main, *map(_parse, _included(main, common))]
    servers = _judge_servers(files, common, follow)
    problems = _once([*_faults(files), *common.problems, *_strays(files), *_problems(servers)])
    if main.faults or common.problems:
        raise _invalid(problems)
    healthy = {each.name: ServerSettings(**each.values) for each in servers if not each.problems}
    broken = {each.name: _once(each.problems) for each in servers if each.problems}
    return Settings(
        path=path,
        daemon=DaemonSettings(**common.values),
        servers=MappingProxyType(healthy),
        files=MappingProxyType({each.name: each.file for each in servers}),
        broken=MappingProxyType(broken),
        problems=problems,
        warnings=_once([*common.warnings, *_models(files), *_warnings(servers)]),
    )


def _invalid(problems: Iterable[Problem]) -> ConfigInvalid:
    lines = "\n".join(map(str, problems))
    return ConfigInvalid(
        f"the daemon cannot run with this configuration:\n{lines}",
        hint="Edit what is named; config.example.ini explains every option.",
    )


def _once(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(dict.fromkeys(problems))


# --------------------------------------------------------------------------------- file to sections


@dataclass(frozen=True, slots=True)
class _File:
    """What could be read of a file; `faults` are against its grammar as a whole."""

    path: Path
    sections: Mapping[str, Mapping[str, Entry]] = field(default_factory=dict)
    faults: tuple[Problem, ...] = ()
    doubles: tuple[Problem, ...] = ()


# Begins the names that repeated sections and options are given, to be dropped.
_DOUBLE = "\0"


def _parse(path: Path) -> _File:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        return _File(path, faults=(_fault(path, f"cannot be read: {error.strerror}"),))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        return _File(path, faults=(_fault(path, f"line {line} is not UTF-8"),))
    if _DOUBLE in text:
        return _File(path, faults=(_fault(path, "holds a zero byte"),))
    return _sections(path, text.split("\n"))


def _sections(path: Path, lines: list[str]) -> _File:
    found: list[Problem] = []
    while True:
        # A section cannot be named "", so no section is the default of the others.
        parser = RawConfigParser(default_section="", empty_lines_in_values=False)
        try:
            parser.read_file(lines, str(path))
        except Error as error:
            found += _mend(error, path, lines)
        else:
            break
    return _File(
        path,
        sections={
            name: _entries(parser, path, name)
            for name in parser.sections()
            if not name.startswith(_DOUBLE)
        },
        faults=tuple(problem for problem in found if problem.section is None),
        doubles=tuple(problem for problem in found if problem.section is not None),
    )


def _mend(error: Error, path: Path, lines: list[str]) -> list[Problem]:
    """What configparser stopped at; changed in `lines`, so that it finds the next one."""
    match error:
        case DuplicateOptionError(section=section, option=option, lineno=int(number)):
            lines[number - 1] = f"{_DOUBLE}{number} ="
            return [Problem(path, section, option, f"stands there again in line {number}")]
        case DuplicateSectionError(section=section, lineno=int(number)):
            lines[number - 1] = f"[{_DOUBLE}{number}]"
            return [Problem(path, section, None, f"the section begins again in line {number}")]
        case MissingSectionHeaderError(lineno=number):
            lines[number - 1] = ""
            return [_fault(path, f"line {number} stands before any [section]")]
        case ParsingError(errors=errors):  # the line itself is not shown: it may hold a password
            for number, _ in errors:
                lines[number - 1] = ""
            return [
                _fault(path, f"line {number} is neither [section] nor key = value")
                for number, _ in errors
            ]
        case _:  # reading knows no other
            raise error


def _fault(path: Path, message: str) -> Problem:
    return Problem(path, None, None, message)


def _entries(parser: RawConfigParser, path: Path, section: str) -> dict[str, Entry]:
    return {
        key: Entry(unquoted(text), path, section)
        for key, text in parser.items(section)
        if not key.startswith(_DOUBLE)
    }


def _included(main: _File, common: Section) -> list[Path]:
    """What lies in the configured folder; if it cannot be told, that is a problem of `common`."""
    key = "configuration_files_directory"
    folder: Path | None = common.values.get(key)
    if folder is None:
        return []
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix == ".conf")
    except OSError as error:
        common.problems.append(
            common.entries[key].problem(key, f"{folder} cannot be read: {error.strerror}")
        )
        return []
    # Hidden ones are what editors leave; the main file may lie in the same folder.
    return [
        file
        for file in files
        if not file.name.startswith(".") and file.resolve() != main.path.resolve()
    ]


# ------------------------------------------------------------------------------- sections to values


def _judge_global(main: _File) -> Section:
    present = {name: main.sections[name] for name in GLOBAL_SECTIONS if name in main.sections}
    common = judge_global(main.path, present)
    if main.faults and not present:  # what could not be read may well have been there
        common.problems.clear()
    common.problems += [double for double in main.doubles if double.section in GLOBAL_SECTIONS]
    return common


def _judge_servers(files: Iterable[_File], common: Section, follow: FollowLinks) -> list[Section]:
    judged: list[Section] = []
    for file in files:
        for name, entries in file.sections.items():
            if name in GLOBAL_SECTIONS or is_model(entries):
                continue
            server = judge_server(name, file.path, entries, common)
            # A file whose grammar is broken may have its lines in the wrong sections.
            server.problems += file.faults
            server.problems += [double for double in file.doubles if double.section == name]
            judged.append(server)
    return judge_together(judged, common, follow)


def _faults(files: Iterable[_File]) -> list[Problem]:
    return [fault for file in files for fault in file.faults]


def _strays(files: Sequence[_File]) -> list[Problem]:
    """Global sections outside the main file, which is the first one."""
    message = f"has no effect in this file: it belongs in {files[0].path}"
    return [
        Problem(file.path, name, None, message)
        for file in files[1:]
        for name in GLOBAL_SECTIONS
        if name in file.sections
    ]


def _models(files: Iterable[_File]) -> list[Problem]:
    return [
        Problem(file.path, name, "model", "models are not carried: the section is ignored")
        for file in files
        for name, entries in file.sections.items()
        if name not in GLOBAL_SECTIONS and is_model(entries)
    ]


def _problems(sections: Iterable[Section]) -> list[Problem]:
    return [problem for section in sections for problem in section.problems]


def _warnings(sections: Iterable[Section]) -> list[Problem]:
    return [warning for section in sections for warning in section.warnings]
