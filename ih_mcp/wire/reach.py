"""How far into the media a message speaks: what is known of the progress of an analysis.

Results leave in the order of media time (docs: launch blog), so a message about some second
says that what lies before it has been looked at. Where nothing is found nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .messages import Reading

_LISTS = ("ranges", "timeline")  # coverage.*, conversation_quality.updated


def reached_seconds(reading: Reading) -> float | None:
    """The last second of the session's media a reading speaks of; None where it names none."""
    return max(_named(reading.fields), default=None)


def _named(fields: Mapping[str, object]) -> Iterator[float]:
    yield from _times(fields)
    for name in _LISTS:
        items = fields.get(name)
        if isinstance(items, list):
            for item in items:
                if isinstance(item, Mapping):
                    yield from _times(item)


def _times(fields: Mapping[str, object]) -> Iterator[float]:
    for name in ("start", "end"):
        value = fields.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield float(value)
