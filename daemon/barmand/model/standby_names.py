"""synchronous_standby_names: does it name us?

Source: PostgreSQL documentation, `synchronous_standby_names`: names, perhaps in the parentheses of
`FIRST n (...)`, `ANY n (...)` or `n (...)`; `*` is everybody, case does not count.
"""

import re

_GROUP = re.compile(r"(?is)\s*(?:(?:FIRST|ANY)\s+)?\d+\s*\((?P<names>.*)\)\s*")
_NAME = re.compile(r'"((?:[^"]|"")*)"|([^\s,()"]+)')


def names_us(setting: str, application_name: str) -> bool:
    group = _GROUP.fullmatch(setting)
    names = _NAME.findall(group["names"] if group else setting)
    wanted = application_name.lower()
    return any(
        bare == "*" or (quoted.replace('""', '"') or bare).lower() == wanted
        for quoted, bare in names
    )
