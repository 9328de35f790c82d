"""synchronous_standby_names, in all its forms."""

import pytest

from barmand.model.standby_names import names_us

US = "barman_receive_wal"


@pytest.mark.parametrize(
    "setting",
    [
        US,
        f"other, {US}",
        f"1 ({US})",
        f"FIRST 2 (other, {US}, third)",
        f'any 1 (  "{US}" )',
        US.upper(),
        "*",
        "ANY 1 (*)",
    ],
)
def test_it_names_us(setting: str) -> None:
    assert names_us(setting, US)


@pytest.mark.parametrize(
    "setting", ["", "other", f"{US}2", f"FIRST 1 (my_{US})", f'"a {US}"', "FIRST 1 (other)"]
)
def test_it_names_others(setting: str) -> None:
    assert not names_us(setting, US)


def test_a_quoted_name_may_hold_quotes_and_commas() -> None:
    assert names_us('FIRST 1 ("a ""b"", c")', 'a "b", c')
