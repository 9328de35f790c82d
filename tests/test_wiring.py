"""What a reload changed, told from the settings before and after."""

from pathlib import Path

from barmand.model.changes import OptionChange
from barmand.settings import ini
from barmand.settings.schema import Settings
from barmand.wiring import changes_between

HOOK = "post_backup_script = curl -u barmand:{} https://ring.example/done"


def read(file: Path, server: str) -> Settings:
    file.write_text(
        "[barmand]\nbarman_home = /srv/barman\n"
        f"[main]\nconninfo = host=pg\nbackup_method = postgres\narchiver = on\n{server}\n"
    )
    return ini.read(file)


def changed(folder: Path, before: str, after: str) -> tuple[OptionChange, ...]:
    file = folder / "barmand.ini"
    (change,) = changes_between(read(file, before), read(file, after)).servers
    return change.options


def test_a_secret_in_a_command_is_not_told_of_a_reload(tmp_path: Path) -> None:
    (told,) = changed(tmp_path, "", HOOK.format("s3cret"))
    assert told.option == "post_backup_script"
    assert "s3cret" not in told.after
    assert "curl -u barmand:***" in told.after


def test_another_secret_in_the_same_command_is_told_as_such(tmp_path: Path) -> None:
    (told,) = changed(tmp_path, HOOK.format("s3cret"), HOOK.format("n3wer"))
    assert told.after == "the same with another secret"
