"""How much of a drawing a picture shows, and what it says about the rest.

`timeline.js` does the same for pages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from .model import Drawing

MAX_SIGNALS = 40
"""Names of signals; the API knows about a dozen."""
MAX_MARKS = 2000
"""Of all lanes together: more than a picture has room for."""
_LANES = ("engagement", "quality", "dropped", "degraded", "segments")


def bounded(drawing: Drawing) -> Drawing:
    """The drawing itself where it can be shown whole, else as much as can be.

    That is the signals whose names came first, and of each lane the newest entries. `left_out`
    counts the rest.
    """
    spans = _items(drawing["spans"])
    names = dict.fromkeys(span["signal"] for span in spans)
    shown = set(list(names)[:MAX_SIGNALS])
    kept = [span for span in spans if span["signal"] in shown]
    lengths = Counter(span["signal"] for span in kept)
    lanes = {name: _items(drawing[name]) for name in _LANES}
    entries = len(kept) + sum(map(len, lanes.values()))
    if len(shown) == len(names) and entries <= MAX_MARKS:
        return drawing
    most = share([*lengths.values(), *map(len, lanes.values())], MAX_MARKS)
    newest = {"spans": _newest(kept, most), **{name: lanes[name][-most:] for name in lanes}}
    counts = {
        "signals": len(names) - len(shown),
        "entries": entries - sum(map(len, newest.values())),
    }
    return {**drawing, **newest, "left_out": counts}


def share(lengths: Iterable[int], most: int) -> int:
    """How many entries each lane may have, so that all have no more than `most`."""
    ascending = sorted(lengths)
    for place, length in enumerate(ascending):
        each = most // (len(ascending) - place)
        if length > each:
            return each
        most -= length
    return max(ascending, default=0)


def left_out(drawing: Drawing) -> list[str]:
    """Lines about what a picture leaves out or shows at another place."""
    counts = bounded(drawing).get("left_out") or {}
    assert isinstance(counts, dict)
    lines = []
    if signals := counts.get("signals"):
        lines.append(f"and {signals:,} more {'signal' if signals == 1 else 'signals'}")
    if entries := counts.get("entries"):
        lines.append(f"and {entries:,} earlier {'entry' if entries == 1 else 'entries'}")
    if clipped := int(str(drawing.get("clipped", 0))):
        lies = (
            "time lies outside of the media and is"
            if clipped == 1
            else ("times lie outside of the media and are")
        )
        lines.append(f"{clipped:,} {lies} shown at its edge")
    return lines


def _newest(spans: Sequence[Any], most: int) -> list[Any]:
    """The last spans of each signal, in their order."""
    seen: Counter[str] = Counter()
    found = []
    for span in reversed(spans):
        seen[span["signal"]] += 1
        if seen[span["signal"]] <= most:
            found.append(span)
    return found[::-1]


def _items(value: object) -> list[Any]:
    assert isinstance(value, list)
    return value
