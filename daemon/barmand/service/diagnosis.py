"""All about barmand and its servers in one object, for those who help; no secret is in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from barmand.service.house import House
from barmand.service.looking import Looking


@dataclass(frozen=True, slots=True)
class Diagnosis:
    looking: Looking
    house: House

    def told(self, servers: Sequence[str], *, checks: bool) -> dict[str, Any]:
        return {}
