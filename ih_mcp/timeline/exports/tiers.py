"""The rows of a stream as tiers: annotations in whole milliseconds, none of which overlap in one.

Spans of one signal overlap, as windows do; a tier cannot hold that. What overlaps goes into a
second tier, `hesitation (2)`, and nothing is cut or joined.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ih_mcp.errors import CallerError
from ih_mcp.printable import escape_unprintable_lines
from ih_mcp.wire.codebook import find_meaning

from .readings import ExportRow, StreamReadings

MAX_TIERS = 1000
"""Chosen: of one file. The API has some twenty names."""
_SOURCE_TIER = "whose readings"
_TAKEN = {"engagement", _SOURCE_TIER}


@dataclass(frozen=True, slots=True)
class Annotation:
    """A text over a stretch of media."""

    start_ms: int
    end_ms: int
    """After `start_ms`: what lasts no time gets a millisecond, as annotations must last."""
    text: str
    note: str = ""
    """The rationale."""


@dataclass(frozen=True, slots=True)
class Tier:
    """Annotations of one name, in order of time."""

    name: str
    kind: str
    """As of `ExportRow`; `about` for the tier that says whose readings these are."""
    annotations: Sequence[Annotation]
    meaning: str = ""
    """What its name means, by the codebook."""

    @property
    def has_notes(self) -> bool:
        return any(annotation.note for annotation in self.annotations)


def make_tiers(reading: StreamReadings) -> list[Tier]:
    """The tiers of a stream; the first says whose readings these are.

    Raises:
        CallerError: There are too many.
    """
    end_ms = max(1, round(reading.seconds * 1000))
    about = Tier(_SOURCE_TIER, "about", [Annotation(0, end_ms, _text(reading.about))])
    named: dict[tuple[str, str], list[Annotation]] = {}
    meanings: dict[tuple[str, str], str] = {}
    for row in reading.rows:
        if row.start_seconds is not None:
            key = row.kind, _name(row)
            named.setdefault(key, []).append(_annotation(row, end_ms))
            meanings.setdefault(key, find_meaning(row.kind, row.name))
    tiers, taken = [about], {_SOURCE_TIER}
    layers = {key: _layers(found) for key, found in named.items()}
    _require_few(sum(map(len, layers.values())))
    for (kind, name), found in layers.items():
        for number, layer in enumerate(found, start=1):
            wanted = name if number == 1 else f"{name} ({number})"
            meaning = meanings[kind, name]
            tiers.append(Tier(_make_unique(wanted, taken), kind, layer, meaning))
    return tiers


def _require_few(tiers: int) -> None:
    """Refuse what no program could show; to write very many tiers would take hours.

    Raises:
        CallerError: There are too many.
    """
    if tiers > MAX_TIERS:
        raise CallerError(
            f"this stream would have {tiers:,} tiers, one for each name and for each overlap; a "
            f"file has {MAX_TIERS:,} at most",
            help="Export it as csv or jsonl, which hold any number.",
        )


def notes_name(name: str) -> str:
    """The name of the tier that has the rationales of another one."""
    return f"{name}: rationale"


def _make_unique(name: str, taken: set[str]) -> str:
    """A name that no tier has; signals may have any, also that of another tier."""
    found = name
    for number in itertools.count(2):
        if not {found, notes_name(found)} & taken:
            break
        found = f"{name} [{number}]"
    taken |= {found, notes_name(found)}
    return found


def end_of(tiers: Iterable[Tier]) -> int:
    """The latest millisecond of all tiers."""
    return max(each.end_ms for tier in tiers for each in tier.annotations)


def _name(row: ExportRow) -> str:
    """A name of one line, of its own for each kind: v0 has a signal that is called engagement."""
    name = " ".join(row.name.replace("_", " ").split()) or "unnamed"
    if row.kind == "signal":
        return _text(f"{name} (signal)" if name in _TAKEN else name)
    return _text(name if row.kind == "engagement" else f"{row.kind}: {name}")


def _annotation(row: ExportRow, end_ms: int) -> Annotation:
    start = round((row.start_seconds or 0.0) * 1000)
    end = end_ms if row.end_seconds is None else round(row.end_seconds * 1000)
    return Annotation(start, max(end, start + 1), _text(row.value), _text(row.rationale or ""))


def _layers(found: Iterable[Annotation]) -> list[list[Annotation]]:
    """As few lists as can hold them without an overlap; each takes the lowest that is free."""
    layers: list[list[Annotation]] = []
    busy: list[tuple[int, int]] = []
    free: list[int] = []
    for annotation in sorted(found, key=lambda each: (each.start_ms, each.end_ms)):
        while busy and busy[0][0] <= annotation.start_ms:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if not free:
            free.append(len(layers))
            layers.append([])
        layer = heapq.heappop(free)
        layers[layer].append(annotation)
        heapq.heappush(busy, (annotation.end_ms, layer))
    return layers


def _text(text: str) -> str:
    """Without characters that XML and Praat cannot hold; those are written as escapes."""
    return escape_unprintable_lines(text.replace("\r\n", "\n"))
