"""rsync: real programs, a real sshd; what it is told, what it says, what that means."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from barmand.model.errors import ConfigInvalid, Stopped, StorageFailed, ToolFailed
from barmand.model.order import Reuse
from barmand.outside.process import Finished
from barmand.outside.rsync import Fetch, Reference, Rsync
from barmand.outside.rsync_files import RsyncFiles
from barmand.outside.rsync_limits import Limits, Shares
from barmand.outside.rsync_trees import Listing, judge_of, loads_of
from barmand.outside.rsync_words import Ending, Entry, Hearing, Judge, unescaped
from barmand.outside.ssh import transport
from barmand.service.stopping import StopFlag
from barmand.storage.data_tree import Tree, is_taken
from support.processes import Process, all_processes, marked
from support.sshd import Sshd
from support.taking import Background
from support.waiting import eventually

STRICT = Judge(concerns=lambda _path: True, may_be_gone=lambda _path: False)
LENIENT = Judge(concerns=lambda _path: True, may_be_gone=lambda _path: True)
ODD_NAMES = (
    "plain",
    " sp ace ",
    "new\nline",
    "#hash",
    ";semi",
    "-dash",
    "b\\#012s",
    "\udcff\udce9",
)


@pytest.fixture
def sshd(folder: Path) -> Iterator[Sshd]:
    made = Sshd(folder / "sshd").start()
    yield made
    made.stop()


@pytest.fixture
def source(folder: Path) -> Path:
    made = folder / "it's [a] source"
    (made / "sub dir").mkdir(parents=True)
    for name in ODD_NAMES:
        (made / "sub dir" / name).write_text(name, errors="surrogateescape")
    return made


@pytest.fixture
def bring(folder: Path) -> Callable[..., Ending]:
    """`bring(rsync, source, names)` fetches them into folder/target."""
    (folder / "beside").mkdir()
    (folder / "target").mkdir()

    def fetch(
        rsync: Rsync,
        source: Path,
        names: tuple[str, ...],
        *,
        judge: Judge = STRICT,
        reference: Reference | None = None,
        stop: StopFlag | None = None,
        limit: int | None = None,
    ) -> Ending:
        (folder / "names").write_bytes(b"".join(os.fsencode(f"./{name}") + b"\0" for name in names))
        files = Fetch(
            source=source,
            target=folder / "target",
            names=folder / "names",
            beside=folder / "beside",
            reference=reference,
            limit=limit,
        )
        return rsync.fetch(
            files,
            judge=judge,
            on_entry=lambda _entry: None,
            on_progress=lambda _bytes: None,
            stop=stop or StopFlag(),
        )

    return fetch


def listed(rsync: Rsync, source: Path, empty: Path) -> tuple[Ending, dict[str, Entry]]:
    empty.mkdir(exist_ok=True)
    found: list[Entry] = []
    ending = rsync.list_tree(
        source, empty, left_out=(), judge=STRICT, on_entry=found.append, stop=StopFlag()
    )
    return ending, {entry.path: entry for entry in found}


@pytest.mark.parametrize("is_remote", [False, True])
def test_any_name_is_listed_and_fetched_byte_for_byte(
    source: Path, folder: Path, bring: Callable[..., Ending], sshd: Sshd, *, is_remote: bool
) -> None:
    rsync = Rsync(ssh=sshd.words if is_remote else None)
    (source / "sub dir" / "plain").chmod(0o640)
    (source / "large").write_bytes(b"x" * 1_234_567)
    ending, found = listed(rsync, source, folder / "empty")
    assert ending.error is None
    paths = {f"sub dir/{name}" for name in ODD_NAMES}
    assert paths <= set(found)
    assert (found["large"].size, found["large"].kind) == (1_234_567, "f")
    assert found["sub dir/"].kind == "d"
    assert not any((folder / "empty").iterdir())
    assert bring(rsync, source, tuple(paths)).error is None
    for path in paths:
        there, here = source / path, folder / "target" / path
        assert here.read_bytes() == there.read_bytes()
        assert here.stat().st_mtime_ns == there.stat().st_mtime_ns
        assert here.stat().st_mode == there.stat().st_mode


def test_a_link_is_followed_and_a_pipe_is_none_of_our_business(source: Path, folder: Path) -> None:
    (source / "link").symlink_to(source / "sub dir/plain")
    (source / "away").symlink_to(source / "sub dir")
    os.mkfifo(source / "pipe")
    ending, found = listed(Rsync(), source, folder / "empty")
    assert ending.error is None
    assert found["link"].kind == "f"
    assert found["away/plain"].kind == "f"
    assert "pipe" not in found


def test_a_link_to_nowhere_is_named(source: Path, folder: Path) -> None:
    (source / "lost").symlink_to("/nowhere/at/all")
    ending, _ = listed(Rsync(), source, folder / "empty")
    assert isinstance(ending.error, ToolFailed)
    assert f"{source}/lost" in ending.error.message
    assert ending.error.hint == "This link points to nothing: mend it, or remove it."
    assert not ending.may_be_retried


def test_the_check_says_what_to_do_about_a_link_to_nowhere(source: Path) -> None:
    (source / "lost").symlink_to("/nowhere/at/all")
    copier = RsyncFiles()
    (finding,) = copier.findings(str(source), StopFlag())
    assert finding.keeps_from_backup
    assert finding.hint.endswith("This link points to nothing: mend it, or remove it.")


def test_what_may_vanish_is_told_as_gone(source: Path, bring: Callable[..., Ending]) -> None:
    ending = bring(Rsync(), source, ("sub dir/plain", "sub dir/dropped"), judge=LENIENT)
    assert ending == Ending(None, gone=frozenset({f"{source}/sub dir/dropped"}))


def test_what_may_not_vanish_is_named(source: Path, bring: Callable[..., Ending]) -> None:
    ending = bring(Rsync(), source, ("sub dir/plain", "gone"))
    assert isinstance(ending.error, ToolFailed)
    assert f"{source}/gone" in ending.error.message
    assert not ending.may_be_retried


def test_an_unreadable_file_is_named_and_not_asked_for_again(
    source: Path, bring: Callable[..., Ending], sshd: Sshd
) -> None:
    (source / "sub dir/plain").chmod(0)
    ending = bring(Rsync(ssh=sshd.words), source, ("sub dir/plain",), judge=LENIENT)
    assert isinstance(ending.error, ToolFailed)
    assert f"{source}/sub dir/plain" in ending.error.message
    assert "Permission denied" in ending.error.message
    assert ending.error.hint is not None
    assert ending.error.hint.startswith("Make it readable for the user that rsync runs as")
    assert "key" not in ending.error.hint
    assert not ending.may_be_retried


def test_a_key_that_the_host_does_not_know_is_told_apart_from_a_file(
    source: Path, bring: Callable[..., Ending], sshd: Sshd
) -> None:
    (sshd.folder / "authorized_keys").write_text("")
    ending = bring(Rsync(ssh=sshd.words), source, ("sub dir/plain",))
    assert isinstance(ending.error, ToolFailed)
    assert "Permission denied (publickey)" in ending.error.message
    assert (ending.error.hint or "").startswith("Add the public key of barmand's user")
    assert not ending.may_be_retried


def test_a_folder_of_ours_that_cannot_be_written_is_a_failure_of_storage(
    source: Path, folder: Path, bring: Callable[..., Ending]
) -> None:
    (folder / "beside").chmod(0o500)
    ending = bring(Rsync(), source, ("sub dir/plain",))
    assert isinstance(ending.error, StorageFailed)
    assert f"{folder}/beside" in ending.error.message
    assert "see to it that it can be written" in (ending.error.hint or "")


def test_an_unknown_host_key_is_refused_whatever_ssh_command_says(
    source: Path, folder: Path, bring: Callable[..., Ending], sshd: Sshd
) -> None:
    sshd.known_hosts.write_text("")
    *words, host = sshd.words
    rsync = Rsync(ssh=(*words, "-o", "StrictHostKeyChecking=no", host))
    ending = bring(rsync, source, ("sub dir/plain",))
    assert isinstance(ending.error, ToolFailed)
    assert "Host key verification failed" in ending.error.message
    assert (ending.error.hint or "").startswith("Add the host's key to ~/.ssh/known_hosts")
    assert f"`ssh-keyscan -p {sshd.port} HOST`" in (ending.error.hint or "")
    assert (ending.error.hint or "").count("Host key verification failed") == 0
    assert not ending.may_be_retried
    assert sshd.known_hosts.read_text() == ""
    assert not any((folder / "target").iterdir())


def test_a_changed_host_key_is_told_from_an_unknown_one(
    source: Path, bring: Callable[..., Ending], sshd: Sshd
) -> None:
    another = (sshd.folder / "key.pub").read_text()
    sshd.known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {another}")
    ending = bring(Rsync(ssh=sshd.words), source, ("sub dir/plain",))
    assert isinstance(ending.error, ToolFailed)
    assert "Host key verification failed" in ending.error.message
    assert (ending.error.hint or "").startswith("The host's key is not the one in known_hosts")
    assert f"`ssh-keygen -R '[HOST]:{sshd.port}'`" in (ending.error.hint or "")
    assert not ending.may_be_retried


def test_a_refused_connection_may_be_tried_again(
    source: Path, bring: Callable[..., Ending], sshd: Sshd
) -> None:
    sshd.stop()
    ending = bring(Rsync(ssh=sshd.words), source, ("sub dir/plain",))
    assert isinstance(ending.error, ToolFailed)
    assert "Connection refused" in ending.error.message
    assert ending.may_be_retried


@pytest.mark.parametrize("frozen", ["host", "connection", "sender"])
def test_a_frozen_connection_ends_by_itself(
    source: Path, bring: Callable[..., Ending], sshd: Sshd, frozen: str
) -> None:
    """Host: sshd accepts and says nothing. Sender: in mid-file, while sshd still answers."""
    (source / "large").write_bytes(os.urandom(20_000_000))
    rsync = Rsync(ssh=sshd.words, silence_seconds=3, connect_seconds=3)
    assert sshd.process is not None
    begun = time.monotonic()
    if frozen == "host":
        os.kill(sshd.process.pid, signal.SIGSTOP)
        ending = bring(rsync, source, ("large",))
    else:
        work = Background(lambda: bring(rsync, source, ("large",), limit=2000))
        eventually(lambda: "rsync --server" in " ".join(p.command for p in sshd.children))
        time.sleep(1)
        for child in sshd.children:
            if frozen == "connection" or "rsync --server" in child.command:
                os.kill(child.pid, signal.SIGSTOP)
        ended = work.wait(20)
        assert isinstance(ended, Ending)
        ending = ended
    assert isinstance(ending.error, ToolFailed)
    assert ending.may_be_retried
    assert time.monotonic() - begun < 12


def test_a_file_that_comes_slowly_is_no_silence(
    source: Path, bring: Callable[..., Ending], sshd: Sshd
) -> None:
    (source / "large").write_bytes(os.urandom(8_000_000))
    rsync = Rsync(ssh=sshd.words, silence_seconds=2)
    assert bring(rsync, source, ("large",), limit=1500).error is None


def test_a_full_disk_of_ours_is_a_failure_of_storage() -> None:
    hearing = Hearing(STRICT, lambda _entry: None, lambda _bytes: None)
    hearing.take("rsync: [sender] write error: Broken pipe (32)")
    hearing.take('rsync: [receiver] write failed on "/x/1": No space left on device (28)')
    error = hearing.ending(Finished(11, ("rsync error: error in file IO (code 11)",))).error
    assert isinstance(error, StorageFailed)
    assert "No space left" in error.message
    assert (error.hint or "").startswith("Free space on the file system of the backups")


def test_one_that_was_killed_tells_no_progress_as_the_reason() -> None:
    hearing = Hearing(STRICT, lambda _entry: None, lambda _bytes: None)
    lines = (
        "|>f+++++++++|9|2026/11/23-05:00:00|rw-------|one|",
        "  15761408  35%  4.69MB/s  0:00:06",
    )
    for line in lines:
        hearing.take(line)
    error = hearing.ending(Finished(-9, lines)).error
    assert isinstance(error, ToolFailed)
    assert error.message == "rsync was killed by signal 9: it gave no reason"
    assert "Out of memory" in (error.hint or "")
    assert "basebackup_retry_times" in (error.hint or "")
    assert hearing.ending(Finished(-15, lines)).error.hint is None


def test_a_file_that_was_linked_is_no_complaint() -> None:
    """rsync fills up with blanks what did not change: many of them hid the reason."""
    entries: list[Entry] = []
    hearing = Hearing(STRICT, entries.append, lambda _bytes: None)
    complaint = 'rsync: [sender] send_files failed to open "/pg/1": Permission denied (13)'
    for number in range(100):
        hearing.take(f"|hf         |9|2026/11/23-05:00:00|rw-------|base/{number}|")
    hearing.take(complaint)
    assert [entry.path for entry in entries] == [f"base/{number}" for number in range(100)]
    assert hearing.complaints == [complaint]


def test_a_hint_does_not_repeat_the_message() -> None:
    hearing = Hearing(STRICT, lambda _entry: None, lambda _bytes: None)
    for number in (1, 2):
        hearing.take(f'rsync: [sender] send_files failed to open "/pg/{number}": I/O error (5)')
    error = hearing.ending(Finished(23, ())).error
    assert isinstance(error, ToolFailed)
    assert '"/pg/1"' in error.message
    assert error.hint == hearing.complaints[1]


def test_a_greeting_of_the_host_is_no_complaint() -> None:
    hearing = Hearing(LENIENT, lambda _entry: None, lambda _bytes: None)
    for line in ("Welcome to db1. Be good.", 'file has vanished: "/pg/base/5/1"'):
        hearing.take(line)
    assert hearing.ending(Finished(24, ())) == Ending(None, gone=frozenset({"/pg/base/5/1"}))


def test_a_file_that_shrank_is_no_fault_but_is_not_gone() -> None:
    hearing = Hearing(LENIENT, lambda _entry: None, lambda _bytes: None)
    hearing.take('rsync: [sender] read errors mapping "/pg/base/5/1": No data available (61)')
    hearing.take("ERROR: base/5/1 failed verification -- update discarded.")
    assert hearing.ending(Finished(23, ())) == Ending(None)


def test_a_complaint_on_the_line_of_a_progress_is_heard() -> None:
    counts: list[int] = []
    hearing = Hearing(STRICT, lambda _entry: None, counts.append)
    complaint = 'rsync: [sender] send_files failed to open "/pg/1": Permission denied (13)'
    hearing.take(f"   32768   0%    0.00kB/s    0:00:00 (xfr#0, to-chk=0/2){complaint}")
    hearing.take(f"   65536  12%  901.41MB/s   ??:??:??  {complaint}")
    assert counts == [32768, 65536]
    assert hearing.complaints == [complaint, complaint]


def test_partial_without_a_word_why_is_a_failure() -> None:
    hearing = Hearing(LENIENT, lambda _entry: None, lambda _bytes: None)
    assert hearing.ending(Finished(23, ("rsync error: (code 23)",))).error is not None


def test_an_escaped_name_comes_back_whatever_its_bytes() -> None:
    assert unescaped(r"b\#134#012s") == r"b\#012s"
    assert os.fsencode(unescaped(r"a/\#377\#012 ")) == b"a/\xff\n "


def test_a_stop_ends_it_soon(source: Path, bring: Callable[..., Ending], sshd: Sshd) -> None:
    (source / "large").write_bytes(os.urandom(20_000_000))
    stop = StopFlag()
    work = Background(
        lambda: bring(Rsync(ssh=sshd.words), source, ("large",), limit=1000, stop=stop)
    )
    eventually(lambda: sshd.children)
    stop.stop("cancelled")
    begun = time.monotonic()
    with pytest.raises(Stopped):
        work.wait(10)
    assert time.monotonic() - begun < 3
    eventually(lambda: not sshd.children)


DAEMON = """
import shlex, sys, threading
from pathlib import Path
from barmand.outside.rsync import Fetch, Rsync
from barmand.outside.rsync_words import Judge
folder, source, ssh = Path(sys.argv[1]), Path(sys.argv[2]), tuple(shlex.split(sys.argv[3]))
files = Fetch(source=source, target=folder / "target", names=folder / "names",
              beside=folder / "beside", limit=1000)
Rsync(ssh=ssh or None).fetch(
    files, judge=Judge(lambda _path: True, lambda _path: False), on_entry=lambda _entry: None,
    on_progress=lambda _bytes: None, stop=threading.Event())
"""


def reading(path: Path) -> list[Process]:
    """The processes that have this file open."""
    found = []
    for process in all_processes():
        with contextlib.suppress(OSError):
            if any(file.readlink() == path for file in Path(f"/proc/{process.pid}/fd").iterdir()):
                found.append(process)
    return found


@pytest.mark.usefixtures("bring")
@pytest.mark.parametrize("is_quiet", [False, True])
@pytest.mark.parametrize("is_remote", [False, True])
def test_a_daemon_that_is_killed_leaves_no_rsync_and_no_ssh(
    source: Path, folder: Path, sshd: Sshd, *, is_remote: bool, is_quiet: bool
) -> None:
    """Quiet: no data come that would tell the receiver, by a broken pipe, that it is alone."""
    large = source / "large"
    large.write_bytes(os.urandom(60_000_000))
    (folder / "names").write_bytes(b"./large\0")
    words = [str(folder), str(source), sshd.command if is_remote else ""]
    mine = {**os.environ, "KILLED": str(folder)}
    frozen: list[Process] = []

    def left() -> list[Process]:
        return [process for process in marked("KILLED", str(folder)) if process not in frozen]

    with subprocess.Popen([sys.executable, "-c", DAEMON, *words], env=mine) as daemon:
        eventually(lambda: any((folder / "beside").iterdir()))  # it receives
        assert len(left()) == 4, "the daemon, two rsyncs, and ssh or the sender"
        frozen += reading(large) if is_quiet else []
        assert len(frozen) == int(is_quiet)
        for sender in frozen:
            os.kill(sender.pid, signal.SIGSTOP)
        daemon.kill()
    try:
        eventually(lambda: not left(), 5)
    finally:
        for sender in frozen:
            os.kill(sender.pid, signal.SIGCONT)
    frozen.clear()
    eventually(lambda: not left() and not sshd.children, 5)


def test_a_linked_file_shares_its_inode_and_a_changed_one_does_not(
    source: Path, folder: Path, bring: Callable[..., Ending]
) -> None:
    names = ("sub dir/plain", "sub dir/#hash")
    assert bring(Rsync(), source, names).error is None
    first = folder / "first"
    (folder / "target").rename(first)
    (folder / "target").mkdir()
    (source / names[1]).write_text("changed since")
    reference = Reference(folder=first, reuse=Reuse.LINK)
    assert bring(Rsync(), source, names, reference=reference).error is None
    assert (folder / "target" / names[0]).samefile(first / names[0])
    assert (folder / "target" / names[1]).read_text() == "changed since"
    assert (first / names[1]).read_text() == "#hash"


def test_ssh_is_told_our_safety_first_and_our_patience_last() -> None:
    words = shlex.split("/usr/bin/ssh -p 2222 -o ConnectTimeout=99 postgres@db1")
    way = transport(words, connect_seconds=5, silence_seconds=60)
    assert way.host == "postgres@db1"
    command = " ".join(way.command)
    assert command.startswith("/usr/bin/ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -p 2222")
    assert command.index("ConnectTimeout=99") < command.index("ConnectTimeout=5")
    assert "ServerAliveInterval=20" in command


@pytest.mark.parametrize(
    ("options", "port"),
    [
        ("-p 2222", "2222"),
        ("-p2222 -i key", "2222"),
        ("-o Port=22 -4", "22"),
        ("-oport=22", "22"),
        ("-i /the-p 1/key", None),
        ("", None),
    ],
)
def test_the_port_is_the_one_that_ssh_is_told(options: str, port: str | None) -> None:
    assert transport(("ssh", *options.split(), "pg@db1"), 5, 60).port == port


def test_an_ipv6_address_is_told_from_its_path() -> None:
    assert transport(("ssh", "pg@fd00::1"), 5, 60).host == "pg@[fd00::1]"


@pytest.mark.parametrize("words", [(), ("ssh",), ("ssh", "-v")])
def test_an_ssh_command_without_a_host_is_invalid(words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigInvalid):
        transport(words, 5, 60)


def test_loads_are_balanced_and_the_largest_comes_first() -> None:
    tree = Tree(Path("/pg"), Path("/copy"))
    listing = Listing(tree, has_doubts=False)
    for number in range(1000):
        listing.names.append(str(number))
        listing.sizes.append(number * 8192)
    loads = loads_of([listing], 3, lambda _listing: 10**12)
    assert len(loads) == 3
    assert [load.bytes for load in loads] == sorted((load.bytes for load in loads), reverse=True)
    assert loads[0].bytes - loads[2].bytes < 1000 * 8192
    assert sorted(int(name) for load in loads for name in load.names) == list(range(1000))


def test_a_tablespace_keeps_only_the_folder_of_this_server() -> None:
    pattern = re.compile("PG_15_[0-9]+")
    tree = Tree(Path("/space"), Path("/copy"), "pg_tblspc/16400/", pattern)
    assert is_taken(tree, "PG_15_202209061/5/16401")
    assert not is_taken(tree, "PG_14_202107181/5/16401")
    assert not judge_of(tree).concerns("/space/lost+found")
    assert judge_of(tree).may_be_gone("/space/PG_15_202209061/5/16401")
    assert judge_of(tree).concerns("/elsewhere")


def test_shares_add_up_to_the_limit_and_come_back() -> None:
    shares = Shares(1000, 3, 900)
    with shares.part(300) as one, shares.part(300) as two:
        with shares.part(300) as three:
            assert one + two + three == 1000
            assert min(one, two, three) >= 333
        assert (one, two) == (333, 333)
    shares = Shares(1000, 2, 1000)
    with shares.part(900) as most, shares.part(100) as least:
        assert (most, least) == (900, 100)


def test_a_tablespace_has_a_limit_of_its_own_within_that_of_the_backup() -> None:
    limits = Limits(Shares(1000, 2, 200), {"pg_tblspc/1/": Shares(100, 2, 100)})
    with limits.part("pg_tblspc/1/", 100) as space, limits.part("", 100) as rest:
        assert (space, rest) == (100, 900)


def test_another_attempt_fetches_only_what_is_not_whole(
    source: Path, folder: Path, bring: Callable[..., Ending]
) -> None:
    whole, changed = folder / "target/sub dir/plain", folder / "target/sub dir/#hash"
    names = ("sub dir/plain", "sub dir/#hash")
    assert bring(Rsync(), source, names).error is None
    before = whole.stat().st_ino, changed.stat().st_ino
    (source / "sub dir/#hash").write_text("changed")
    assert bring(Rsync(), source, names).error is None
    assert whole.stat().st_ino == before[0]
    assert changed.stat().st_ino != before[1]
    assert changed.read_text() == "changed"
