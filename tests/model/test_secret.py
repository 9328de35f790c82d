"""A conninfo shows itself without its password, and tells it only when asked."""

import copy
import json
import pickle
from dataclasses import FrozenInstanceError, asdict, dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barmand.model.secret import Conninfo


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("host=pg user=barman", "host=pg user=barman"),
        ("host=pg password=s3cret user=barman", "host=pg password=*** user=barman"),
        ("password = 's3 cret' host=pg", "password=*** host=pg"),
        (r"password='it\'s s3cret' host=pg", "password=*** host=pg"),
        (r"password=s3\ cret host=pg", "password=*** host=pg"),
        (r"password=s3cret\\ host=pg", "password=*** host=pg"),
        ("password='s3cret host=pg", "password=***"),
        ("password='s3cret\\", "password=***"),
        ("PassWord=s3cret", "PassWord=***"),
        ("sslpassword=s3cret sslkey=/k", "sslpassword=*** sslkey=/k"),
        ("oauth_client_secret=s3cret", "oauth_client_secret=***"),
        ("scram_client_key=s3cret", "scram_client_key=***"),
        ("passfile=/home/barman/.pgpass", "passfile=/home/barman/.pgpass"),
        ("password= s3cret host=pg", "password=*** host=pg"),
        ("password=half s3cret host=pg", "password=*** *** host=pg"),
        ("dbname='host=pg password=s3cret'", "dbname=***"),
        ("dbname=postgres://u:s3cret@pg", "dbname=***"),
        ("dbname=postgres", "dbname=postgres"),
        ("host=pg pasword=s3cret", "host=pg pasword=***"),
        ("host=pg pwd=s3cret", "host=pg pwd=***"),
        ("options='-c x.password=s3cret'", "options=***"),
        ("sslmode=require application_name=a", "sslmode=require application_name=a"),
        ("", ""),
    ],
)
def test_the_password_among_words_is_masked(text: str, masked: str) -> None:
    assert Conninfo(text).masked == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://pg/db", "postgresql://pg/db"),
        ("postgresql://pg:5432/db?connect_timeout=3", "postgresql://pg:5432/db?connect_timeout=3"),
        ("postgresql://barman@pg:5432,pg2:5432/db", "postgresql://barman@pg:5432,pg2:5432/db"),
        ("postgresql://barman:s3cret@pg/db", "postgresql://barman:***@pg/db"),
        ("postgres://barman:s3/cr?e@t@pg/db", "postgres://barman:***@pg/db"),
        ("postgresql://pg/db?pasword=s3cret", "postgresql://pg/db?pasword=***"),
        ("postgresql://pg/db?options=-c%20x%3Ds3cret", "postgresql://pg/db?options=***"),
        ("postgresql://pg/password%3Ds3cret", "postgresql://pg/***"),
        ("postgresql:///?dbname=password%3Ds3cret", "postgresql:///?dbname=***"),
        ("postgresql://:s3cret@pg", "postgresql://:***@pg"),
        ("postgresql://pg/db?user=a&password=s3cret", "postgresql://pg/db?user=a&password=***"),
        ("postgresql:///db?pass%77ord=s3cret&user=a", "postgresql:///db?pass%77ord=***&user=a"),
    ],
)
def test_the_password_in_a_uri_is_masked(text: str, masked: str) -> None:
    assert Conninfo(text).masked == masked


@dataclass(frozen=True)
class Holder:
    conninfo: Conninfo


def test_no_common_way_of_showing_a_value_shows_the_password() -> None:
    secret = Conninfo("host=pg password=s3cret")
    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret:>60}",
        f"{secret!r}",
        repr(Holder(secret)),
        str(asdict(Holder(secret))),
        json.dumps(asdict(Holder(secret)), default=str),
        msgspec.json.encode(Holder(secret), enc_hook=str).decode(),
    ]
    assert all("s3cret" not in text and "***" in text for text in shown)


def test_it_is_told_when_asked() -> None:
    assert Conninfo("host=pg password=s3cret").reveal() == "host=pg password=s3cret"


def test_it_is_a_value() -> None:
    one = Conninfo("password=a")
    assert one == Conninfo("password=a")
    assert one != Conninfo("password=b")
    assert one != "password=a"
    assert len({one, Conninfo("password=a")}) == 1


def test_it_is_frozen() -> None:
    one = Conninfo("host=a")
    with pytest.raises(FrozenInstanceError):
        one._text = "host=b"  # type: ignore[misc, unused-ignore]  # what we forbid
    with pytest.raises(FrozenInstanceError):
        del one._text
    assert one.reveal() == "host=a"


def test_a_copy_holds_the_same() -> None:
    one = Conninfo("host=a password=b")
    assert copy.deepcopy(one) == one
    assert copy.copy(one) == one
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301 - our own bytes


@given(st.text(min_size=1, max_size=20))
def test_whatever_the_password_is_its_quoted_form_is_masked(password: str) -> None:
    escaped = password.replace("\\", "\\\\").replace("'", "\\'")
    shown = Conninfo(f"host=pg password='{escaped}' user=barman").masked
    assert shown == "host=pg password=*** user=barman"
