"""How much of a drawing a picture shows, and what it says about the rest.

`timeline.js` does the same for pages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ih_mcp.wire.spans import MAX_LAYERS

from .model import Drawing, items_of

MAX_SIGNALS = 40
"""Names of signals; the API knows about a dozen."""
MAX_MARKS = 2000
"""Of all lanes together: more than a picture has room for."""
_LANES = ("engagement", "quality", "dropped", "degraded", "segments")


def bounded(drawing: Drawing) -> Drawing:
    """The drawing itself where it can be shown whole, else as much as can be.

    That is the signals whose names came first, of each lane the newest entries, and of spans that
    overlap as many as have a layer. `left_out` counts the rest.
    """
    phases = items_of(drawing["phases"])
    names = dict.fromkeys(phase["signal"] for phase in phases)
    shown = set(list(names)[:MAX_SIGNALS])
    named = [phase for phase in phases if phase["signal"] in shown]
    kept = [phase for phase in named if phase["layer"] < MAX_LAYERS]
    lengths = Counter(phase["signal"] for phase in kept)
    lanes = {name: items_of(drawing[name]) for name in _LANES}
    entries = len(named) + sum(map(len, lanes.values()))
    if len(kept) == len(phases) and entries <= MAX_MARKS:
        return drawing
    most = share([*lengths.values(), *map(len, lanes.values())], MAX_MARKS)
    newest = {"phases": _newest(kept, most), **{name: lanes[name][-most:] for name in lanes}}
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
        lines.append(f"and {entries:,} {'entry' if entries == 1 else 'entries'} not shown")
    if not_kept := int(str(drawing.get("not_kept", 0))):
        are = "message is" if not_kept == 1 else "messages are"
        lines.append(f"the first {not_kept:,} {are} no longer kept: the beginning is missing")
    if clipped := int(str(drawing.get("clipped", 0))):
        lies = (
            "time lies outside of the media and is"
            if clipped == 1
            else ("times lie outside of the media and are")
        )
        lines.append(f"{clipped:,} {lies} shown at its edge")
    return lines


def _newest(phases: Sequence[Any], most: int) -> list[Any]:
    """The last phases of each signal, in their order."""
    seen: Counter[str] = Counter()
    found = []
    for phase in reversed(phases):
        seen[phase["signal"]] += 1
        if seen[phase["signal"]] <= most:
            found.append(phase)
    return found[::-1]
