"""What is told of the house: what a reload changed, and what is wrong with it."""

import structlog

from barmand.model.changes import OptionChange
from barmand.model.errors import ConfigInvalid
from barmand.service.house import House
from barmand.wire.messages import OptionChangeView, ReloadReply, ServerChangeView

log = structlog.get_logger()


def tell_changes(house: House) -> None:
    """In the journal: a line for each server that changed."""
    changes = house.changes
    log.info(
        "settings read again",
        servers=len(house.kits),
        put_aside=sorted(house.broken),
        changed=[str(each) for each in changes.daemon],
        unchanged=changes.unchanged,
    )
    for change in changes.servers:
        facts: dict[str, object] = {}
        if change.options:
            facts["changed"] = [str(each) for each in change.options]
        if change.backups_left:
            facts["backups_left"] = change.backups_left
        if change.unfinished:
            facts["unfinished"] = list(change.unfinished)
        log.info(f"server {change.became}", server=change.server, **facts)  # noqa: G004 - one of five words


def reload_reply(house: House) -> ReloadReply:
    changes = house.changes
    return ReloadReply(
        exit_code=ConfigInvalid.exit_code if house.broken else 0,
        servers=sorted(house.kits),
        broken=sorted(house.broken),
        problems=list(house.problems),
        warnings=list(house.warnings),
        changes=[
            ServerChangeView(
                server=change.server,
                became=change.became.value,
                options=[_view(each) for each in change.options],
                problems=list(change.problems),
                unfinished_backups=list(change.unfinished),
                backups_left=change.backups_left,
            )
            for change in changes.servers
        ],
        daemon_changes=[_view(each) for each in changes.daemon],
        unchanged=changes.unchanged,
    )


def _view(change: OptionChange) -> OptionChangeView:
    return OptionChangeView(
        option=change.option,
        before=change.before,
        after=change.after,
        counts_from_next_start=change.counts_from_next_start,
    )


def tell_problems(house: House) -> None:
    for warning in house.warnings:
        log.warning("settings", warning=warning)
    for problem in house.problems:
        log.error("settings", problem=problem)
