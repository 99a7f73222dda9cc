"""What is known about each segment of a leg.

v0 says it per segment. v1 and v2 do not: a pong after a segment proves delivery, refusals name a
segment, drops name seconds, and `session.ended` settles the rest. What stays unknown is called
unknown.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from ih_mcp.wire.messages import (
    ClientMessage,
    Completed,
    Ended,
    Error,
    Processing,
    Reading,
    ServerMessage,
)
from ih_mcp.wire.reach import is_time

DROPPED = "coverage.dropped"


class Receipt(StrEnum):
    SENT = "sent"
    """Given to the system; it may still be on its way."""
    DELIVERED = "delivered"
    """The other end has read it."""
    PROCESSING = "processing"
    COMPLETED = "completed"
    """Its analysis is done, as far as the dialect tells."""
    REFUSED = "refused"
    DROPPED = "dropped"
    """Delivered, but the service said that these seconds were never analysed."""
    RESENT = "resent"
    """Of unknown fate, and sent again in the next session."""
    UNKNOWN = "unknown"
    """The connection was lost before anything was known of it."""


_OPEN = frozenset({Receipt.SENT, Receipt.DELIVERED, Receipt.PROCESSING})


@dataclass(slots=True)
class Line:
    """One segment; seconds are the leg's own media time."""

    number: int
    size: int
    start_seconds: float | None
    end_seconds: float | None
    receipt: Receipt = Receipt.SENT


class Receipts:
    """The ledger of one leg, by segment number from 1."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.dropped_seconds = 0.0
        """How much media the service said it never analysed."""
        self.answered_seconds = 0.0
        """Up to where in the leg's media the service has come, as far as it says."""
        self.window_seconds = 0.0
        """Where the window began that it told last."""
        self._confirmed = 0
        self._counts = Counter[Receipt]()

    def sent(
        self, size: int, *, start_seconds: float | None = None, end_seconds: float | None = None
    ) -> None:
        """The next segment was written."""
        self.lines.append(Line(len(self.lines) + 1, size, start_seconds, end_seconds))
        self._counts[Receipt.SENT] += 1

    def delivered(self, up_to: int) -> None:
        """Segments up to this number have been read by the other end."""
        for line in self.lines[self._confirmed : up_to]:
            if line.receipt is Receipt.SENT:
                self._mark(line, Receipt.DELIVERED)
        self._confirmed = max(self._confirmed, up_to)

    def note(self, message: ServerMessage | ClientMessage) -> None:
        """Learn what a message of the service says about segments."""
        match message:
            case Reading(kind, fields) if kind == DROPPED:
                self._drop(_ranges(fields))
            case Processing(segment):
                self._set(segment, Receipt.PROCESSING)
            case Completed(segment):
                self._set(segment, Receipt.COMPLETED)
            case Error(segment=int(segment)):
                self._set(segment, Receipt.REFUSED)
            case Ended():
                self._settle(Receipt.COMPLETED)
                last = max((line.end_seconds or 0.0 for line in self.lines), default=0.0)
                self.reached(last, last)
            case _:
                pass

    def reached(self, seconds: float, window_seconds: float) -> None:
        """The service has come to this second, in a window that began at that one."""
        self.answered_seconds = max(self.answered_seconds, seconds)
        self.window_seconds = max(self.window_seconds, window_seconds)

    def lost(self) -> None:
        """The connection is gone: what was answered is done, what has no last word is unknown."""
        for line in self.lines:
            is_answered = (line.end_seconds or math.inf) <= self.answered_seconds
            if is_answered and line.receipt in _OPEN:
                self._mark(line, Receipt.COMPLETED)
        self._settle(Receipt.UNKNOWN)

    def resent(self, count: int) -> None:
        """The newest so many are sent again."""
        for line in self.lines[len(self.lines) - count :]:
            self._mark(line, Receipt.RESENT)

    def counts(self) -> dict[str, int]:
        """How many segments have each receipt; those with none are left out."""
        return {r.value: self._counts[r] for r in Receipt if self._counts[r]}

    def _mark(self, line: Line, receipt: Receipt) -> None:
        self._counts[line.receipt] -= 1
        self._counts[receipt] += 1
        line.receipt = receipt

    def _set(self, number: int, receipt: Receipt) -> None:
        if 1 <= number <= len(self.lines):
            line = self.lines[number - 1]
            self._mark(line, receipt)
            if receipt not in _OPEN:
                self.reached(line.end_seconds or 0.0, line.start_seconds or 0.0)

    def _settle(self, receipt: Receipt) -> None:
        for line in self.lines:
            if line.receipt in _OPEN:
                self._mark(line, receipt)

    def _drop(self, ranges: Iterable[tuple[float, float]]) -> None:
        for start, end in ranges:
            self.dropped_seconds += max(0.0, end - start)
            for line in self.lines:
                if (
                    line.start_seconds is not None
                    and line.end_seconds is not None
                    and start <= line.start_seconds
                    and line.end_seconds <= end
                    and line.receipt in _OPEN
                ):
                    self._mark(line, Receipt.DROPPED)


def _ranges(fields: Mapping[str, object]) -> list[tuple[float, float]]:
    found = fields.get("ranges")
    return [
        (float(item["start"]), float(item["end"]))
        for item in (found if isinstance(found, list) else [])
        if isinstance(item, dict)
        and isinstance(item.get("start"), int | float)
        and isinstance(item.get("end"), int | float)
        and is_time(item["start"])
        and is_time(item["end"])
    ]
