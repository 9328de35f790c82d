"""Why somebody did what is remembered with his name."""

from barmand.model.errors import UsageError


def demand_reason(reason: str) -> None:
    """Raises UsageError for one that says nothing to whoever reads it later."""
    if not any(letter.isprintable() and not letter.isspace() for letter in reason):
        raise UsageError(
            f"{reason!r} is blank, and no reason",
            hint="Say why, for whoever finds it later.",
        )
