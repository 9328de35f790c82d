"""Who connected is what the kernel says, and decides what may be asked."""

import os
import pwd
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from barmand.model.errors import Refused
from barmand.service.peers import Peer, Rights, group_number, peer_of

CONTROL, MONITOR, STRANGE = 4_000_001, 4_000_002, 4_000_003
NOBODYS_UID = 4_000_000
RIGHTS = Rights(CONTROL, MONITOR)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, two = socket.socketpair()
    with one, two:
        yield one, two


def test_the_peer_is_the_process_at_the_other_end(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    peer = peer_of(pair[0])
    assert (peer.pid, peer.uid) == (os.getpid(), os.getuid())
    assert {os.getgid(), *os.getgroups()} <= peer.groups


def test_a_member_who_has_not_logged_in_again_counts_by_the_group_database(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    me = pwd.getpwuid(os.getuid())
    assert set(os.getgrouplist(me.pw_name, me.pw_gid)) <= peer_of(pair[0]).groups


CLIENT = """
import os, socket, sys
os.setgroups([int(number) for number in sys.argv[2].split(",")] if sys.argv[2] else [])
os.setresgid(*[4000009] * 3)
os.setresuid(*[4000000] * 3)
with socket.socket(socket.AF_UNIX) as client:
    client.connect(sys.argv[1])
    client.recv(1)
"""


def peer_with(folder: Path, groups: list[int]) -> Peer:
    """What is seen of a process of a user nobody knows."""
    path = folder / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o777)
        listener.listen()
        with subprocess.Popen(
            [sys.executable, "-c", CLIENT, path, ",".join(map(str, groups))]
        ) as client:
            connection, _ = listener.accept()
            with connection:
                peer = peer_of(connection)
        assert (peer.pid, client.returncode) == (client.pid, 0)
    return peer


@pytest.mark.root
def test_another_users_groups_are_those_of_its_process(folder: Path) -> None:
    peer = peer_with(folder, [CONTROL, STRANGE])
    assert (peer.uid, peer.groups) == (NOBODYS_UID, {4_000_009, CONTROL, STRANGE})


@pytest.mark.root
def test_a_process_with_more_groups_than_fit_is_still_somebody(folder: Path) -> None:
    peer = peer_with(folder, list(range(5_000_000, 5_000_300)))
    assert (peer.uid, peer.groups) == (NOBODYS_UID, {4_000_009})


def test_who_is_no_socket_of_ours_is_nobody() -> None:
    with socket.socket(socket.AF_INET) as stranger, pytest.raises(OSError, match=r"."):
        peer_of(stranger)


@pytest.mark.parametrize(
    ("peer", "may_look", "may_control"),
    [
        (Peer(1, 0, frozenset({0})), True, True),
        (Peer(1, os.geteuid(), frozenset()), True, True),
        (Peer(1, NOBODYS_UID, frozenset({CONTROL})), True, True),
        (Peer(1, NOBODYS_UID, frozenset({MONITOR})), True, False),
        (Peer(1, NOBODYS_UID, frozenset({MONITOR, CONTROL})), True, True),
        (Peer(1, NOBODYS_UID, frozenset({STRANGE})), False, False),
        (Peer(1, NOBODYS_UID, frozenset()), False, False),
    ],
)
def test_what_a_peer_may(peer: Peer, may_look: bool, may_control: bool) -> None:
    assert RIGHTS.may_look(peer) is may_look
    assert RIGHTS.may_control(peer) is may_control
    for is_look, may in ((True, may_look), (False, may_control)):
        if may:
            RIGHTS.demand(peer, "status", is_look=is_look)
        else:
            with pytest.raises(Refused, match="may not ask for status"):
                RIGHTS.demand(peer, "status", is_look=is_look)


@pytest.mark.parametrize("group", [0, 1, CONTROL])
def test_without_groups_in_the_settings_no_group_opens_anything(group: int) -> None:
    rights = Rights(None, None)
    peer = Peer(1, NOBODYS_UID, frozenset({group}))
    assert not rights.may_look(peer)
    assert not rights.may_control(peer)


def test_a_refusal_names_who_asked_and_who_may() -> None:
    peer = Peer(1, NOBODYS_UID, frozenset({MONITOR}))
    with pytest.raises(Refused) as error:
        RIGHTS.demand(peer, "delete", is_look=False)
    assert error.value.message == f"uid {NOBODYS_UID} may not ask for delete"
    assert error.value.hint == "root, the daemon's own user and members of control_group may."


def test_a_peer_is_called_by_its_name() -> None:
    assert str(Peer(1, 0, frozenset())) == "root (uid 0)"


def test_a_group_is_looked_up_by_its_name() -> None:
    assert group_number("root") == 0
    with pytest.raises(KeyError):
        group_number("no such group")
