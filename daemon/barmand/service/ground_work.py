"""The ground that a server stands on: its directories, and what they tell of earlier lives."""

import structlog

from barmand.catalog.servers import Servers
from barmand.model.errors import Failure, StorageFailed
from barmand.service.grounds import Grounds
from barmand.service.house import Kit
from barmand.storage.ground import complaint

log = structlog.get_logger()


def prepare_ground(servers: Servers, grounds: Grounds, kit: Kit) -> None:
    """Make a new server's directories, and claim them; never on what may be a bare mount point."""
    is_known = servers.system_id(kit.name) is not None
    try:
        if not is_known:
            kit.layout.prepare()
        why_not = complaint(kit.layout, is_known=is_known)
    except Failure as failure:
        why_not = failure.message
    if why_not is not None:
        log.warning("server is not ready", server=kit.name, why=why_not)
    grounds.claim(kit)


def rebuild(kit: Kit) -> None:
    """One server's disk must not keep the others waiting; its check says what is wrong with it."""
    try:
        kit.rebuild.run()
        kit.push.forget()
    except StorageFailed as failure:
        log.error("catalogue not read from disk", server=kit.name, error=failure.message)  # noqa: TRY400 - the administrator's disk, not our fault
