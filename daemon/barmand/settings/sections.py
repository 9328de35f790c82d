"""One section at a time: its texts become values, problems and warnings."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from barmand.model.compression import Compression
from barmand.model.order import MAX_RATE, MIN_RATE, Reuse
from barmand.model.packing import Packer, packing_of
from barmand.model.retention_policy import Redundancy
from barmand.settings import schedule_lines
from barmand.settings.directories import (
    FollowLinks,
    complaints,
    followed,
    links_unknown,
    places_of,
)
from barmand.settings.schema import (
    GLOBAL_SECTIONS,
    NOT_CARRIED,
    BackupMethod,
    DaemonSettings,
    Option,
    Problem,
    ServerSettings,
    find_not_carried,
    options,
)
from barmand.settings.values import TRUE, refuse_unreadable, server_name

_DAEMON = options(DaemonSettings)
_SERVER = options(ServerSettings)
_INHERITABLE = {key: option for key, option in _SERVER.items() if not option.doc.is_server_only}
_UNSAFE = {key: missing for key, missing in NOT_CARRIED.items() if missing.is_unsafe}
_COMPRESSION_PREFIX = "backup_compression_"
_COMPRESSION = [key for key in _SERVER if key.startswith(_COMPRESSION_PREFIX)]


@dataclass(frozen=True, slots=True)
class Entry:
    """The text of an option, and where it stands."""

    text: str
    file: Path
    section: str

    def problem(self, key: str, message: str) -> Problem:
        return Problem(self.file, self.section, key, message)


@dataclass(slots=True)
class Section:
    """One section while it is judged; the values are complete only when there is no problem."""

    name: str
    file: Path
    entries: Mapping[str, Entry]
    # The texts of values that were read: what derived defaults are made of.
    texts: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def problem(self, key: str | None, message: str) -> None:
        self.problems.append(Problem(self.file, self.name, key, message))

    def warn(self, key: str, message: str) -> None:
        """The warning stands where the option does: once, however many servers inherit it."""
        origin = self.entries.get(key, Entry("", self.file, self.name))
        self.warnings.append(origin.problem(key, message))

    def resolve(self, carried: Iterable[Option]) -> None:
        """Each value is what is written, else derived from others, else the default."""
        for option in carried:
            entry = self.entries.get(option.key) or self._derived(option)
            if entry is not None:
                self._read(option, entry)
            elif option.is_required:
                self.problem(option.key, "is required")
            elif option.derived is None:
                self.values[option.key] = option.default

    def _derived(self, option: Option) -> Entry | None:
        text = option.derived.text(self.texts) if option.derived else None
        return None if text is None else Entry(text, self.file, self.name)

    def _read(self, option: Option, entry: Entry) -> None:
        try:
            if not option.kind.has_lines:
                refuse_unreadable(entry.text)
            self.values[option.key] = option.read(entry.text)
        except ValueError as error:
            self.problems.append(entry.problem(option.key, str(error)))
        else:
            self.texts[option.key] = entry.text


def is_model(entries: Mapping[str, Entry]) -> bool:
    return "model" in entries and entries["model"].text.lower() in TRUE


def judge_global(file: Path, present: Mapping[str, Mapping[str, Entry]]) -> Section:
    """The global sections as one: a later one overrides. Its values are the daemon's alone."""
    entries = {key: entry for section in present.values() for key, entry in section.items()}
    common = Section([*GLOBAL_SECTIONS, *present][-1], file, entries)
    if not present:
        message = "there is no [barmand] or [barman] section"
        common.problems.append(Problem(file, None, None, message))
        return common
    common.resolve(option for key, option in _INHERITABLE.items() if key in entries)
    common.values.clear()
    common.resolve(_DAEMON.values())
    for key in entries:
        if key in _SERVER and key not in _INHERITABLE:
            common.warn(key, "has no effect here: it belongs in the section of a server")
        elif key not in _DAEMON and key not in _SERVER:
            _judge_foreign(common, key)
    return common


def judge_server(name: str, file: Path, own: Mapping[str, Entry], common: Section) -> Section:
    inherited = {
        key: entry for key, entry in common.entries.items() if key in _INHERITABLE or key in _UNSAFE
    }
    home = {key: text for key, text in common.texts.items() if key == "barman_home"}
    server = Section(name, file, {**inherited, **own}, texts=home)
    try:
        server.texts["name"] = server.values["name"] = server_name(name)
    except ValueError as error:
        server.problem(None, str(error))
    server.resolve(_SERVER.values())
    for key in own:
        if key in _DAEMON:
            server.problem(key, "belongs in the [barmand] section")
        elif key not in _SERVER:
            _judge_foreign(server, key)
    _refuse_unsafe(server)
    _judge_method(server)
    schedule_lines.judge(server.values, server.problem, server.warn)
    _judge_compression(server)
    _judge_packing(server)
    _judge_archivers(server)
    _judge_retention(server)
    return server


def judge_together(
    servers: Iterable[Section], common: Section, follow: FollowLinks
) -> list[Section]:
    """What is wrong only because of another section; the result is in the order of names."""
    by_name: defaultdict[str, list[Section]] = defaultdict(list)
    for server in servers:
        by_name[server.name].append(server)
    single = [_one_of(by_name[name]) for name in sorted(by_name)]
    _judge_directories(single, common, follow)
    return single


# ----------------------------------------------------------------------------------------- one word


def _judge_foreign(section: Section, key: str) -> None:
    """A word that is none of ours: Barman's, or nobody's."""
    missing = find_not_carried(key)
    if missing is None:
        section.problems.append(section.entries[key].problem(key, _unknown(key)))
    elif not missing.is_unsafe and not missing.is_harmless(
        section.entries[key].text, section.texts
    ):
        section.warn(key, f"is not carried: {missing.reason}")


def _unknown(key: str) -> str:
    if key[0] in "@*0123456789":
        return "is no option: the lines of a schedule have no comment or empty line between them"
    close = get_close_matches(key, [*_DAEMON, *_SERVER, *NOT_CARRIED], n=1, cutoff=0.7)
    return f"unknown option, did you mean {close[0]}?" if close else "unknown option"


# --------------------------------------------------------------------------------------- one server


def _refuse_unsafe(server: Section) -> None:
    """What the file asks for and we would silently not do is worse than no backup at all."""
    for key, missing in _UNSAFE.items():
        entry = server.entries.get(key)
        if entry is not None and not missing.is_harmless(entry.text, server.texts):
            server.problem(key, f"{entry.text!r} is not carried by this version: {missing.reason}")


def _judge_method(server: Section) -> None:
    values = server.values
    match values.get("backup_method"):
        case BackupMethod.POSTGRES:
            _judge_postgres(server)
        case BackupMethod.RSYNC if values.get("ssh_command") is None and "ssh_command" in values:
            given = "" if "backup_method" in server.entries else " (Barman's default)"
            server.problem("ssh_command", f"is required by backup_method = rsync{given}")
        case BackupMethod.LOCAL | BackupMethod.LOCAL_RSYNC:
            if values.get("ssh_command") is not None:
                server.warn("ssh_command", "has no effect: the copy is local")
        case BackupMethod.SNAPSHOT:
            server.problem("backup_method", "'snapshot' is not carried: barmand copies to disks")
        case _:
            return


def _judge_postgres(server: Section) -> None:
    values = server.values
    if values.get("parallel_jobs", 1) > 1:
        server.warn("parallel_jobs", "has no effect: pg_basebackup copies in one stream")
    for key in ("reuse_backup", "network_compression", "tablespace_bandwidth_limit"):
        if values.get(key, Reuse.OFF) not in (Reuse.OFF, False, ()):
            server.problem(key, "is not possible with backup_method = postgres")
    limit = values.get("bandwidth_limit")
    if limit is not None and not MIN_RATE <= limit <= MAX_RATE:
        server.problem("bandwidth_limit", f"pg_basebackup takes {MIN_RATE} to {MAX_RATE} KiB/s")


def _judge_compression(server: Section) -> None:
    values = server.values
    if not {"backup_method", "backup_compression", *_COMPRESSION} <= values.keys():
        return  # what could not be read is the problem to tell
    algorithm = values["backup_compression"]
    if algorithm is None:
        for key in _COMPRESSION:
            if key in server.entries and values[key] != _SERVER[key].default:
                server.warn(key, "has no effect without backup_compression")
    elif values["backup_method"] is not BackupMethod.POSTGRES:
        server.problem("backup_compression", "is only possible with backup_method = postgres")
    else:
        compression = Compression(
            **{key.removeprefix(_COMPRESSION_PREFIX): values[key] for key in _COMPRESSION},
            algorithm=algorithm,
        )
        for field_name, message in compression.problems():
            server.problem(f"{_COMPRESSION_PREFIX}{field_name}", message)


def _judge_packing(server: Section) -> None:
    values = server.values
    if not {"compression", "compression_level"} <= values.keys():
        return  # what could not be read is the problem to tell
    packer = values["compression"] or Packer.NONE
    if packer is Packer.CUSTOM:
        values["compression"] = Packer.NONE
        server.warn("compression", "is not carried: custom. WAL is stored as it comes")
        return
    try:
        packing_of(packer, values["compression_level"])
    except ValueError as error:
        server.problem("compression_level", str(error))


def _judge_archivers(server: Section) -> None:
    values = server.values
    is_streaming = values.get("streaming_archiver", True)
    if not is_streaming and not values.get("archiver", True):
        values["archiver"] = True
        server.warn("archiver", "is taken as on, because streaming_archiver is off as well")
    if is_streaming and "slot_name" in values and values["slot_name"] is None:
        server.warn("slot_name", "is not set: WAL can be lost while the receiver is away")


def _judge_retention(server: Section) -> None:
    policy, least = server.values.get("retention_policy"), server.values.get("minimum_redundancy")
    if isinstance(policy, Redundancy) and least is not None and least > policy.count:
        server.warn(
            "minimum_redundancy",
            f"{least} is more than retention_policy = {policy} keeps: the newest {least} stay",
        )


# ------------------------------------------------------------------------------------- all together


def _one_of(twins: list[Section]) -> Section:
    """Of sections with one name in several files, none can be believed."""
    first = twins[0]
    files = ", ".join(str(twin.file) for twin in twins)
    for twin in twins if len(twins) > 1 else ():
        twin.problem(None, f"is a section of more than one file: {files}")
    first.problems = [problem for twin in twins for problem in twin.problems]
    return first


def _judge_directories(servers: Sequence[Section], common: Section, follow: FollowLinks) -> None:
    by_name = {server.name: server for server in servers}
    written = places_of(common.values, {name: each.values for name, each in by_name.items()})
    places, silent = followed(written, follow)
    for complaint in complaints(places):
        by_name[complaint.server].problem(complaint.option, complaint.message)
    if silent:
        common.warnings.append(Problem(common.file, None, None, links_unknown(silent)))
