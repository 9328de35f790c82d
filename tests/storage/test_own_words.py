"""What small files of a data directory say of themselves."""

from pathlib import Path

import google_crc32c
import pytest

from barmand.model.pgdata import demanded_folders, mapped_places
from barmand.storage.own_words import OwnWords, is_node_map_whole
from support.postgres import Cluster


def node_map(length: int, crc_at: int) -> bytes:
    head = (0x592717).to_bytes(4, "little").ljust(crc_at, b"\x07")
    return (head + google_crc32c.value(head).to_bytes(4, "little")).ljust(length, b"\0")


@pytest.mark.parametrize(("length", "crc_at"), [(512, 504), (524, 520)])
def test_each_byte_of_a_node_map_counts(length: int, crc_at: int) -> None:
    content = node_map(length, crc_at)
    assert is_node_map_whole(content)
    for at in range(crc_at + 4):
        assert not is_node_map_whole(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    assert not is_node_map_whole(content[:-1])
    assert not is_node_map_whole(b"")


def test_a_real_cluster_lacks_nothing(cluster: Cluster) -> None:
    data = cluster.data
    words = OwnWords(int(cluster.psql("SHOW server_version_num")))
    assert list(words.lacking(data, has_manifest=False)) == []
    names = [path for path in data.rglob("*") if path.name in ("PG_VERSION", "pg_filenode.map")]
    assert len(names) >= 6
    for path in names:
        name = str(path.relative_to(data))
        assert words.can_judge(name)
        assert words.complaint(name, path.read_bytes()) is None


def test_the_version_is_told(tmp_path: Path) -> None:
    words = OwnWords(150018)
    assert words.complaint("PG_VERSION", b"14\n")
    assert words.complaint("PG_VERSION", b"")
    assert words.complaint("base/5/PG_VERSION", b"") is None
    assert OwnWords(90624).complaint("PG_VERSION", b"9.6\n") is None
    assert tmp_path / "pg_xact" in set(words.lacking(tmp_path, has_manifest=True))
    assert "pg_clog" in demanded_folders(90624)
    assert demanded_folders(0) == frozenset()


def test_places_are_compared() -> None:
    assert mapped_places("16385 /a\\\nb\n7 /c d\n") == {16385: "/a\nb", 7: "/c d"}
    words = OwnWords(150018, {7: "/c d"})
    assert words.complaint("tablespace_map", b"7 /c d\n") is None
    assert words.complaint("tablespace_map", b"7 /c e\n")
    assert words.complaint("tablespace_map", b"")
