"""Page checksums: we and PostgreSQL must be of one mind."""

import struct
from functools import reduce
from operator import xor
from pathlib import Path

import pytest

from barmand.model.pgdata import RelationFile
from barmand.storage.pages import _BASES, PAGE_BYTES, WrongPage, wrong_pages, wrong_pages_each
from support.postgres import Cluster

BASES = [int(base) for base in _BASES]
UPPER = (14, 15)
LSN = range(8)


def judge(data: bytes | bytearray, first: int) -> list[int]:
    """Indexes of the wrong ones."""
    return [page.block - first for page in wrong_pages(data, first)]


def checksum(page: bytes, block: int) -> int:
    """As PostgreSQL's checksum_impl.h tells it, word by word."""
    words = list(struct.unpack("<2048I", page))
    words[2] &= 0xFFFF0000
    sums = list(BASES)
    for at, word in enumerate([*words, *([0] * 64)]):
        mixed = sums[at % 32] ^ word
        sums[at % 32] = (mixed * 16_777_619 & 0xFFFFFFFF) ^ (mixed >> 17)
    return (reduce(xor, sums) ^ block) % 65_535 + 1


def sealed(page: bytes, block: int) -> bytes:
    """The page with its right checksum."""
    return page[:8] + struct.pack("<H", checksum(page, block)) + page[10:]


@pytest.fixture(scope="module")
def page() -> bytes:
    """A page of block 0, last written at LSN 2/100."""
    body = bytes((7 * n + n // 251) % 256 for n in range(PAGE_BYTES - 24))
    return sealed(struct.pack("<IIHHHHHHI", 2, 0x100, 0, 0, 24, 24, 8192, 8196, 0) + body, 0)


def relations(data: Path) -> list[tuple[Path, int]]:
    found = []
    for path in data.rglob("*"):
        relation = RelationFile.of(str(path.relative_to(data)))
        if relation is not None and path.stat().st_size:
            found.append((path, relation.first_block))
    return found


def test_every_page_of_a_real_cluster_is_fine(cluster: Cluster) -> None:
    cluster.pgbench_init(2)
    cluster.psql("VACUUM FREEZE")
    cluster.psql(
        "CREATE TABLE odd AS SELECT repeat(md5(n::text), 50) FROM generate_series(1, 2000) AS n;"
        "CREATE INDEX ON pgbench_accounts (abalance)"
    )
    cluster.stop()
    files = relations(cluster.data)
    assert len(files) > 500
    judged = {path.name: judge(path.read_bytes(), first) for path, first in files}
    assert {name: bad for name, bad in judged.items() if bad} == {}


def test_postgresql_finds_the_same_page_bad(cluster: Cluster) -> None:
    cluster.psql("CREATE TABLE odd AS SELECT repeat(md5(n::text), 5) FROM"
                 " generate_series(1, 2000) AS n")  # fmt: skip
    path = cluster.data / cluster.psql("SELECT pg_relation_filepath('odd')")
    cluster.stop()
    content = bytearray(path.read_bytes())
    content[5 * PAGE_BYTES + 4321] ^= 1
    path.write_bytes(content)
    assert judge(content, 0) == [5]
    cluster.start()
    with pytest.raises(RuntimeError, match="invalid page in block 5 "):
        cluster.psql("SELECT count(*) FROM odd")


def test_each_byte_that_flips_is_found(page: bytes) -> None:
    """But where a flip lands on the same 16 bits."""
    missed = []
    for at in range(PAGE_BYTES):
        flipped = bytearray(page)
        flipped[at] ^= 0x10
        if not judge(flipped, 0):
            missed.append(at)
    assert len(missed) <= 2  # one flip in 65,535 does
    assert not set(missed) & {*LSN, *UPPER, 8, 9}


def test_a_page_at_another_block_is_wrong(page: bytes) -> None:
    assert judge(page, 0) == []
    assert judge(page, 1) == [0]
    assert judge(page + page, 0) == [1]


def test_a_wrong_page_tells_when_it_was_written(page: bytes) -> None:
    torn = page[:4096] + bytes(4096)
    assert wrong_pages(page + torn, 41) == [
        WrongPage(41, 0x2_0000_0100),
        WrongPage(42, 0x2_0000_0100),
    ]
    assert wrong_pages(torn, 0) == [WrongPage(0, 0x2_0000_0100)]


def test_a_page_that_was_never_used_is_fine() -> None:
    assert wrong_pages(bytes(3 * PAGE_BYTES), 0) == []


def test_a_page_whose_head_was_zeroed_is_wrong(page: bytes) -> None:
    """PostgreSQL reads no page that says it is new and is not empty (PageIsVerified)."""
    assert wrong_pages(bytes(24) + page[24:], 0) == [WrongPage(0, 0)]
    assert wrong_pages(bytes(PAGE_BYTES - 1) + b"\1", 7) == [WrongPage(7, 0)]


def test_blocks_go_on_in_the_second_file_of_a_relation(page: bytes) -> None:
    relation = RelationFile.of("base/5/16390.1")
    assert relation is not None
    far = sealed(page, 131_072)
    assert judge(far, relation.first_block) == []
    assert judge(far, 0) == [0]


def test_the_last_block_of_all_has_its_number_too(page: bytes) -> None:
    last = 0xFFFF_FFFE
    assert judge(sealed(page, last), last) == []


@pytest.mark.parametrize("cut", [0, 1, PAGE_BYTES - 1])
def test_a_piece_of_a_page_is_not_judged(page: bytes, cut: int) -> None:
    assert judge(page[:cut], 0) == []
    assert judge(page + page[:cut], 0) == []


def test_many_files_are_judged_at_once_as_each_alone(page: bytes) -> None:
    bad = page[:-1] + b"?"
    far = 131_072
    several = [
        (page + bad, 0),
        (b"", 7),
        (sealed(page, far) + sealed(page, far + 1)[:-1] + b"?" + page[:100], far),
        (page[:500], 0),
        (sealed(page, 3), 3),
        (bad + bytes(PAGE_BYTES) + bad, 9),
    ]
    alone = [wrong_pages(data, first) for data, first in several]
    assert wrong_pages_each(several) == alone
    assert [[each.block for each in found] for found in alone] == [
        *([1], [], [far + 1], [], [], [9, 11])
    ]
    assert wrong_pages_each([]) == []
    assert wrong_pages_each([(b"", 0), (page[:9], 1)]) == [[], []]
