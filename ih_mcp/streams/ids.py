"""The ids of streams and uploads, which share one journal."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable
from enum import StrEnum

from ih_mcp.errors import CallerError, UnknownStreamError

_SHORT_CHARS = 11  # of an id, with its beginning: git shows so many, too
_MOST_NAMED = 5


class IdKind(StrEnum):
    """What an id names; the value is how it begins."""

    STREAM = "st_"
    UPLOAD = "an_"

    def make_id(self) -> str:
        """Make an id that nothing has and nobody can guess."""
        return f"{self}{secrets.token_hex(16)}"

    def has(self, name: str) -> bool:
        """Whether an id is of this kind."""
        return name.startswith(self)


def match_id(given: str, known: Collection[str]) -> str:
    """The id that a person means: a whole one, or the beginning of one alone.

    Raises:
        UnknownStreamError: None begins so.
        CallerError: Several begin so (`ambiguous_id`); names them.
    """
    if given in known:
        return given
    found = sorted(each for each in known if given and each.startswith(given))
    if len(found) == 1:
        return found[0]
    if not found:
        raise UnknownStreamError(
            f"there is no stream and no analysis {given}",
            help="`ih-mcp list` shows those that are kept.",
            facts={"stream_id": given},
        )
    named = ", ".join(found[:_MOST_NAMED])
    more = len(found) - _MOST_NAMED
    raise CallerError(
        f"{len(found)} ids begin with {given}: {named}{f' and {more} more' if more > 0 else ''}",
        code="ambiguous_id",
        help="Give more of the id.",
    )


def shorten_ids(ids: Iterable[str]) -> dict[str, str]:
    """The shortest beginning of each id that no other has, of some characters at least."""
    ordered = sorted(set(ids))
    return {
        each: each[: max(_SHORT_CHARS, *(_common(each, other) + 1 for other in beside))]
        for each, beside in _with_neighbours(ordered)
    }


def _with_neighbours(ordered: list[str]) -> Iterable[tuple[str, list[str]]]:
    for place, each in enumerate(ordered):
        yield each, ["", *ordered[max(0, place - 1) : place], *ordered[place + 1 : place + 2]]


def _common(one: str, other: str) -> int:
    """How many characters two ids have in common, from the first on."""
    differ = (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differ, min(len(one), len(other)))
