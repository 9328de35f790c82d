"""A conninfo that hides its password wherever it is shown."""

import re
from dataclasses import FrozenInstanceError
from typing import Never
from urllib.parse import unquote

MASK = "***"

# What libpq knows and nobody need hide. Any other keyword may be a misspelt "password", or a secret
# of a newer libpq; `options` may hold settings of any kind.
_HARMLESS = frozenset(
    {
        *("host", "hostaddr", "port", "dbname", "user", "passfile", "service", "servicefile"),
        *("application_name", "fallback_application_name", "client_encoding"),
        *("connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval"),
        *("keepalives_count", "tcp_user_timeout", "replication", "target_session_attrs"),
        *("load_balance_hosts", "channel_binding", "require_auth", "requirepeer", "sslmode"),
        *("requiressl", "ssl", "sslnegotiation", "sslcompression", "sslcert", "sslkey"),
        *("sslcertmode", "sslrootcert", "sslcrl", "sslcrldir", "sslsni", "sslkeylogfile"),
        *("ssl_min_protocol_version", "ssl_max_protocol_version", "min_protocol_version"),
        *("max_protocol_version", "gssencmode", "krbsrvname", "gsslib", "gssdelegation"),
        *("oauth_issuer", "oauth_client_id", "oauth_scope"),
    }
)

_URI = re.compile(r"\s*postgres(?:ql)?://", re.IGNORECASE)
# In doubt it hides too much: the password reaches to the last @, even if that one is elsewhere.
_URI_PASSWORD = re.compile(r"(//[^:@/?]*):.*@", re.DOTALL)
_URI_SECRET = re.compile(r"//[^:@/?]*:([^@/?]*)@", re.DOTALL)
_URI_DATABASE = re.compile(r"(//[^/?]*/)([^?]*)")
_URI_PARAMETER = re.compile(r"([?&])([^=&]*)=([^&]*)")

# key = value, where the value may be quoted and anything in it escaped; or else a stray word.
_PAIR = re.compile(
    r"([^\s=]+)\s*=\s*('(?:\\.?|[^'\\])*'?|(?:\\.?|[^\s\\])*)|\S+",
    re.DOTALL,
)


class Conninfo:
    """What libpq needs to connect: `key=value` words or a `postgresql://` URI.

    Not a dataclass: `asdict` and JSON encoders would lay it open. Only `reveal` does.
    """

    __slots__ = ("_text",)
    _text: str

    def __init__(self, text: str) -> None:
        object.__setattr__(self, "_text", text)

    def reveal(self) -> str:
        """The whole text, password included: for libpq only."""
        return self._text

    @property
    def masked(self) -> str:
        if _URI.match(self._text):
            text = _URI_PASSWORD.sub(rf"\1:{MASK}@", self._text)
            text = _URI_DATABASE.sub(_mask_database, text, count=1)
            return _URI_PARAMETER.sub(_mask_parameter, text)
        return _PAIR.sub(_mask_pair, self._text)

    @property
    def secrets(self) -> frozenset[str]:
        """All that is masked in it, as it stands there and as libpq reads it."""
        if _URI.match(self._text):
            told = [found[1] for found in _URI_SECRET.finditer(self._text)]
            told += [
                found[3]
                for found in _URI_PARAMETER.finditer(self._text)
                if _hides(unquote(found[2]), unquote(found[3]))
            ]
            inner = [_inner_secrets(unquote(each)) for each in told]
            return frozenset({*told, *map(unquote, told)}.union(*inner) - {""})
        pairs = [found for found in _PAIR.finditer(self._text) if found[1] is not None]
        told = [found[2] for found in pairs if _hides(found[1], _plain(found[2]))]
        inner = [_inner_secrets(_plain(each)) for each in told]
        return frozenset({*told, *map(_plain, told)}.union(*inner) - {""})

    def __str__(self) -> str:
        return self.masked

    def __repr__(self) -> str:
        return f"Conninfo({self.masked!r})"

    def __format__(self, spec: str) -> str:
        return format(self.masked, spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Conninfo) and self._text == other._text

    def __hash__(self) -> int:
        return hash((Conninfo, self._text))

    def __setattr__(self, name: str, value: object) -> Never:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> Never:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __reduce__(self) -> tuple[type["Conninfo"], tuple[str]]:
        """A copy is made through the constructor: a frozen value cannot be filled in later."""
        return Conninfo, (self._text,)


def _plain(value: str) -> str:
    """Without quotes, and with what was escaped in it as it is."""
    inner = value[1:].removesuffix("'") if value.startswith("'") else value
    return re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL)


def _mask_pair(match: re.Match[str]) -> str:
    key, value = match[1], match[2]
    if key is None:  # a word without a key: perhaps the rest of a password with a blank in it
        return MASK
    return f"{key}={MASK}" if _hides(key, value) else match[0]


def _mask_database(match: re.Match[str]) -> str:
    return f"{match[1]}{MASK}" if _is_nested(unquote(match[2])) else match[0]


def _hides(key: str, value: str) -> bool:
    return key not in _HARMLESS or (key == "dbname" and _is_nested(value))


def _is_nested(database: str) -> bool:
    """Libpq takes a whole conninfo as dbname, too."""
    return "=" in database or "://" in database


def _inner_secrets(value: str) -> frozenset[str]:
    """Of a dbname that is a conninfo itself."""
    return Conninfo(value).secrets if _is_nested(value) else frozenset()


def _mask_parameter(match: re.Match[str]) -> str:
    mark, key = match[1], match[2]
    return f"{mark}{key}={MASK}" if _hides(unquote(key), unquote(match[3])) else match[0]
