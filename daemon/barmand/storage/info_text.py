"""Barman's backup.info as text.

`key=value` lines, sorted; None is a word, lists and dictionaries are Python's literals. Barman
refuses a file with a key that it does not know, so there are exactly its own: a long list, each
read and written here.
"""

import ast
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from barmand.model.backup import Backup, Cluster, Copied, Reason, Status, Tablespace
from barmand.model.naming import ID_FORMAT
from barmand.model.wal import (
    DEFAULT_SEGMENT_SIZE,
    SEGMENT_SIZES,
    Segment,
    format_lsn,
    needed_between,
    parse_lsn,
)

T = TypeVar("T")

_HIDDEN_WHEN_NONE = ("backup_name", "snapshots_info")
_UNFINISHED = ("EMPTY", "STARTED", "SYNCING")
_INTERRUPTED = Reason("Stopped", "interrupted", "Delete it, and take a new backup.")


# ---------------------------------------------------------------------------------------- encode


_MODES = {
    "rsync": "rsync-concurrent",
    "local-rsync": "local-rsync-concurrent",
    "local": "local-rsync-concurrent",
}
"""Barman's word for what lies there after such a copy; ours is on the card."""
_METHODS = {"rsync-concurrent": "rsync", "local-rsync-concurrent": "local-rsync"}


def encode(backup: Backup) -> str:
    """ValueError for a queued backup: on disk it does not exist yet."""
    fields = {
        "backup_name": backup.name,
        "server_name": backup.server,
        "status": _status_word(backup),
        "error": None if backup.reason is None else backup.reason.message,
        "mode": _MODES.get(backup.method, backup.method),
        "compression": backup.compression,
        "encryption": backup.encryption,
        "parent_backup_id": backup.parent_id,
        "children_backup_ids": ",".join(backup.children_ids) or None,
        "snapshots_info": backup.snapshots,
        **_of_cluster(backup.cluster),
        **_of_copied(backup),
    }
    return "".join(
        f"{key}={_text(value)}\n"
        for key, value in sorted(fields.items())
        if value is not None or key not in _HIDDEN_WHEN_NONE
    )


def _status_word(backup: Backup) -> str:
    """Barman has no word for DELETING; its mark says it, and the status stays what it was."""
    match backup.status:
        case Status.QUEUED:
            raise ValueError(f"backup {backup.id} is only queued")
        case Status.DELETING if backup.reason is not None:
            return Status.FAILED
        case Status.DELETING:
            return Status.WAITING_FOR_WALS if backup.ended_at is None else Status.DONE
        case status:
            return status


def _of_cluster(cluster: Cluster | None) -> dict[str, object]:
    if cluster is None:
        return dict.fromkeys(_CLUSTER_KEYS)
    spaces = [(space.name, space.oid, space.location) for space in cluster.tablespaces]
    return {
        "systemid": cluster.system_id or None,
        "version": cluster.version,
        "xlog_segment_size": cluster.segment_size,
        "pgdata": cluster.pgdata,
        "config_file": cluster.config_file,
        "hba_file": cluster.hba_file,
        "ident_file": cluster.ident_file,
        "included_files": list(cluster.included_files) or None,
        "tablespaces": spaces or None,
        "cluster_size": cluster.size,
        "data_checksums": cluster.data_checksums,
        "summarize_wal": cluster.summarize_wal,
    }


def _of_copied(backup: Backup) -> dict[str, object]:
    copied = backup.copied
    if copied is None:
        return dict.fromkeys(_COPIED_KEYS)
    size = DEFAULT_SEGMENT_SIZE if backup.cluster is None else backup.cluster.segment_size
    needed = needed_between(copied.timeline, copied.begin_lsn, copied.end_lsn, size)
    return {
        "timeline": copied.timeline,
        "begin_xlog": format_lsn(copied.begin_lsn),
        "begin_wal": Segment(needed.timeline, needed.first).name(size),
        "begin_offset": copied.begin_lsn % size,
        "begin_time": copied.begin_time,
        "end_xlog": format_lsn(copied.end_lsn),
        "end_wal": Segment(needed.timeline, needed.last).name(size),
        "end_offset": copied.end_lsn % size,
        "end_time": copied.end_time,
        "backup_label": repr(copied.backup_label),
        "size": copied.size,
        "deduplicated_size": copied.deduplicated_size,
        "copy_stats": {
            "copy_time": copied.copy_seconds,
            "number_of_workers": copied.workers,
            "total_time": copied.copy_seconds,
        },
    }


_CLUSTER_KEYS = (
    *("systemid", "version", "xlog_segment_size", "pgdata", "config_file", "hba_file"),
    *("ident_file", "included_files", "tablespaces", "cluster_size", "data_checksums"),
    "summarize_wal",
)
_COPIED_KEYS = (
    *("timeline", "begin_xlog", "begin_wal", "begin_offset", "begin_time", "end_xlog", "end_wal"),
    *("end_offset", "end_time", "backup_label", "size", "deduplicated_size", "copy_stats"),
)


def _text(value: object) -> str:
    if isinstance(value, str):
        return re.sub(r"[\r\n]+", " ", value).strip()
    return str(value)


# ---------------------------------------------------------------------------------------- decode


def decode(text: str, server: str, backup_id: str) -> Backup:
    """ValueError names the line. What Barman left unfinished is FAILED, "interrupted"."""
    fields = _Fields.read(text)
    status = fields.demand("status", _status)
    copied = _copied(fields)
    if copied is None and status is not Status.FAILED:
        raise ValueError(f"{status}, but without a beginning and an end")
    mode = fields.get("mode", str) or ""
    queued_at = datetime.strptime(backup_id, ID_FORMAT).astimezone()  # local time, as the id is
    end_time = None if copied is None else copied.end_time
    return Backup(
        server=server,
        id=backup_id,
        status=status,
        method=_METHODS.get(mode, mode),
        name=fields.get("backup_name", str),
        queued_at=queued_at,
        started_at=fields.get("begin_time", _moment),
        copied_at=end_time,
        ended_at=end_time if status is Status.DONE else None,
        cluster=_cluster(fields),
        copied=copied,
        reason=_reason(fields) if status is Status.FAILED else None,
        compression=fields.get("compression", str),
        encryption=fields.get("encryption", str),
        parent_id=fields.get("parent_backup_id", str),
        children_ids=fields.get("children_backup_ids", _children) or (),
        snapshots=fields.get("snapshots_info", str),
    )


@dataclass(frozen=True, slots=True)
class _Fields:
    """Each key's line number and text."""

    lines: dict[str, tuple[int, str]]

    @staticmethod
    def read(text: str) -> "_Fields":
        lines: dict[str, tuple[int, str]] = {}
        for number, line in enumerate(text.split("\n"), start=1):
            if not line.strip() or line.startswith("#"):
                continue
            key, equals, value = line.partition("=")
            if not equals:
                raise ValueError(f"line {number}: not key=value: {line[:80]!r}")
            lines[key.strip()] = (number, value.strip())
        return _Fields(lines)

    def get(self, key: str, parse: Callable[[str], T]) -> T | None:
        number, text = self.lines.get(key, (0, "None"))
        if text in ("None", ""):
            return None
        try:
            return parse(text)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
            raise ValueError(f"line {number}: {key}: {error}") from error

    def demand(self, key: str, parse: Callable[[str], T]) -> T:
        value = self.get(key, parse)
        if value is None:
            raise ValueError(f"it has no {key}")
        return value


def _cluster(fields: _Fields) -> Cluster | None:
    version, pgdata = fields.get("version", int), fields.get("pgdata", str)
    if version is None or pgdata is None:
        return None
    return Cluster(
        system_id=fields.get("systemid", str) or "",
        version=version,
        segment_size=fields.get("xlog_segment_size", _segment_size) or DEFAULT_SEGMENT_SIZE,
        pgdata=pgdata,
        config_file=fields.get("config_file", str),
        hba_file=fields.get("hba_file", str),
        ident_file=fields.get("ident_file", str),
        included_files=fields.get("included_files", _paths) or (),
        tablespaces=fields.get("tablespaces", _tablespaces) or (),
        size=fields.get("cluster_size", int),
        data_checksums=fields.get("data_checksums", str),
        summarize_wal=fields.get("summarize_wal", str),
    )


def _copied(fields: _Fields) -> Copied | None:
    if fields.get("end_xlog", parse_lsn) is None or fields.get("end_time", _moment) is None:
        return None
    size = fields.get("size", int) or 0
    copy_seconds, workers = fields.get("copy_stats", _copy_stats) or (0.0, 1)
    return Copied(
        timeline=fields.demand("timeline", int),
        begin_lsn=fields.demand("begin_xlog", parse_lsn),
        begin_time=fields.demand("begin_time", _moment),
        end_lsn=fields.demand("end_xlog", parse_lsn),
        end_time=fields.demand("end_time", _moment),
        backup_label=fields.get("backup_label", _label) or "",
        size=size,
        deduplicated_size=_or_else(fields.get("deduplicated_size", int), size),
        copy_seconds=copy_seconds,
        workers=workers,
    )


def _reason(fields: _Fields) -> Reason:
    if fields.demand("status", str) in _UNFINISHED:
        return _INTERRUPTED
    return Reason("ToolFailed", fields.get("error", str) or "failed, for a reason not recorded")


def _status(text: str) -> Status:
    if text in _UNFINISHED:
        return Status.FAILED
    if text in (Status.DONE, Status.FAILED, Status.WAITING_FOR_WALS):
        return Status(text)
    raise ValueError(f"not a status: {text!r}")


def _segment_size(text: str) -> int:
    if int(text) not in SEGMENT_SIZES:
        raise ValueError(f"no cluster has segments of {text} bytes")
    return int(text)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.astimezone() if moment.tzinfo is None else moment


def _children(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(","))


def _label(text: str) -> str:
    return str(ast.literal_eval(text))


def _paths(text: str) -> tuple[str, ...]:
    return tuple(str(path) for path in ast.literal_eval(text))


def _tablespaces(text: str) -> tuple[Tablespace, ...]:
    spaces = ast.literal_eval(text)
    return tuple(Tablespace(str(name), int(oid), str(place)) for name, oid, place in spaces)


def _copy_stats(text: str) -> tuple[float, int]:
    """Seconds and workers; Barman reads JSON here too."""
    try:
        stats = json.loads(text)
    except ValueError:
        stats = ast.literal_eval(text)
    if not isinstance(stats, dict):
        raise TypeError("not a dictionary")
    seconds = _or_else(stats.get("copy_time"), stats.get("total_time"))
    return float(_or_else(seconds, 0.0)), int(_or_else(stats.get("number_of_workers"), 1))


def _or_else(value: T | None, default: T) -> T:
    return default if value is None else value
