"""What hooks look like to a person: pages, by command."""

from __future__ import annotations

from barmand.ctl.words import moment, span, told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.pages import Page, View

_LINES = 40


def tested(result: View) -> Page:
    from barmand.ctl.pages import Facts  # noqa: PLC0415 - most commands draw no page

    environment = sorted(result["environment"].items())
    verdict: dict[str, str | list[str]] = {
        "command": result["command"],
        "ended": f"{result['words']}, after {span(result['seconds'])}",
        "verdict": f"{result['outcome']}: {result['meaning']}",
        "output": _output(result["output"]) or "none",
    }
    return [
        Facts("Environment", {name: value or "(empty)" for name, value in environment}),
        Facts(f"{result['server']}: {result['hook']}", verdict),
    ]


def runs(result: View) -> Page:
    from barmand.ctl.pages import Facts, Table  # noqa: PLC0415 - most commands draw no page

    if not result["runs"]:
        return [f"{result['server']}: no hook was run"]
    rows = [
        [
            moment(run["started_at"]),
            run["hook"] + (" (test)" if run["test"] else ""),
            run["subject"],
            str(run["attempt"]),
            run["outcome"],
            told(run["exit_code"]),
            span(run["seconds"]),
        ]
        for run in result["runs"]
    ]
    headings = "STARTED | HOOK | OF | >ATTEMPT | OUTCOME | >EXIT | >TOOK"
    page: Page = [Table(headings, rows, result["server"])]
    last = result["runs"][0]
    if last["output"]:
        title = f"Output of the last one, {last['hook']}"
        page.append(Facts(title, {"ended": last["words"], "output": _output(last["output"])}))
    return page


def _output(text: str) -> list[str]:
    lines = text.splitlines()
    if len(lines) <= _LINES:
        return lines
    return [f"[cut: the last {_LINES} lines; `-f json` has more]", *lines[-_LINES:]]


PAGES = {
    "hook-test": tested,
    "hook-runs": runs,
}
