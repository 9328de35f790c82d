"""Barman's words for packed WAL, and its levels."""

import pytest

from barmand.model.packing import Effort, Format, Packer, Packing, packing_of


@pytest.mark.parametrize(
    ("packer", "low", "medium", "high"),
    [
        (Packer.GZIP, 1, 6, 9),
        (Packer.PIGZ, 1, 6, 9),
        (Packer.BZIP2, 1, 5, 9),
        (Packer.XZ, 1, 3, 5),
        (Packer.ZSTD, 1, 4, 9),
        (Packer.LZ4, 0, 6, 10),
    ],
)
def test_the_words_for_levels_are_barmans(packer: Packer, low: int, medium: int, high: int) -> None:
    packings = [packing_of(packer, effort) for effort in Effort]
    assert [each and each.level for each in packings] == [low, medium, high]


@pytest.mark.parametrize(
    ("packer", "form"),
    [
        (Packer.PIGZ, Format.GZIP),
        (Packer.PYGZIP, Format.GZIP),
        (Packer.PYBZIP2, Format.BZIP2),
        (Packer.SNAPPY, Format.SNAPPY),
    ],
)
def test_several_words_mean_one_format(packer: Packer, form: Format) -> None:
    packing = packing_of(packer, Effort.LOW)
    assert packing is not None
    assert packing.format is form


def test_a_number_is_a_level() -> None:
    assert packing_of(Packer.ZSTD, -22) == Packing(Format.ZSTD, -22)


@pytest.mark.parametrize(("packer", "level"), [(Packer.GZIP, 0), (Packer.LZ4, 17), (Packer.XZ, 10)])
def test_a_level_that_the_format_has_not_is_refused(packer: Packer, level: int) -> None:
    with pytest.raises(ValueError, match=f"{level}: .* takes"):
        packing_of(packer, level)


@pytest.mark.parametrize("packer", [Packer.NONE, Packer.CUSTOM])
def test_nothing_is_packed_without_a_format(packer: Packer) -> None:
    assert packing_of(packer, 99) is None
