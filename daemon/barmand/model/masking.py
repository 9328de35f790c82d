"""Secrets that hide in text: in commands, in URLs, wherever an administrator may have put one.

In doubt it hides too much. What is known to be a secret is hidden wherever it turns up.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from barmand.model.secret import MASK

_WORDS = (
    r"pass(?!file)|pwd|proxy-(?:auth|user)|secret|token|credential"
    r"|api[_-]?key|access[_-]?key|private[_-]?key|signature"
)
_VALUE = r"\"[^\"]*\"|'(?:\\.|[^'\\])*'|[^\s,;&\"']+"
_NAME_OF_A_FILE = r"(?<=/)[\w.-]+[\"']?:[ ]+[a-z][a-z/'-]*[ ]+[^\s]"
"""The end of a path, and words: `/srv/secret: Permission denied`, and no `password: xyz`."""
_ASSIGNED = re.compile(
    rf"(?<![\w.-])(?!{_NAME_OF_A_FILE})([\w.-]*(?:{_WORDS})[\w-]*[\"']?\s*[=:]\s*)({_VALUE})",
    re.IGNORECASE,
)
_OPTION = re.compile(rf"(--[\w-]*(?:{_WORDS})[\w-]*\s+)({_VALUE})", re.IGNORECASE)
_IN_URL = re.compile(r"(\w://[^\s:/@]*:)(\S*)(?=@)")
_AUTHORIZED = re.compile(
    rf"(\b(?:bearer|basic)\s+(?=[\w.~+/=-]{{8}})"
    rf"|\b(?!{_NAME_OF_A_FILE})authorization\s*[:=]\s*(?:\w+\s+)?)([\w.~+/=*-]+)",
    re.IGNORECASE,
)
_SHORT = re.compile(
    r"(\bsshpass\b[^|;\n]*?\s-p\s*|\b(?:mysql|mariadb)\w*\b[^|;\n]*?\s-p"
    r"|\bcurl\b[^|;\n]*?\s-[uU]\s*[\"']?[^\s:\"']+:)"
    r"(\"[^\"]*\"|'[^']*'|[^\s|;&\"']+)"
)
_PIPED = re.compile(
    r"(\b(?:echo|printf)\s+(?:-\w+\s+)*)([^|;&\n]+?)"
    r"(?=\s*\|[^|;&\n]*(?:--pass|-pass\b|password-stdin|-stdin\b|sudo\s+-S))"
)
"""A secret that is handed to the next program's standard input."""
LEAST_LENGTH = 4
"""A shorter secret turns up by chance everywhere, and hiding it would tell which it is."""
_LEAST_GUESSED = 6
_PATTERNS = (_IN_URL, _AUTHORIZED, _PIPED, _ASSIGNED, _OPTION, _SHORT)
"""Each has what is left as it is, and the secret behind it."""


def without_secrets(text: str, known: Iterable[str] = ()) -> str:
    for secret in sorted(known, key=len, reverse=True):
        if len(secret) >= LEAST_LENGTH:
            text = text.replace(secret, MASK)
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\1{MASK}", text)
    return text


def secrets_in(text: str) -> frozenset[str]:
    """What is hidden in a command, to be hidden also where its program prints it.

    A variable or a path is no secret itself, and a short word turns up by chance.
    """
    found = [match[2].strip("\"'") for pattern in _PATTERNS for match in pattern.finditer(text)]
    return frozenset(
        each for each in found if len(each) >= _LEAST_GUESSED and each[0] not in "$/*<"
    )


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
