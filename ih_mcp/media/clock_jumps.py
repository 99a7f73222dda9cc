"""Clocks that jump: stretches of a stream in which no track has media are left out of its time.

A recorder whose clock is set while it records writes times that are hours ahead. Nothing is shown
and nothing is heard there, so what follows is moved to where the media before it ended. A picture
that stays while sound goes on is no jump, and neither is silence under moving pictures.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

from .containers.container_types import MediaUnit, TimeJump, TrackSpan

MAX_PAUSE_SECONDS = 10.0  # chosen: as ffmpeg takes it where clocks may jump (dts_delta_threshold)
MAX_STILL_SECONDS = 600.0  # chosen: without sound a picture may stay, on slides for minutes


@dataclass(frozen=True, slots=True)
class ClockJump:
    """Of a clock."""

    at_seconds: float
    """In the time of segments."""
    seconds: float
    """How far it jumps; so much was left out."""


def max_pause_seconds(*, has_sound: bool) -> float:
    """How long a stream may have neither picture nor sound to show, before its clock jumps."""
    return MAX_PAUSE_SECONDS if has_sound else MAX_STILL_SECONDS


class Jumps:
    """Moves the units of one stream, in order, so that no pause is longer than a maximum.

    Tracks that jump together stay in step: one that jumps after another goes as far.

    Args:
        max_pause_seconds: Of all tracks at once.
        known: What was left out already when the stream was made.
    """

    def __init__(self, max_pause_seconds: float, known: Sequence[ClockJump] = ()) -> None:
        self._max_pause = max_pause_seconds
        self._known = known
        self._reached: float | None = None
        self._before: MediaUnit | None = None
        """The unit that was placed last, where it was placed."""
        self._skipped = defaultdict[int, float](float)
        """By track: how much was left out so far."""
        self.jumped = dict[int, TimeJump]()
        """The tracks that `placed` found to jump, the last time; by the clock as it was placed
        before."""

    def placed(self, unit: MediaUnit) -> MediaUnit:
        """The same unit, where its media belongs."""
        self.jumped = {}
        unit = self._undecided_as_decoded(unit)
        is_moved, reached = any(self._skipped.values()), self._reached
        if not is_moved and reached is not None and unit.end_seconds - reached <= self._max_pause:
            self._reached = max(reached, unit.end_seconds)  # as nearly all: nothing can jump
        else:
            for span in sorted(unit.spans, key=self._begins):
                self._place(span)
            if any(self._skipped.values()):
                unit = unit.earlier(self._skipped)
        self._before = unit
        if not self._known:
            return unit
        known = sum(j.seconds for j in self._known if j.at_seconds <= unit.end_seconds)
        return replace(unit, skipped_seconds=unit.skipped_seconds + known) if known else unit

    def _undecided_as_decoded(self, unit: MediaUnit) -> MediaUnit:
        """A key frame that is shown far ahead counts from when it is decoded.

        Whether the clock jumps there, or pictures stay while sound goes on, is seen from what
        comes after it.
        """
        if all(span.ahead_seconds <= self._max_pause for span in unit.spans):
            return unit
        return replace(
            unit,
            spans=tuple(span.as_decoded() for span in unit.spans),
            timestamps=tuple(timestamp._replace(ahead=()) for timestamp in unit.timestamps),
        )

    def _begins(self, span: TrackSpan) -> float:
        return span.first_seconds - span.lead_seconds - self._skipped[span.track]

    def _place(self, span: TrackSpan) -> None:
        reached = self._begins(span) if self._reached is None else self._reached
        if self._begins(span) - reached > self._max_pause:
            reached = max([reached, *self._shown_until()])
            to, before = self._begins(span), self._skipped[span.track]
            self._skipped[span.track] = self._fitting(span, reached)
            far = self._skipped[span.track] - before
            self.jumped[span.track] = TimeJump(to - far, to)
        self._reached = max(reached, span.end_seconds - self._skipped[span.track])

    def _shown_until(self) -> Iterator[float]:
        """When the last pictures before this unit end: some are decoded before they are shown."""
        for span in self._before.spans if self._before else ():
            yield span.end_seconds + span.late_seconds

    def _fitting(self, span: TrackSpan, reached: float) -> float:
        """How much to leave out: as much as another track that jumped by as far."""
        begins = span.first_seconds - span.lead_seconds
        others = (
            skipped
            for skipped in self._skipped.values()
            if abs(begins - skipped - reached) <= self._max_pause
        )
        return next(others, begins - reached)


def left_out(jumps: Sequence[ClockJump], time: str) -> str:
    """How many seconds to leave out before a packet or picture, as an expression of ffmpeg.

    Args:
        jumps: Of the stream; what is behind one comes as much earlier.
        time: What gives the seconds of the packet there.
    """
    terms, before = [], 0.0
    for jump in jumps:
        in_between = jump.at_seconds + before + jump.seconds / 2
        terms.append(f"gte({time},{in_between:.6f})*{jump.seconds:.6f}")
        before += jump.seconds
    return "+".join(terms)


class PacketClock:
    """Finds where the clock of a file jumps, in what `commands.packets` writes.

    Feed it the lines in any pieces; `jumps` are then those so far, in order, where they stand in
    the time that is left. Where pictures stay, a file may have the next ones far ahead of the sound
    that belongs before them; that is no jump.
    """

    def __init__(self, max_pause_seconds: float, begins_seconds: float | None = None) -> None:
        """Begin.

        Args:
            max_pause_seconds: What is longer is a jump.
            begins_seconds: Where the stream begins; None where its first packet does.
        """
        self._max_pause = max_pause_seconds
        self._rest = b""
        self._tick_seconds: dict[bytes, float] = {}
        self._reached = begins_seconds
        self._pauses: list[tuple[float, float]] = []
        """Where packets that came next stand far behind all before them: from when to when."""
        self._stretches = defaultdict[int, list[_TrackStretch]](list)
        """Of each track, those without a long pause."""
        self._last: dict[int, float] = {}
        self._longest = defaultdict[int, float](float)

    @property
    def jumps(self) -> list[ClockJump]:
        """Worked out anew each time, with one walk over pauses and stretches."""
        stretches = sorted(chain.from_iterable(self._stretches.values()))
        jumps, skipped, place, furthest = list[ClockJump](), 0.0, 0, -math.inf
        for reached, time in self._pauses:  # each begins where the one before has ended, or later
            furthest, is_filled = max(furthest, reached), True
            while place < len(stretches) and stretches[place].begin_seconds <= time:
                # else media for that time came later in the file: pictures were written ahead of it
                is_filled &= stretches[place].begin_seconds - furthest <= self._max_pause
                furthest = max(furthest, stretches[place].end_seconds)
                place += 1
            if not is_filled:
                jumps.append(ClockJump(reached - skipped, time - reached))
                skipped += time - reached
        return jumps

    @property
    def media_seconds(self) -> float:
        """Until where there is media, without what jumps leave out."""
        return (self._reached or 0.0) - sum(jump.seconds for jump in self.jumps)

    def longest_seconds(self, track: int) -> float:
        """From one packet of a track to the next, or to the end of all, at most.

        Args:
            track: Counted from 0, as they were asked for.
        """
        end = self._reached or 0.0
        return max(self._longest[track], end - self._last.get(track, end))

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"#tb "):
                track, _, base = line[4:].partition(b":")
                ticks, _, second = base.partition(b"/")
                self._tick_seconds[track] = int(ticks) / int(second)
            elif not line.startswith(b"#"):
                self._measure(line.split(b",", 4))

    def _measure(self, packet: Sequence[bytes]) -> None:
        tick_seconds = self._tick_seconds[packet[0]]
        time, length = int(packet[1]) * tick_seconds, int(packet[3]) * tick_seconds
        track = int(packet[0])
        self._longest[track] = max(self._longest[track], time - self._last.get(track, time))
        self._last[track] = time
        reached, end = self._reached, time + min(length, _MAX_PACKET_SECONDS)
        if reached is not None and time - reached > self._max_pause:
            self._pauses.append((reached, time))
        self._reached = end if reached is None else max(reached, end)
        stretches = self._stretches[track]
        if not stretches or time - stretches[-1].end_seconds > self._max_pause:
            stretches.append(_TrackStretch(time, end))
        elif end > stretches[-1].end_seconds:
            stretches[-1] = _TrackStretch(stretches[-1].begin_seconds, end)


class _TrackStretch(NamedTuple):
    begin_seconds: float
    end_seconds: float


_MAX_PACKET_SECONDS = 0.1  # chosen: of a picture that stays, a longer one is not believed
