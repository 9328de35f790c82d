"""Does ssh get through, and is nothing said there that nobody asked for?"""

from collections.abc import Iterator, Sequence

from barmand.model.finding import Finding, failed, passed, warned
from barmand.outside.process import Stop, run
from barmand.outside.ssh import transport

_NAME, _CLEAN = "ssh", "ssh output clean"


def ssh_findings(
    ssh_command: Sequence[str], connect_seconds: int, stop: Stop, *, is_rsync_through: bool
) -> Iterator[Finding]:
    """`is_rsync_through`: what a backup needs works; a key that is bound to it refuses the rest.

    Raises Failure.
    """
    way = transport(ssh_command, connect_seconds, connect_seconds)
    finished = run([*way.command, ssh_command[-1], "true"], stop=stop, grace_seconds=1)
    said = " / ".join(finished.tail) or "it said nothing"
    if finished.exit_code and is_rsync_through:
        yield passed(_NAME, "rsync gets through; other commands are refused there")
        return
    if finished.exit_code:
        yield failed(_NAME, f"ssh {finished.words}: {said}", keeps_from_backup=True)
        return
    yield passed(_NAME, f"{ssh_command[-1]} answers")
    if not finished.tail:
        yield passed(_CLEAN)
        return
    words = f"`ssh … true` prints: {said}; mend what its shell runs at a login without a terminal"
    if is_rsync_through:
        yield warned(_CLEAN, words)
    else:
        yield failed(_CLEAN, words, keeps_from_backup=True)
