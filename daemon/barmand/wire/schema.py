"""The JSON schema of every message, made from the code: docs/protocol.schema.json."""

import json
import sys
from typing import Any

import msgspec

from barmand.wire.messages import NOTES, PROTOCOL_VERSION, ErrorView
from barmand.wire.methods import METHODS


def document() -> dict[str, Any]:
    """Methods with their params and results, notifications, and the error's data."""
    kinds: list[type] = [ErrorView]
    for kind in METHODS.values():
        kinds += [kind, kind.result]
    kinds += NOTES
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    by_kind = dict(zip(kinds, schemas, strict=True))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "barmand control protocol",
        "version": PROTOCOL_VERSION,
        "methods": {
            name: {"params": by_kind[kind], "result": by_kind[kind.result]}
            for name, kind in sorted(METHODS.items())
        },
        "notifications": {note.method: {"params": by_kind[note]} for note in NOTES},
        "error": {"data": by_kind[ErrorView]},
        "$defs": dict(sorted(components.items())),
    }


def render() -> str:
    return json.dumps(document(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
