"""Values out of JSON that somebody else wrote: each reads as "not said" where its kind is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_MAX_NUMBER = 1e18  # chosen: far above any count, time or size of the API


def as_text(value: object) -> str:
    """A text; empty where it is none."""
    return value if isinstance(value, str) else ""


def as_optional_text(value: object) -> str | None:
    """A text, an empty one too; None where it is none."""
    return value if isinstance(value, str) else None


def as_texts(value: object) -> tuple[str, ...] | None:
    """The texts of a list; None where it is no list."""
    if not isinstance(value, list):
        return None
    return tuple(item for item in value if isinstance(item, str))


def as_number(value: object) -> float | int | None:
    """A finite number; `true`, NaN and the infinities are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if -_MAX_NUMBER < value < _MAX_NUMBER else None


def as_integer(value: object) -> int | None:
    """A number without its fraction; None where it is none."""
    number = as_number(value)
    return None if number is None else int(number)


def as_mapping(value: object) -> Mapping[str, object]:
    """An object; empty where it is none."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> Sequence[object]:
    """A list; empty where it is none."""
    return value if isinstance(value, list) else ()
