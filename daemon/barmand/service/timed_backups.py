"""A schedule's ring becomes a backup: by the same door as an operator's request."""

from datetime import datetime

from barmand.catalog.events import Events
from barmand.model.calendar import ScheduleLine
from barmand.model.event import Event
from barmand.outside.clock import local_now
from barmand.service.desk import Desk

REQUESTER = "schedule"


def start(desk: Desk, server: str, line: ScheduleLine, _due: datetime) -> str:
    """The id of the backup that is queued now. Raises Refused while another one is under way."""
    kit = desk.house.working_kit(server)
    backup, job = desk.queue(kit, name=line.name, who=REQUESTER, shares_name=True)
    desk.begin([(kit, backup, job)], line.wish, REQUESTER)
    return backup.id


def tell(events: Events, kind: str, server: str, facts: dict[str, object]) -> None:
    events.add(Event(at=local_now(), kind=kind, server=server, facts=facts))
