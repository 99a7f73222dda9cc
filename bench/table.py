"""Rounds, medians, ratios, and a table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

Rounds = Sequence[Mapping[str, float]]


def rounds(count: int, variants: Mapping[str, Callable[[], float]]) -> Rounds:
    """Every variant once a round, so that noise hits all alike; the first round is thrown away."""
    measured = [{name: measure() for name, measure in variants.items()} for _ in range(count + 1)]
    return measured[1:]


def show(title: str, unit: str, measured: Rounds, *, floor: str, scale: float = 1.0) -> None:
    """Print each variant's median and its ratio to the floor, taken round by round."""
    print(f"\n{title} (median of {len(measured)} rounds, {unit})")
    for name in measured[0]:
        value = median(row[name] for row in measured) * scale
        ratio = median(row[name] / row[floor] for row in measured)
        note = "floor" if name == floor else f"{ratio:.2f} x floor"
        print(f"  {name:<44} {value:>10.2f}   {note}")
