"""What is known about each sent segment of a leg.

v0 reports each segment. v1 and v2 do not: a pong after a segment proves delivery, refusals name a
segment, drops name seconds, and `session.ended` settles the rest. All other segments are unknown.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
from ih_mcp.wire.minutes import MediaUse, SessionMeter
from ih_mcp.wire.progress import is_media_time, newest_items

DROPPED = "coverage.dropped"


class Receipt(StrEnum):
    SENT = "sent"
    """The operating system has it; it may still be on its way."""
    DELIVERED = "delivered"
    """The other end has read it."""
    PROCESSING = "processing"
    COMPLETED = "completed"
    """Its analysis is done, as far as this API version reports it."""
    REFUSED = "refused"
    DROPPED = "dropped"
    """The service received it and reported that its seconds were never analysed."""
    RESENT = "resent"
    """Its fate is unknown, and it is sent again in the next session."""
    UNKNOWN = "unknown"
    """The connection was lost before anything was known of it."""


_OPEN = frozenset({Receipt.SENT, Receipt.DELIVERED, Receipt.PROCESSING})
_KINDS = tuple(Receipt)
_PLACES = {receipt: place for place, receipt in enumerate(_KINDS)}


@dataclass(frozen=True, slots=True)
class SegmentReceipt:
    """What is known of one sent segment; its seconds are media time of the leg."""

    number: int
    size: int
    start_seconds: float | None
    end_seconds: float | None
    receipt: Receipt

    def moved(self, seconds: float) -> SegmentReceipt:
        """The same with its media times moved, such as to those of the stream."""
        start, end = self.start_seconds, self.end_seconds
        return replace(
            self,
            start_seconds=None if start is None else start + seconds,
            end_seconds=None if end is None else end + seconds,
        )


class SegmentLedger:
    """The receipts of one leg, by segment number from 1.

    A receipt takes some 20 bytes, for a stream may run for days.
    """

    def __init__(self) -> None:
        self._sizes = array("Q")
        self._starts = array("d")  # not a number where not known: no comparison with it holds
        self._ends = array("d")
        self._receipts = bytearray()
        self.dropped_seconds = 0.0
        """How much media the service reported as never analysed."""
        self.answered_seconds = 0.0
        """How far the service has analysed the media of the leg, as far as it reports that."""
        self.window_seconds = 0.0
        """The beginning of the window that it reported last."""
        self._confirmed = 0
        self._until_seconds = 0.0
        """The end of the sent media; infinite where it is not known."""
        self._counts = Counter[Receipt]()
        self._meter = SessionMeter()

    @property
    def use(self) -> MediaUse:
        """How much of the media was delivered, analysed and dropped."""
        return self._meter.use

    def __len__(self) -> int:
        """How many segments were written."""
        return len(self._receipts)

    def receipt_of(self, number: int) -> SegmentReceipt:
        """The receipt of a segment that was sent."""
        place = number - 1
        return SegmentReceipt(
            number,
            self._sizes[place],
            _known(self._starts[place]),
            _known(self._ends[place]),
            _KINDS[self._receipts[place]],
        )

    def add_sent(
        self,
        size: int,
        *,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
        counted_seconds: float = 0.0,
    ) -> None:
        """Add the next segment, which was written to the connection.

        Args:
            counted_seconds: Its length, or the most it can be.
        """
        self._meter.send(start_seconds, end_seconds, counted_seconds)
        self._sizes.append(size)
        self._starts.append(math.nan if start_seconds is None else start_seconds)
        self._ends.append(math.nan if end_seconds is None else end_seconds)
        self._receipts.append(_PLACES[Receipt.SENT])
        until = math.inf if end_seconds is None else end_seconds
        self._until_seconds = max(self._until_seconds, until)
        self._counts[Receipt.SENT] += 1

    def mark_delivered(self, up_to: int) -> None:
        """Note that the other end has read the segments up to this number."""
        for place in range(self._confirmed, up_to):
            if self._at(place) is Receipt.SENT:
                self._mark(place, Receipt.DELIVERED)
        self._confirmed = max(self._confirmed, up_to)

    @property
    def are_delivered(self) -> bool:
        """Whether the other end has read every segment."""
        return self._confirmed == len(self)

    def note(self, message: ServerMessage | ClientMessage) -> None:
        """Update the receipts by a message of the service."""
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
                last = max((end for end in self._ends if not math.isnan(end)), default=0.0)
                self.note_progress(last, last)
            case _:
                pass

    def note_progress(self, seconds: float, window_seconds: float) -> None:
        """Note that the service has analysed up to a second, in a window that began at another."""
        if seconds > self.answered_seconds:  # noqa: PLR1730 - nearly every message comes here
            self.answered_seconds = seconds
        self._meter.reach(self.answered_seconds)
        if window_seconds > self.window_seconds:  # noqa: PLR1730 - likewise
            self.window_seconds = window_seconds

    def note_lost(self) -> None:
        """The connection was lost: answered segments are completed, open ones unknown."""
        for place in self._open():
            if self._ends[place] <= self.answered_seconds:
                self._mark(place, Receipt.COMPLETED)
        self._settle(Receipt.UNKNOWN)

    def mark_resent(self, count: int) -> None:
        """Note that the newest `count` segments are sent again in another leg."""
        for place in range(len(self) - count, len(self)):
            self._mark(place, Receipt.RESENT)

    def counts(self) -> dict[str, int]:
        """How many segments have each receipt; those with none are left out."""
        return {r.value: self._counts[r] for r in Receipt if self._counts[r]}

    def _at(self, place: int) -> Receipt:
        return _KINDS[self._receipts[place]]

    def _open(self) -> list[int]:
        """The places of the segments whose receipt is not final."""
        return [place for place in range(len(self)) if self._at(place) in _OPEN]

    def _mark(self, place: int, receipt: Receipt) -> None:
        self._counts[self._at(place)] -= 1
        self._counts[receipt] += 1
        self._receipts[place] = _PLACES[receipt]

    def _set(self, number: int, receipt: Receipt) -> None:
        if not 1 <= number <= len(self):
            return
        was = self._at(number - 1)
        self._mark(number - 1, receipt)
        line = self.receipt_of(number)
        if receipt is Receipt.REFUSED:
            self._meter.leave_out(line.start_seconds or 0.0, line.end_seconds or 0.0)
        # v1 and v2 refuse a segment when it arrives: what came before may still wait for analysis
        is_refused_early = receipt is Receipt.REFUSED and was is not Receipt.PROCESSING
        if receipt not in _OPEN and not is_refused_early:
            self.note_progress(line.end_seconds or 0.0, line.start_seconds or 0.0)

    def _settle(self, receipt: Receipt) -> None:
        for place in self._open():
            self._mark(place, receipt)

    def _drop(self, ranges: Sequence[tuple[float, float]]) -> None:
        """Note seconds that were never analysed; `ranges` ascend and do not overlap."""
        for start, end in ranges:
            self._meter.leave_out(start, end)
            self.dropped_seconds += max(0.0, min(end, self._until_seconds) - max(0.0, start))
        begins = [start for start, _ in ranges]
        for place in self._open():
            found = bisect_right(begins, self._starts[place]) - 1
            if found < 0:
                continue
            start, end = ranges[found]
            if start <= self._starts[place] and self._ends[place] <= end:
                self._mark(place, Receipt.DROPPED)


def _known(seconds: float) -> float | None:
    return None if math.isnan(seconds) else seconds


def _ranges(fields: Mapping[str, object]) -> list[tuple[float, float]]:
    """The ranges of a message in order; those that overlap or touch are one."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(_named(newest_items(fields.get("ranges")))):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        elif start <= end:
            merged.append((start, end))
    return merged


def _named(items: Iterable[Mapping[str, object]]) -> Iterator[tuple[float, float]]:
    for item in items:
        start, end = item.get("start"), item.get("end")
        if not isinstance(start, int | float) or not isinstance(end, int | float):
            continue
        if is_media_time(start) and is_media_time(end):
            yield float(start), float(end)
