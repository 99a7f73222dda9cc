"""Messages grown from a grammar: types x shapes x sizes, bred towards long holds."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from random import Random

_KINDS = [  # all but those that end a session
    *("session.ready", "session.updated", "error"),
    *("signal.detected", "signal.updated", "signal.ended", "engagement.updated", "result"),
    *("conversation_quality.updated", "coverage.dropped", "coverage.degraded", "unknown"),
]
_KEYS = ["ranges", "timeline", "signals", "signal", "engagement_state", "include", "x"]
_SIZES = [2**10, 2**14, 2**17, 2**18 - 200, 2**18 + 1, 2**20, 2**23 - 200]
_MOST_BRED = 8


@dataclass(frozen=True)
class Grown:
    """One message, as what it is made of."""

    kind: str
    key: str
    item: str
    """Repeated; `#` in it becomes a number."""
    size: int

    def text(self) -> str:
        head, tail = f'{{"type":"{self.kind}","data":{{"{self.key}":[', "]}}"
        count = max(1, (self.size - len(head) - len(tail)) // (len(self.item) + 6))
        items = (self.item.replace("#", f"{number % 100_000:05}") for number in range(count))
        return head + ",".join(items) + tail

    def __str__(self) -> str:
        return f"{self.size} of {self.kind} {self.key} {self.item[:40]}"


def grow(dice: Random) -> Grown:
    """One by chance."""
    return Grown(dice.choice(_KINDS), dice.choice(_KEYS), _item(dice, 3), dice.choice(_SIZES))


def breed(dice: Random, scored: list[tuple[float, Grown]]) -> Grown:
    """One that differs in one thing from one of those that held longest; or a new one."""
    best = sorted(scored, key=lambda pair: pair[0])[-_MOST_BRED:]
    if not best or dice.random() < 0.3:
        return grow(dice)
    other = grow(dice)
    part = dice.choice(["kind", "key", "item", "size"])
    return replace(dice.choice(best)[1], **{part: getattr(other, part)})


def _item(dice: Random, depth: int) -> str:
    if depth and dice.random() < 0.5:
        inner = _item(dice, depth - 1)
        if dice.random() < 0.5:
            return "[" * (times := dice.choice([1, 5, 400])) + inner + "]" * times
        names = dice.sample(["start", "end", "type", "signal_type", "state", "k#"], 2)
        return "{" + ",".join(f'"{name}":{inner}' for name in names) + "}"
    leaves = ["{}", "[]", "null", "1#", "-1e-307", "1e999", "NaN", '""', '"s#"', "1" * 4300]
    return dice.choice([*leaves, "0." + "7" * 3000, json.dumps("\x01\n" * 200)])
