"""What each version of PostgreSQL can pack is known before it is asked to."""

import pytest

from barmand.model.compression import Algorithm, Compression, Format, Location

BUILT = ["pglz", "lz4", "zstd", "on", "off"]
SERVER = Location.SERVER


def complaint(
    algorithm: Algorithm,
    location: Location = Location.CLIENT,
    *,
    client: int = 15,
    server: int = 15,
    words: list[str] | None = BUILT,
) -> str | None:
    compression = Compression(algorithm=algorithm, location=location)
    return compression.complaint(client, server, words)


@pytest.mark.parametrize("location", Location)
@pytest.mark.parametrize("algorithm", Algorithm)
def test_postgresql_15_can_do_everything(algorithm: Algorithm, location: Location) -> None:
    assert complaint(algorithm, location) is None


@pytest.mark.parametrize("algorithm", [Algorithm.NONE, Algorithm.GZIP])
def test_an_old_client_packs_with_gzip_or_not_at_all(algorithm: Algorithm) -> None:
    assert complaint(algorithm, client=14, server=14, words=None) is None


@pytest.mark.parametrize("algorithm", [Algorithm.LZ4, Algorithm.ZSTD])
def test_an_old_client_cannot_do_more(algorithm: Algorithm) -> None:
    words = complaint(algorithm, client=14, server=14, words=None)
    assert words is not None
    assert words.startswith(f"{algorithm} needs pg_basebackup 15, here is 14")


def test_a_new_client_packs_what_an_old_server_sends() -> None:
    assert complaint(Algorithm.ZSTD, client=15, server=12, words=None) is None


@pytest.mark.parametrize(("client", "server"), [(14, 14), (15, 14), (14, 15)])
def test_the_server_packs_only_where_both_are_new(client: int, server: int) -> None:
    words = complaint(Algorithm.GZIP, SERVER, client=client, server=server, words=None)
    assert words is not None
    assert f"the server has {server}, pg_basebackup {client}" in words


def test_a_server_built_without_the_algorithm_is_told_by_its_words() -> None:
    assert complaint(Algorithm.ZSTD, SERVER, words=["pglz", "lz4"]) == (
        "the server was built without zstd"
    )
    assert complaint(Algorithm.ZSTD, words=["pglz"]) is None  # the client packs
    assert complaint(Algorithm.GZIP, SERVER, words=["pglz"]) is None  # its words do not name it


def test_what_lies_on_disk_has_barmans_word() -> None:
    packed = Compression(algorithm=Algorithm.NONE)
    plain = Compression(algorithm=Algorithm.ZSTD, location=SERVER, format=Format.PLAIN)
    assert (packed.stored, plain.stored) == ("none", None)
