"""Spans of signals, engagement and conversation quality, folded from the messages of a server.

A signal is inactive or active; each type has at most one open span. `Lifecycle` serves summaries
and pictures only: the relay never passes through here.

::

    inactive --detected--> active      signal.detected   start of the window
    active   --updated---> active      signal.updated    start of the window
    active   --ended-----> inactive    signal.ended      end of the last window that had it
    active   --close-----> inactive    (no message)      end of the media

docs: stream-analyze v1; skill: stream-analyze v2; the times are inferred from the samples there.

Each message about a signal begins a phase of its span, so that a change stays known after the next
one: low, medium from 6 s on, low again from 9 s on are three phases. The phases of a span cover it
without gaps. Windows overlap, and therefore spans of one signal may: 0 to 11 s, then 9 to 17 s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from .json_fields import as_text
from .messages import Reading, ServerMessage
from .progress import is_media_time, newest_items

Fields = Mapping[str, object]
_FREED_AT_ONCE = 2000
MAX_MEDIA_SECONDS = 7 * 24 * 3600.0
"""Chosen: of one stream."""
MAX_LAYERS = 8
"""Chosen: how many spans of one signal are shown beside each other; windows of 8 s every 3 s make
two."""


class MessagePlace(NamedTuple):
    """Which message it was; 0 and 0 where the caller of `Lifecycle.receive` does not say."""

    cursor: int = 0
    leg: int = 0


NO_PLACE = MessagePlace()


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A signal from its detection to its end."""

    signal_type: str
    start_seconds: float
    """Where it was detected; an update's `start` is the time of the change and moves nothing."""
    end_seconds: float | None = None
    """None while it is active."""
    probability: object = None
    """The newest label, as it came: `high`, `medium`, `low`; a number in old samples."""
    rationale: str | None = None
    """The newest."""
    changes: int = 0
    """How many updates it saw."""
    ends_implicitly: bool = False
    """No message ended it: the session did."""
    layer: int = 0
    """Spans of one signal that overlap have different layers, from 0; `MAX_LAYERS` where all are
    taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of a span, between two messages about it."""

    span: int
    """The number of its span, from 0."""
    signal_type: str
    layer: int
    """As of its span."""
    start_seconds: float
    end_seconds: float | None = None
    """None while it is the newest of a span that is active."""
    probability: object = None
    """The label, as it came."""
    rationale: str | None = None
    """The newest that is known."""
    begins: MessagePlace = NO_PLACE
    ends: MessagePlace | None = None
    """The message that ended it; None while it is active, and where none did."""

    @property
    def ends_implicitly(self) -> bool:
        """Whether no message ended it: the session did."""
        return self.end_seconds is not None and self.ends is None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngagementSpan:
    """A state of engagement; it lasts until the next one."""

    state: str
    start_seconds: float
    end_seconds: float | None = None
    begins: MessagePlace = NO_PLACE
    ends: MessagePlace | None = None

    @property
    def ends_implicitly(self) -> bool:
        """Whether no message ended it: the session did."""
        return self.end_seconds is not None and self.ends is None


@dataclass(frozen=True, slots=True)
class MediaRange:
    """A stretch of media time, in seconds; the end is outside."""

    start_seconds: float
    end_seconds: float
    place: MessagePlace = NO_PLACE


@dataclass(frozen=True, slots=True)
class QualityPeriod:
    """A closed period of conversation quality."""

    fields: Fields
    """As they came, with `start` and `end` in seconds of the stream."""
    place: MessagePlace = NO_PLACE


class Lifecycle:
    """The signals, engagement and quality that the messages of one stream add up to.

    Feed every message to `receive` in order of arrival, then `close` once. Older forms of the
    messages are understood too: fields beside `data` instead of inside, several signals in one
    message, an `end` that comes with the detection (ignored; `signal.ended` follows later).
    """

    def __init__(self) -> None:
        self.engagement: list[EngagementSpan] = []
        self.quality_overall: Fields | None = None
        """The newest scores of the session so far."""
        self.quality_timeline: list[QualityPeriod] = []
        self.feedback: list[str] = []
        self.dropped: list[MediaRange] = []
        """Media that nobody analysed."""
        self.degraded: list[MediaRange] = []
        """Media that was analysed with part of its picture."""
        self.latest_seconds = 0.0
        """The latest media time any message named."""
        self.until_seconds = MAX_MEDIA_SECONDS
        """No message speaks of a later second: the end of the media, where it is known."""
        self.clipped = 0
        """How many times lay outside of the media, and were put at its edge."""
        self.made = 0
        """How many spans, phases and the like were made so far, also those in place of others."""
        self._spans: list[Span] = []
        self._phases: list[Phase] = []
        self._open: dict[str, tuple[int, int]] = {}
        """The span of each active signal, and its newest phase."""
        self._layers: dict[str, list[float]] = {}
        """Of each signal, until when its layers are taken."""
        self._place = NO_PLACE

    @property
    def spans(self) -> Sequence[Span]:
        """All spans, in order of detection."""
        return tuple(self._spans)

    @property
    def phases(self) -> Sequence[Phase]:
        """The phases of all spans, in the order in which they began."""
        return tuple(self._phases)

    def clear(self) -> None:
        """Forget everything, in steps: freed at once, 100,000 spans would stop all threads."""
        for found in (self._open, self._layers):
            while found:
                found.popitem()
        lists: list[list[Any]] = [self._spans, self._phases, self.engagement]
        lists += [self.quality_timeline, self.feedback, self.dropped, self.degraded]
        for items in lists:
            while items:
                del items[-_FREED_AT_ONCE:]

    @property
    def active(self) -> Sequence[Span]:
        """The spans nothing ended yet."""
        return tuple(self._spans[index] for index, _ in self._open.values())

    def receive(
        self,
        message: ServerMessage,
        *,
        offset_seconds: float = 0.0,
        place: MessagePlace = NO_PLACE,
    ) -> None:
        """Fold one message in; those that say nothing about lives change nothing.

        Args:
            offset_seconds: Where the message's zero lies: the start of its leg, or of its
                segment where times count from the segment (early v0).
            place: Which message it is, for phases to name it.
        """
        self._place = place
        if isinstance(message, Reading) and (fold := _FOLDS.get(message.kind)):
            fold(self, message.fields, offset_seconds)

    def close(self, at_seconds: float | None = None) -> None:
        """End what is open, for the session has ended.

        Args:
            at_seconds: The end of the media; the latest time any message named where unknown.
        """
        for _ in self.close_in_steps(at_seconds):
            pass

    def close_in_steps(self, at_seconds: float | None = None) -> Iterator[None]:
        """The same for whoever has to look after something else in between."""
        end = self.latest_seconds if at_seconds is None else at_seconds
        for signal_type in list(self._open):
            self._end(signal_type, end, implicitly=True)
            yield
        self._end_engagement(end, implicitly=True)

    def _detect(self, data: Fields, offset: float) -> None:
        for item in list_signals(data):
            signal_type = name_signal(item)
            if signal_type in self._open:  # a repeated detection is a change
                self._change(item, offset)
            elif signal_type:
                start = self._read_time(item, "start", "t", offset=offset)
                self._open[signal_type] = self._begin(item, signal_type, start)

    def _begin(self, item: Fields, signal_type: str, start: float) -> tuple[int, int]:
        """Add a span and its first phase; gives their numbers."""
        layers = self._layers.setdefault(signal_type, [])
        free = (layer for layer, until in enumerate(layers) if until <= start)
        layer = next(free, len(layers))
        if layer == len(layers) < MAX_LAYERS:
            layers.append(math.inf)
        elif layer < MAX_LAYERS:
            layers[layer] = math.inf
        span = Span(
            signal_type=signal_type,
            start_seconds=start,
            probability=item.get("probability", item.get("confidence")),  # early v0: confidence
            rationale=as_text(item.get("rationale")) or as_text(item.get("reasoning")) or None,
            layer=layer,
        )
        self._spans.append(span)
        number = len(self._spans) - 1
        return number, self._begin_phase(span, number, start)

    def _begin_phase(self, span: Span, number: int, start: float) -> int:
        self.made += 2  # the span was made, too
        self._phases.append(
            Phase(
                span=number,
                signal_type=span.signal_type,
                layer=span.layer,
                start_seconds=start,
                probability=span.probability,
                rationale=span.rationale,
                begins=self._place,
            )
        )
        return len(self._phases) - 1

    def _update(self, data: Fields, offset: float) -> None:
        for item in list_signals(data):
            if name_signal(item) in self._open:
                self._change(item, offset)
            else:  # its detection was never seen
                self._detect(item, offset)

    def _change(self, item: Fields, offset: float) -> None:
        at = self._read_time(item, "start", "t", offset=offset)
        index, newest = self._open[name_signal(item)]
        span = replace(
            self._spans[index],
            probability=item.get("probability", self._spans[index].probability),
            rationale=as_text(item.get("rationale")) or self._spans[index].rationale,
            changes=self._spans[index].changes + 1,
        )
        at = max(at, self._phases[newest].start_seconds)
        self._phases[newest] = replace(self._phases[newest], end_seconds=at, ends=self._place)
        self._spans[index] = span
        self._open[span.signal_type] = index, self._begin_phase(span, index, at)

    def _end_signals(self, data: Fields, offset: float) -> None:
        for item in list_signals(data):
            self._end(name_signal(item), self._read_time(item, "end", "t", offset=offset))

    def _end(self, signal_type: str, end: float, *, implicitly: bool = False) -> None:
        if signal_type in self._open:  # an end without a beginning says nothing
            self._finish(*self._open.pop(signal_type), end, implicitly=implicitly)

    def _finish(self, index: int, newest: int, end: float, *, implicitly: bool = False) -> None:
        """End a span with its newest phase, and not before that began."""
        self.made += 2
        span, phase = self._spans[index], self._phases[newest]
        end = max(end, phase.start_seconds)
        self._phases[newest] = replace(
            phase,
            end_seconds=end,
            ends=None if implicitly else self._place,
        )
        self._spans[index] = replace(span, end_seconds=end, ends_implicitly=implicitly)
        if span.layer < MAX_LAYERS:  # what lasts no time keeps its place to itself
            taken = end if end > span.start_seconds else math.nextafter(end, math.inf)
            self._layers[span.signal_type][span.layer] = taken

    def _begin_engagement(self, data: Fields, offset: float) -> None:
        state = as_text(data.get("state"))
        start = self._read_time(data, "start", "t", offset=offset)
        if state and (not self.engagement or self.engagement[-1].state != state):
            self._end_engagement(start)
            self.made += 2
            self.engagement.append(
                EngagementSpan(state=state, start_seconds=start, begins=self._place)
            )

    def _end_engagement(self, end: float, *, implicitly: bool = False) -> None:
        if self.engagement and self.engagement[-1].end_seconds is None:
            last = self.engagement[-1]
            self.engagement[-1] = replace(
                last,
                end_seconds=max(end, last.start_seconds),
                ends=None if implicitly else self._place,
            )

    def _update_quality(self, data: Fields, offset: float) -> None:
        overall = data.get("overall") or data.get("scores")  # blog: scores
        if isinstance(overall, Mapping):
            self.quality_overall = overall
        for entry in newest_items(data.get("timeline")):
            end = self._read_time(entry, "end", offset=offset)
            start = self._read_time(entry, "start", offset=offset)
            period = QualityPeriod({**entry, "start": start, "end": end}, self._place)
            self.quality_timeline.append(period)
            self.made += 1

    def _add_feedback(self, data: Fields, _offset: float) -> None:
        if text := as_text(data.get("feedback")):
            self.feedback.append(text)

    def _add_dropped(self, data: Fields, offset: float) -> None:
        self.dropped += self._read_ranges(data, offset)

    def _add_degraded(self, data: Fields, offset: float) -> None:
        self.degraded += self._read_ranges(data, offset)

    def _read_ranges(self, data: Fields, offset: float) -> list[MediaRange]:
        items = newest_items(data.get("ranges"))
        self.made += len(items)
        return [
            MediaRange(
                self._read_time(item, "start", offset=offset),
                self._read_time(item, "end", offset=offset),
                self._place,
            )
            for item in items
        ]

    def _add_result(self, data: Fields, offset: float) -> None:
        """v0: one message has all signals of a segment, with their ends."""
        body = result_body(data)
        for item in list_signals(body) if _has_signals(body) else ():
            start = self._read_time(item, "start", offset=offset)
            end = self._read_time(item, "end", offset=offset)
            self._finish(*self._begin(item, name_signal(item), start), end)
        for item in newest_items(body.get("engagement_state")):
            self._begin_engagement(item, offset)
            self._read_time(item, "end", offset=offset)
        quality = body.get("conversation_quality")
        if isinstance(quality, Mapping):
            self._update_quality(quality, offset)

    def _read_time(self, item: Fields, *names: str, offset: float) -> float:
        for name in names:
            value = item.get(name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if is_media_time(value):
                seconds = self._clip(value + offset)
                self.latest_seconds = max(self.latest_seconds, seconds)
                return seconds
        return self.latest_seconds

    def _clip(self, seconds: float) -> float:
        found = min(max(0.0, seconds), self.until_seconds)
        self.clipped += found != seconds
        return found


_FOLDS: Mapping[str, Callable[[Lifecycle, Fields, float], None]] = {
    "signal.detected": Lifecycle._detect,  # noqa: SLF001 - rows of the class above
    "signal.updated": Lifecycle._update,  # noqa: SLF001
    "signal.ended": Lifecycle._end_signals,  # noqa: SLF001
    "engagement.updated": Lifecycle._begin_engagement,  # noqa: SLF001
    "conversation_quality.updated": Lifecycle._update_quality,  # noqa: SLF001
    "feedback.generated": Lifecycle._add_feedback,  # noqa: SLF001
    "coverage.dropped": Lifecycle._add_dropped,  # noqa: SLF001
    "coverage.degraded": Lifecycle._add_degraded,  # noqa: SLF001
    "result": Lifecycle._add_result,  # noqa: SLF001
}


def result_body(data: Fields) -> Fields:
    """What a `result` of v0 reports; early v0: `data.signal[]`."""
    nested = data.get("data")
    return nested if isinstance(nested, Mapping) else data


def _has_signals(data: Fields) -> bool:
    return isinstance(data.get("signals", data.get("signal")), list)


def list_signals(data: Fields) -> Iterable[Fields]:
    """The signals of a message: itself, or those in its `signals` (docs: v1 quickstart)."""
    if _has_signals(data):
        return newest_items(data.get("signals", data.get("signal")))
    return (data,)


def name_signal(item: Fields) -> str:
    """docs: `signal_type`; v0 and quickstart: `type`, there also capitalised; blog: `signal`."""
    for name in ("signal_type", "signal", "type"):
        if text := as_text(item.get(name)):
            return text.lower()
    return ""
