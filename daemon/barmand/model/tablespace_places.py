"""Where each tablespace of a restored cluster shall lie, as an operator says it.

The word before `:LOCATION` ends at the first `:/`, for a location is absolute. A name that has `:/`
itself cannot be told so: such a tablespace is given by its OID, which can be said of every one.
"""

import shlex
from collections.abc import Mapping, Sequence

from barmand.model.backup import Tablespace
from barmand.model.errors import NotFound, Refused, UsageError
from barmand.model.masking import without_secrets


def places_of(tablespaces: Sequence[Tablespace], moved: Mapping[str, str]) -> dict[Tablespace, str]:
    """`moved` has a folder for each name or OID. Raises NotFound, UsageError, Refused.

    None goes back to where it was without being told: that may be a running cluster's.
    """
    places: dict[Tablespace, str] = {}
    for word, location in moved.items():
        space = _meant(tablespaces, word)
        if space in places:
            raise UsageError(
                f"tablespace '{space.name}' has two locations: {places[space]}, {location}"
            )
        places[space] = location
    left = [space for space in tablespaces if space not in places]
    if left:
        raise Refused(
            f"tablespace '{left[0].name}' needs a place: its own may be a running cluster's",
            hint="Say where each shall lie, even if it is the old place: "
            + " ".join(_option(space) for space in left),
        )
    return places


def _meant(tablespaces: Sequence[Tablespace], word: str) -> Tablespace:
    """A name goes before an OID: PostgreSQL lets a tablespace have a number as its name."""
    for space in tablespaces:
        if space.name == word:
            return space
    for space in tablespaces:
        if str(space.oid) == word:
            return space
    there = ", ".join(f"'{space.name}' (OID {space.oid})" for space in tablespaces)
    raise NotFound(
        f"the backup has no tablespace '{word}'",
        hint=f"It has {there}. A name with :/ in it is given by its OID."
        if there
        else "It has none: leave --tablespace out.",
    )


def _option(space: Tablespace) -> str:
    """For a shell. By its OID where its name would be misread, escaped, or taken for a secret's."""
    by_name = f"--tablespace {shlex.quote(f'{space.name}:{space.location}')}"
    is_plain = ":/" not in space.name and space.name.isprintable()
    if is_plain and without_secrets(by_name) == by_name:
        return by_name
    return f"--tablespace {shlex.quote(f'{space.oid}:{space.location}')}"
