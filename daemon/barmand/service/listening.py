"""Where the control socket lies, who may open it, and what may be in its way."""

import os
import socket
from contextlib import closing
from pathlib import Path

from barmand.model.errors import Refused
from barmand.service.peers import Rights


def bind(listener: socket.socket, path: Path, rights: Rights) -> None:
    """Bind to `path`: a socket that nobody answers behind is replaced, anything else is left.

    Mode 0660 with the control group. With a monitor group besides it is 0666, for the kernel knows
    one group only: then the peer's credentials alone decide. Raises Refused.
    """
    try:
        if path.exists() or path.is_symlink():
            _remove_stale(path)
        path.parent.mkdir(0o755, parents=True, exist_ok=True)
        _bind_for_us_alone(listener, path)
    except OSError as error:
        raise Refused(f"cannot listen on {path}: {error.strerror or error}") from error
    group = rights.control_group if rights.control_group is not None else rights.monitor_group
    if group is not None:
        _give_to(path, group)
    is_for_two = rights.monitor_group not in (None, group)
    path.chmod(0o666 if is_for_two else 0o660)
    # A caller with a time limit is turned away (EAGAIN) where the queue is full: so it is long.
    listener.listen(socket.SOMAXCONN)


def _bind_for_us_alone(listener: socket.socket, path: Path) -> None:
    """Nobody connects before the socket has its group and mode."""
    old_mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(old_mask)


def _remove_stale(path: Path) -> None:
    if not path.is_socket():
        raise Refused(f"{path} exists and is no socket", hint="Remove it, or set control_socket.")
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise Refused(f"cannot tell who listens on {path}: {error.strerror}") from error
    raise Refused(f"somebody listens on {path} already", hint="Another barmand? Stop it first.")


def _give_to(path: Path, group: int) -> None:
    try:
        os.chown(path, -1, group)
    except OSError as error:
        raise Refused(
            f"cannot give {path} to group {group}: {error.strerror}",
            hint="Make the daemon's user a member of that group.",
        ) from error
