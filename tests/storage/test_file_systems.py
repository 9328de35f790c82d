"""A file system that packs, or shares blocks, may take fewer bytes than a copy has."""

from pathlib import Path

import pytest

from barmand.storage.file_systems import keeps_byte_for_byte

MOUNTS = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /srv rw - zfs pool/srv rw
31 30 8:17 / /srv/plain rw master:2 - xfs /dev/sdb1 rw
32 22 0:41 / /mnt/with\040blank rw - fuse.sshfs far rw
33 22 8:33 / /twice rw - ext4 /dev/sdc1 rw
34 22 0:42 / /twice rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "copied", "by_the_kernel"),
    [
        ("/var/lib/barman", True, True),
        ("/srv/barman", False, False),
        ("/srvother", True, True),
        ("/srv/plain/base", True, False),
        ("/mnt/with blank/base", False, False),
        ("/twice", True, True),
    ],
)
def test_the_mount_nearest_above_tells(
    tmp_path: Path, path: str, *, copied: bool, by_the_kernel: bool
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert keeps_byte_for_byte(Path(path), by_the_kernel=False, mounts=mounts) is copied
    assert keeps_byte_for_byte(Path(path), by_the_kernel=True, mounts=mounts) is by_the_kernel


def test_where_nobody_can_say_it_is_not_sure(tmp_path: Path) -> None:
    assert not keeps_byte_for_byte(Path("/"), by_the_kernel=False, mounts=tmp_path / "none")
