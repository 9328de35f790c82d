"""Does retention stand still? What a check says of the clock that it goes by."""

from collections.abc import Iterator
from dataclasses import dataclass

from barmand.model.finding import Finding, passed, warned
from barmand.operations.judging import Judging


@dataclass(frozen=True, slots=True)
class RetentionHealth:
    judging: Judging

    def findings(self) -> Iterator[Finding]:
        """The disk is another finding's."""
        doubt = self.judging.doubt(remembers=False)
        if doubt is None:
            yield passed("retention", "nothing keeps it from deleting what is to go")
        else:
            yield warned("retention", f"it stands still, and nothing is deleted: {doubt}")
