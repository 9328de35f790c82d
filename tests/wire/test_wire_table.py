"""docs/protocol.md names each method, and says who may use it."""

import re
from pathlib import Path

from barmand.wire.methods import METHODS

PROTOCOL = Path(__file__).parents[2] / "docs" / "protocol.md"
_ROW = re.compile(r"^\| `([\w-]+)` \|.*\| `(\w+)`[^|]*\| (yes|no) \|$", re.MULTILINE)


def test_the_table_has_every_method_with_its_result_and_its_right() -> None:
    told = {
        name: (result, right == "yes") for name, result, right in _ROW.findall(PROTOCOL.read_text())
    }
    assert told == {name: (kind.result.__name__, kind.is_look) for name, kind in METHODS.items()}
