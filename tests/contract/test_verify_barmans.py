"""A backup that real Barman has taken, adopted: looked through, and given the manifest it lacks.

BARMAND_TEST_BARMAN names the program, of Barman 3.17 or later.
"""

import getpass
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from barmand.model.backup import Backup
from barmand.model.order import Checksums
from barmand.model.proof import Proof, Verdict
from barmand.service.stopping import StopFlag
from support.damaging import damaged
from support.housed import Housed, Told, housed
from support.postgres import Cluster

BARMAN = os.environ.get("BARMAND_TEST_BARMAN", "")

pytestmark = pytest.mark.skipif(not Path(BARMAN).is_file(), reason="BARMAND_TEST_BARMAN is not set")


@pytest.fixture
def adopted(make_cluster: Callable[..., Cluster], folder: Path) -> Iterator[tuple[Housed, Backup]]:
    """Both programs keep the server `main` in the same folder."""
    cluster = make_cluster(archive_mode="on", archive_command="true")
    cluster.psql("CREATE TABLE here AS SELECT g FROM generate_series(1, 5000) g; CHECKPOINT")
    with housed(cluster, folder, backup_method="local-rsync") as bench:
        take(cluster, folder)
        assert bench.kit.rebuild.run() == 1
        (backup,) = bench.catalog.backups.of_server("main")
        yield bench, backup


def take(cluster: Cluster, folder: Path) -> None:
    config = folder / "barman.conf"
    config.write_text(
        f"[barman]\nbarman_user = {getpass.getuser()}\nbarman_home = {folder}/home\n"
        f"log_file = {folder}/barman.log\nconfiguration_files_directory = {folder}/none\n"
        f"[main]\ndescription = main\nconninfo = {cluster.conninfo}\nbackup_method = local-rsync\n"
        "backup_options = concurrent_backup\narchiver = on\n"
        f"path_prefix = {cluster.bindir}\n"
    )
    environment = {"HOME": str(folder), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    cluster.psql("SELECT pg_switch_wal()")
    for words in (["cron"], ["backup", "--immediate-checkpoint", "--wait", "main"]):
        done = subprocess.run(
            [BARMAN, "-c", config, *words],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=120,
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def verified(bench: Housed, backup: Backup) -> Proof:
    return bench.kit.verify.run(backup, actor="tester", stop=StopFlag(), report=Told())


def test_it_is_whole_its_damage_is_named_and_it_is_given_a_manifest(
    adopted: tuple[Housed, Backup],
) -> None:
    bench, backup = adopted
    proof = verified(bench, backup)
    assert (proof.verdict, proof.flaws) == (Verdict.WHOLE, ())
    assert any("without a manifest" in note for note in proof.notes)

    pages = bench.data(backup) / bench.cluster.psql("SELECT pg_relation_filepath('here')")
    with damaged(pages, "flipped", at=8192 + 4000):
        proof = verified(bench, backup)
        assert {(flaw.file, flaw.blocks) for flaw in proof.flaws} == {(str(pages), (1,))}
    content = pages.read_bytes()
    pages.unlink()
    assert any("bytes together" in flaw.what for flaw in verified(bench, backup).flaws)
    pages.write_bytes(content)

    bench.kit.make_manifest.run(backup, Checksums.SHA256, stop=StopFlag(), report=Told())
    proof = verified(bench, backup)
    assert proof.verdict is Verdict.WHOLE
    assert not any("manifest" in note for note in proof.notes)
    settings = bench.data(backup) / "postgresql.conf"  # no page: only a manifest can tell
    with damaged(settings, "flipped"):
        assert str(settings) in {flaw.file for flaw in verified(bench, backup).flaws}
