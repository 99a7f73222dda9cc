"""One timeline as plain values, as JSON, and what differs between two of them.

Nothing here needs the messages it was folded from: that is `model.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Drawing = dict[str, object]
"""One timeline as plain values, with the names that `Timeline.as_json` gives them."""

LISTS = ("spans", "engagement", "quality", "dropped", "degraded", "feedback", "segments")
"""The names of a `Drawing` that hold lists, which grow and whose last items change."""
_MAX_PART = 2000


def changes(before: Drawing, after: Drawing) -> Drawing:
    """The difference that turns `before` into `after`.

    `set` replaces values; in `lists` each name has its new `length` and the `items` that differ,
    as `[index, item]`. Empty where nothing changed.
    """
    changed: dict[str, object] = {
        name: value
        for name, value in after.items()
        if name not in LISTS and before.get(name, ...) != value
    }
    lists: dict[str, object] = {}
    for name in LISTS:
        old, new = _items(before.get(name)), _items(after[name])
        items = [
            [index, item]
            for index, item in enumerate(new)
            if index >= len(old) or (old[index] is not item and old[index] != item)
        ]
        if items or len(old) != len(new) or name not in before:
            lists[name] = {"length": len(new), "items": items}
    found: Drawing = {}
    if changed:
        found["set"] = changed
    if lists:
        found["lists"] = lists
    return found


def in_parts(before: Drawing, changed: Mapping[str, Any]) -> Iterator[Drawing]:
    """The same changes as several, none of them large; `ended` comes with the last."""
    lists: Mapping[str, Any] = changed.get("lists", {})
    large = {name: change for name, change in lists.items() if len(change["items"]) > _MAX_PART}
    if not large:
        yield dict(changed)
        return
    values = dict(changed.get("set", {}))
    last = {"ended": values.pop("ended")} if "ended" in values else {}
    lengths = {name: len(_items(before.get(name))) for name in large}
    begun = {name: {"length": length, "items": []} for name, length in lengths.items()}
    yield {"set": values, "lists": {**lists, **begun}}
    for name, change in large.items():
        for at in range(0, len(change["items"]), _MAX_PART):
            part = change["items"][at : at + _MAX_PART]
            length = max(lengths[name], part[-1][0] + 1)
            yield {"lists": {name: {"length": length, "items": part}}}
    if last:
        yield {"set": last}


def as_text(drawing: Drawing) -> str:
    """A drawing as JSON; blocks, but never keeps the interpreter for long."""
    items = (f"{_compact(name)}:{_value(value)}" for name, value in drawing.items())
    return f"{{{','.join(items)}}}"


def _value(value: object) -> str:
    return f"[{','.join(map(_compact, value))}]" if isinstance(value, list) else _compact(value)


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), default=str)


def _items(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []
