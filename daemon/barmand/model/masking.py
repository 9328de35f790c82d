"""Secrets that hide in text: in commands, in URLs, wherever an administrator may have put one.

In doubt it hides too much. What is known to be a secret is hidden wherever it turns up.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from barmand.model.secret import MASK

_WORDS = (
    r"pass(?!file)|pwd|secret|token|credential|api[_-]?key|access[_-]?key|private[_-]?key|signature"
)
_VALUE = r"\"[^\"]*\"|'(?:\\.|[^'\\])*'|[^\s,;&\"']+"
_ASSIGNED = re.compile(rf"((?:[\w-]*(?:{_WORDS})[\w-]*)[\"']?\s*[=:]\s*)({_VALUE})", re.IGNORECASE)
_OPTION = re.compile(rf"(--[\w-]*(?:{_WORDS})[\w-]*\s+)({_VALUE})", re.IGNORECASE)
_IN_URL = re.compile(r"(\w://[^\s:/@]*:)[^\s]*@")
_BEARER = re.compile(r"\b(bearer|basic)(\s+)[\w.~+/=-]{8,}", re.IGNORECASE)
_SHORT = re.compile(r"(\bsshpass\s+-p\s*|\bcurl\b[^|;]*?\s-u\s*[^\s:]+:)(\S+)")
LEAST_LENGTH = 4
"""A shorter secret turns up by chance everywhere, and hiding it would tell which it is."""


def without_secrets(text: str, known: Iterable[str] = ()) -> str:
    for secret in sorted(known, key=len, reverse=True):
        if len(secret) >= LEAST_LENGTH:
            text = text.replace(secret, MASK)
    text = _IN_URL.sub(rf"\1{MASK}@", text)
    text = _ASSIGNED.sub(rf"\1{MASK}", text)
    text = _OPTION.sub(rf"\1{MASK}", text)
    text = _BEARER.sub(rf"\1\2{MASK}", text)
    return _SHORT.sub(rf"\1{MASK}", text)


def hidden(value: Any, known: frozenset[str]) -> Any:
    """The same for every text in a value that JSON can hold."""
    match value:
        case str():
            return without_secrets(value, known)
        case Mapping():
            return {key: hidden(each, known) for key, each in value.items()}
        case list() | tuple():
            return [hidden(each, known) for each in value]
        case _:
            return value
