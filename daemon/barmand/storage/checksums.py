"""The checksums that a backup's manifest holds, looked up by path, in little memory."""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path

from barmand.storage.manifest import Algorithm, digest, read_checksums
from barmand.storage.pace import Stop
from barmand.storage.vectors import np

_KEY_BYTES = 16


class Checksums:
    """A path is known by 128 bits of its hash: a million files with CRC32C take 30 MB.

    Two paths with the same key are not to be expected in the life of the universe, so the paths
    themselves are not kept.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]], algorithm: Algorithm) -> None:
        records = bytearray()
        for path, checksum in pairs:
            records += _key(path)
            records += bytes.fromhex(checksum)
        sum_bytes = len(bytes.fromhex(digest(algorithm).hex()))
        fields = [("key", "<u8"), ("rest", "<u8"), ("sum", "u1", (sum_bytes,))]
        table = np.frombuffer(records, dtype=np.dtype(fields))
        self._table = table[np.argsort(table["key"])]
        self._keys = np.ascontiguousarray(self._table["key"])

    def get(self, path: str) -> str | None:
        """In hex."""
        key = _key(path)
        first = np.uint64(int.from_bytes(key[:8], "little"))
        rest = int.from_bytes(key[8:], "little")
        for index in self._places(first):
            if int(self._table["rest"][index]) == rest:
                return bytes(self._table["sum"][index]).hex()
        return None

    def __len__(self) -> int:
        return len(self._keys)

    def _places(self, key: np.uint64) -> Iterator[int]:
        index = int(np.searchsorted(self._keys, key))
        while index < len(self._keys) and self._keys[index] == key:
            yield index
            index += 1


NO_CHECKSUMS = Checksums((), Algorithm.CRC32C)


def checksums_in(data: Path, algorithm: Algorithm, stop: Stop) -> Checksums:
    """What the manifest of the copy in `data` tells; empty without one. Raises Stopped."""
    return Checksums(read_checksums(data, algorithm, stop), algorithm)


def _key(path: str) -> bytes:
    return blake2b(path.encode(errors="surrogateescape"), digest_size=_KEY_BYTES).digest()
