"""A check as a monitoring plugin tells it: read by a parser that is as strict as the guidelines."""

import re
from dataclasses import dataclass, field

import pytest

from barmand.ctl.main import run
from barmand.wire.check_messages import CheckReply, FindingView, MeasureView
from ctl import samples
from ctl.conftest import Tell

FINE = samples.finding("PostgreSQL", "OK", "version 150018")
SLOW = samples.finding("clock", "WARNING", "see to NTP")
BAD = samples.finding("WAL gaps", "FAILED", "3 segment(s) missing")

LINE = re.compile(r"BARMAND (OK|WARNING|CRITICAL|UNKNOWN) - ([^|\n]+?)(?: \| ([^|\n]+))?\n")
NUMBER = r"-?[0-9]+(?:\.[0-9]+)?"
RANGE = rf"@?(?:(?:~|{NUMBER})?:)?(?:{NUMBER})?"
DATUM = re.compile(
    rf"('(?:[^'=]|'')+'|[^\s'=]+)=({NUMBER})(s|us|ms|%|B|KB|MB|TB|c)?"
    rf"(?:;({RANGE}))?(?:;({RANGE}))?(?:;({NUMBER})?)?(?:;({NUMBER})?)?"
)


@dataclass
class Plugin:
    """What a monitoring system reads."""

    word: str
    told: str
    data: dict[str, tuple[float, str, str, str]] = field(default_factory=dict)


def parse(output: str) -> Plugin:
    line = LINE.fullmatch(output)
    assert line is not None, output
    data = {}
    for word in (line[3] or "").split():
        datum = DATUM.fullmatch(word)
        assert datum is not None, word
        data[datum[1]] = (float(datum[2]), datum[3] or "", datum[4] or "", datum[5] or "")
    return Plugin(line[1], line[2], data)


def reply(*findings: FindingView, exit_code: int = 0, daemon: FindingView = FINE) -> CheckReply:
    check = samples.server_check(*findings)
    return CheckReply(servers=[check], daemon=[daemon], seconds=0.5, exit_code=exit_code)


@pytest.mark.parametrize(
    ("findings", "code", "word", "told"),
    [
        ([FINE], 0, "OK", "main: 1 checks are OK"),
        ([FINE, SLOW], 1, "WARNING", "main: WARNING clock: see to NTP"),
        (
            [SLOW, FINE, BAD],
            2,
            "CRITICAL",
            "main: FAILED WAL gaps: 3 segment(s) missing; WARNING clock: see to NTP",
        ),
    ],
)
def test_the_worst_finding_decides(
    tell: Tell, findings: list[FindingView], code: int, word: str, told: str
) -> None:
    ended, out, err = tell("check main --nagios", reply(*findings, exit_code=5))
    assert (ended, err) == (code, "")
    plugin = parse(out)
    assert (plugin.word, plugin.told) == (word, told)
    assert plugin.data == {"seconds": (0.5, "s", "", "")}


def test_numbers_are_performance_data(tell: Tell) -> None:
    def measured(label: str, value: float, unit: str, **ends: float | None) -> FindingView:
        measure = MeasureView(
            label=label,
            value=value,
            unit=unit,
            warning=ends.get("warning"),
            critical=ends.get("critical"),
            least="least" in ends,
        )
        return samples.finding(label, "OK", "", measure)

    _, out, _ = tell(
        "check main --nagios",
        reply(
            measured("slot_wal", 3 << 30, "B", warning=8 << 30, critical=12.5),
            measured("free", 70, "B", critical=64, least=1),
            measured("missing_wals", 0, "", critical=0),
            daemon=measured("state_free", 9, "B"),
        ),
    )
    assert parse(out).data == {
        "seconds": (0.5, "s", "", ""),
        "slot_wal": (3 << 30, "B", "8589934592", "12.5"),
        "free": (70, "B", "", "64:"),
        "missing_wals": (0, "", "", "0"),
        "state_free": (9, "B", "", ""),
    }


def test_of_many_servers_the_sick_ones_are_named(tell: Tell) -> None:
    servers = [
        samples.server_check(FINE, server="well"),
        samples.server_check(FINE, SLOW, server="late"),
        samples.server_check(BAD, SLOW, server="lost"),
    ]
    code, out, _ = tell(
        "check all --nagios", CheckReply(servers=servers, daemon=[FINE], seconds=7.5, exit_code=5)
    )
    plugin = parse(out)
    assert (code, plugin.word) == (2, "CRITICAL")
    assert plugin.told == "1 FAILED: lost (WAL gaps); 1 WARNING: late (clock)"
    assert plugin.data["servers"][0] == 3
    assert plugin.data["seconds"][0] == 7.5  # of the whole answer, not of its slowest server
    assert plugin.data["failed"] == (1, "", "", "0")
    assert plugin.data["warning"] == (1, "", "0", "")


def test_many_well_servers_are_a_short_line(tell: Tell) -> None:
    servers = [samples.server_check(FINE, server=f"s{number}") for number in range(200)]
    code, out, _ = tell(
        "check all --nagios", CheckReply(servers=servers, daemon=[FINE], seconds=7.5)
    )
    assert (code, parse(out).told) == (0, "200 servers are OK")


def test_barmands_own_state_counts(tell: Tell) -> None:
    full = samples.finding("state directory", "FAILED", "full")
    code, out, _ = tell("check main --nagios", reply(FINE, daemon=full, exit_code=5))
    assert code == 2
    assert parse(out).told == "1 FAILED: barmand itself (state directory)"


def test_what_would_end_the_line_is_taken_out_and_a_long_story_is_cut(tell: Tell) -> None:
    odd = samples.finding("ssh", "FAILED", "said | nothing\nand " + "x" * 10_000)
    _, out, _ = tell("check main --nagios", reply(odd, exit_code=5))
    plugin = parse(out)
    assert plugin.told.startswith("main: FAILED ssh: said / nothing and xx")
    assert plugin.told.endswith("…")
    assert len(out) < 4000


def test_an_unknown_server_is_a_wrong_argument(tell: Tell) -> None:
    unknown = samples.finding("configuration", "FAILED", "no server 'x' is configured")
    code, out, _ = tell("check x --nagios", reply(unknown, exit_code=3))
    assert (code, parse(out).word) == (3, "UNKNOWN")


@pytest.mark.parametrize("words", [["check", "--nagios"], ["check", "main", "--nagios", "--bogus"]])
def test_a_wrong_command_is_unknown(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 3
    assert parse(capsys.readouterr().out).word == "UNKNOWN"


def test_a_daemon_that_is_not_there_is_unknown(
    tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--socket", f"{tmp_path}/nobody", "check", "main", "--nagios"]) == 3
    plugin = parse(capsys.readouterr().out)
    assert plugin.word == "UNKNOWN"
    assert "no daemon" in plugin.told or "nobody" in plugin.told
