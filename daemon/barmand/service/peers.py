"""Who is at the other end of the control socket, and what they may ask."""

import errno
import grp
import os
import pwd
import socket
import struct
from dataclasses import dataclass

from barmand.model.errors import Refused

_CREDENTIALS = struct.Struct("iII")
_SO_PEERGROUPS = 59  # Linux 4.13; the socket module has no name for it
_GROUPS_BYTES = 1024  # the most that getsockopt takes: 256 groups


@dataclass(frozen=True, slots=True)
class Peer:
    """The process that connected, as the kernel tells (SO_PEERCRED, SO_PEERGROUPS)."""

    pid: int
    uid: int
    groups: frozenset[int]

    def __str__(self) -> str:
        try:
            name = pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return f"uid {self.uid}"
        return f"{name} (uid {self.uid})"


@dataclass(frozen=True, slots=True)
class Rights:
    """Group numbers; None where the settings name no such group."""

    control_group: int | None
    monitor_group: int | None

    def may_control(self, peer: Peer) -> bool:
        return peer.uid in (0, os.geteuid()) or self.control_group in peer.groups

    def may_look(self, peer: Peer) -> bool:
        return self.may_control(peer) or self.monitor_group in peer.groups

    def demand(self, peer: Peer, method: str, *, is_look: bool) -> None:
        """Raises Refused, naming who asked for what and who may."""
        if self.may_look(peer) if is_look else self.may_control(peer):
            return
        who = "control_group or monitor_group" if is_look else "control_group"
        raise Refused(
            f"{peer} may not ask for {method}",
            hint=f"root, the daemon's own user and members of {who} may.",
        )


def peer_of(connection: socket.socket) -> Peer:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    groups = frozenset({gid, *_groups_now(connection), *_listed_groups(uid, gid)})
    return Peer(pid, uid, groups)


def _groups_now(connection: socket.socket) -> tuple[int, ...]:
    """What the process had when it connected; nothing when it has more than fit."""
    try:
        packed = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
    except OSError as error:
        if error.errno != errno.ERANGE:
            raise
        return ()
    return struct.unpack(f"{len(packed) // 4}I", packed)


def _listed_groups(uid: int, gid: int) -> list[int]:
    """What the group database says, for a member who has not logged in again since."""
    try:
        return os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
    except KeyError:
        return []


def group_number(name: str) -> int:
    """Raises KeyError for a group that does not exist."""
    return grp.getgrnam(name).gr_gid
