"""A check as a monitoring plugin tells it: one line, performance data, four exit codes.

Source: the Monitoring Plugins Development Guidelines.
"""

from __future__ import annotations

import sys

from barmand.ctl.check_pages import FAILED, WARNING, worst

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from barmand.model.errors import Failure

    Json = dict[str, Any]

UNKNOWN = 3
NOT_FOUND = 3
"""NotFound's own number: an unknown server is a plugin's wrong argument."""
WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
HINT_CHARACTERS = 200
MOST_CHARACTERS = 2000
"""Of the sentence: agents carry no more than some thousand bytes."""


class NagiosView:
    def note(self, note: Json) -> None:
        """A plugin has one line, and nobody who watches."""

    def result(self, result: Json) -> int:
        servers = [*result["servers"]]
        if worst(result["daemon"]) != "OK":
            servers.append({"server": "barmand itself", "findings": result["daemon"]})
        code = _code(servers, result["exit_code"])
        told = _alone(servers[0]) if len(servers) == 1 else _many(servers)
        data = _measures(result) if len(result["servers"]) == 1 else _sums(result)
        return _print(code, told, data)

    def failed(self, failure: Failure) -> int:
        hint = f" ({failure.hint})" if failure.hint else ""
        return _print(UNKNOWN, f"{failure.message}{hint}", "")

    def interrupted(self) -> None:
        """Who ended us reads no line."""


def _print(code: int, told: str, data: str) -> int:
    line = f"BARMAND {WORDS[code]} - {_clean(told, MOST_CHARACTERS)}"
    sys.stdout.write(f"{line} | {data}\n" if data else f"{line}\n")
    return code


def _code(servers: list[Json], exit_code: int) -> int:
    failed = [server for server in servers if worst(server["findings"]) == FAILED]
    if exit_code == NOT_FOUND and len(failed) == 1:
        return UNKNOWN
    if failed:
        return 2
    return int(any(worst(server["findings"]) == WARNING for server in servers))


def _alone(server: Json) -> str:
    findings = server["findings"]
    told = [
        f"{finding['level']} {finding['name']}: {_clean(finding['hint'], HINT_CHARACTERS)}"
        for level in (FAILED, WARNING)
        for finding in findings
        if finding["level"] == level
    ]
    return f"{server['server']}: {'; '.join(told) or f'{len(findings)} checks are OK'}"


def _many(servers: list[Json]) -> str:
    told = []
    for level in (FAILED, WARNING):
        named = [
            f"{server['server']} ({', '.join(_names(server, level))})"
            for server in servers
            if worst(server["findings"]) == level
        ]
        told += [f"{len(named)} {level}: {', '.join(named)}"] if named else []
    return "; ".join(told) or f"{len(servers)} servers are OK"


def _names(server: Json, level: str) -> list[str]:
    return [each["name"] for each in server["findings"] if each["level"] == level]


def _measures(result: Json) -> str:
    (server,) = result["servers"]
    data = [_datum("seconds", result["seconds"], "s")]
    for finding in (*server["findings"], *result["daemon"]):
        measure = finding["measure"]
        if measure is not None:
            ends = [_end(measure[end], measure["least"]) for end in ("warning", "critical")]
            data.append(_datum(measure["label"], measure["value"], measure["unit"], *ends))
    return " ".join(data)


def _sums(result: Json) -> str:
    servers = result["servers"]
    levels = [worst(server["findings"]) for server in servers]
    return " ".join(
        [
            _datum("servers", len(servers), ""),
            _datum("ok", levels.count("OK"), ""),
            _datum("warning", levels.count(WARNING), "", "0"),
            _datum("failed", levels.count(FAILED), "", "", "0"),
            _datum("seconds", result["seconds"], "s"),
        ]
    )


def _datum(label: str, value: float, unit: str, warning: str = "", critical: str = "") -> str:
    return f"{label}={_number(value)}{unit};{warning};{critical}".rstrip(";")


def _end(limit: float | None, is_least: bool) -> str:
    if limit is None:
        return ""
    return f"{_number(limit)}:" if is_least else _number(limit)


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if value % 1 else str(int(value))


def _clean(text: str, most: int) -> str:
    """On one line, and without the bar that ends the sentence."""
    line = " ".join(text.replace("|", "/").split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
