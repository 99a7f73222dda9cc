"""The timeline of a stream: its messages folded into lanes, as plain values ready for JSON.

`wire/spans` folds them, the same for every picture; the messages themselves are not changed.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, TypeVar

import anyio
from anyio import to_thread

from ih_mcp.errors import RemoteProtocolError
from ih_mcp.garbage_collector import MANY_OBJECTS, leave_out_new, leaving_out
from ih_mcp.journal import Entry, Journal, follow
from ih_mcp.streams.config import CAMERA
from ih_mcp.streams.ids import IdKind
from ih_mcp.streams.kept_status import read_status
from ih_mcp.streams.status import StreamStatus
from ih_mcp.wire.codebook import SIGNAL_MEANINGS
from ih_mcp.wire.codec import decode_server
from ih_mcp.wire.dialects import DIALECTS, Dialect
from ih_mcp.wire.messages import ServerMessage
from ih_mcp.wire.spans import (
    MAX_MEDIA_SECONDS,
    EngagementSpan,
    Fields,
    Lifecycle,
    MediaRange,
    MessagePlace,
    Phase,
    Span,
)
from ih_mcp.wire.upload_results import read_upload_result

from .about import about
from .media_time import end_of_media, leg_offsets, lost_media, unsent_media

Drawing = dict[str, object]
"""One timeline as plain values, with the names that `Timeline.as_json` gives them."""

LISTS = ("spans", "phases", "engagement", "quality", "dropped", "degraded", "feedback", "segments")
"""The names of a `Drawing` that hold lists, which grow and whose last items change."""
_MOST = 1e300
_PAGE = 1000
_PAGE_CHARS = 4_000_000
_MAX_PART = 2000
_SLACK_SECONDS = 60.0
_MAX_NAME_CHARS = 100
_MAX_TEXT_CHARS = 2000
T = TypeVar("T")


class Timeline:
    """The timeline of one stream: fold its entries in order, then ask for the drawing."""

    def __init__(self, dialect: Dialect, *, is_upload: bool = False) -> None:
        """Begin.

        Args:
            is_upload: Whether the one message is the result of an upload.
        """
        self._dialect = dialect
        self._is_upload = is_upload
        self.lifecycle = Lifecycle()
        """What the messages add up to."""
        self._leg = 0
        self._is_closed = False
        self._made = self._items_made = 0
        """How many objects had been made when they were last left out of collections."""
        self._known: dict[str, list[tuple[object, object]]] = {}
        """The items of each list as `as_json` last gave them, each with its source."""
        self.messages = 0
        self.not_kept = 0
        """How many messages came before the oldest one that is kept."""
        self.cursor = 0
        """The cursor of the newest entry that was folded in."""

    def fold_all(self, entries: Iterable[Entry], status: StreamStatus) -> None:
        """Fold entries in; may take long, so call it in a thread.

        Args:
            status: Of the stream, not older than the entries.
        """
        offsets = leg_offsets(status)
        self.lifecycle.until_seconds = _end_of_media(status)
        for entry in entries:
            self.fold(entry, offset_seconds=offsets.get(entry.leg, 0.0))

    def discard(self, drawing: Drawing) -> None:
        """Free this timeline and its last drawing; blocks, but never keeps the interpreter long."""
        for items in self._known.values():
            free_items(items)
        free_lists(drawing)
        self.lifecycle.clear()

    def _spare_collector(self) -> None:
        """Leave the objects of an enormous stream out of collections; they are in no cycle."""
        made = self.lifecycle.made + self._items_made
        if made - self._made >= MANY_OBJECTS:
            self._made = made
            leave_out_new()

    def fold(self, entry: Entry, *, offset_seconds: float = 0.0) -> None:
        """Fold an entry in; a message that cannot be read is counted and draws nothing.

        Args:
            offset_seconds: Where the entry's leg begins, in media time of the stream.
        """
        if not self.messages:
            self.not_kept = entry.cursor - 1
        self.messages += 1
        self.cursor = entry.cursor
        if entry.leg != self._leg:  # a new session knows no open spans of the last one
            self._leg = entry.leg
            self._end_all(offset_seconds)
        if isinstance(entry.body, bytes):
            return
        message = self._decode(entry.body)
        if message is None:
            return
        place = MessagePlace(entry.cursor, entry.leg)
        self.lifecycle.receive(message, offset_seconds=offset_seconds, place=place)
        self._spare_collector()

    def _decode(self, body: str) -> ServerMessage | None:
        if self._is_upload:
            return read_upload_result(body)
        try:
            return decode_server(body, self._dialect)
        except RemoteProtocolError:
            return None

    def close(self, status: StreamStatus) -> None:
        """End all open spans with the media: the stream is over. Blocks, as `fold_all` does."""
        self._is_closed = True
        self._end_all(status.media_seconds)

    def _end_all(self, seconds: float) -> None:
        """End what is open at this time, or at the latest that was named."""
        for _ in self.lifecycle.close_in_steps(max(seconds, self.lifecycle.latest_seconds)):
            self._spare_collector()

    def as_json(
        self,
        status: StreamStatus,
        *,
        stream_id: str,
        segments: Sequence[Mapping[str, object]] = (),
    ) -> Drawing:
        """The drawing; blocks, as `fold_all` does.

        Args:
            status: Of the stream, as far as it is known.
            segments: Each with `number`, `start`, `end` (seconds, or None) and `receipt`.
        """
        life = self.lifecycle
        return {
            "stream_id": stream_id,
            "state": status.state,
            "reason": status.reason,
            "ended": self._is_closed,
            "api": self._dialect.name,
            "about": about(status, stream_id=stream_id, api=self._dialect.name),
            "endpoint": status.endpoint,
            "stand_in": status.stand_in,
            "label": status.label,
            "source": status.source,
            "started_at": status.started_at,
            "is_camera": status.source == CAMERA and not status.pace,  # a file has a pace
            "source_seconds": status.duration_s,
            "notes": list(status.notes),
            "error": status.error,
            "clock_jumps": [jump.to_json() for jump in status.clock_jumps],
            "seconds": round(max(life.latest_seconds, end_of_media(status)), 3),
            "messages": self.messages,
            "not_kept": self.not_kept,
            "clipped": life.clipped,
            "meanings": SIGNAL_MEANINGS,
            "usage": dict(status.usage or {}),
            "lost": _lost(status),
            "not_sent": [list(each) for each in unsent_media(status)],
            "receipts": dict(status.segments),
            "bytes_sent": status.bytes_sent,
            "overall": _numbered(life.quality_overall),
            "spans": self._items("spans", life.spans, _span),
            "phases": self._items("phases", life.phases, _phase),
            "engagement": self._items("engagement", life.engagement, _state),
            "quality": self._items(
                "quality", [period.fields for period in life.quality_timeline], _period
            ),
            "dropped": self._items("dropped", life.dropped, _pair),
            "degraded": self._items("degraded", life.degraded, _pair),
            "feedback": [_short(text) for text in life.feedback],
            "segments": [dict(segment) for segment in segments],
        }

    def _items(self, name: str, found: Sequence[T], to_json: Callable[[T], object]) -> list[object]:
        """The items of a list; one that did not change since the last time is the same object."""
        known = self._known.setdefault(name, [])
        for index, source in enumerate(found):
            if index >= len(known) or known[index][0] is not source:
                known[index : index + 1] = [(source, to_json(source))]
                self._items_made += 1
                self._spare_collector()
        return [item for _, item in known]


def changes(before: Drawing, after: Drawing) -> Drawing:
    """The difference that turns `before` into `after`; blocks, and may take long.

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
        old, new = items_of(before.get(name, [])), items_of(after[name])
        differing = (
            [index, item]
            for index, item in enumerate(new)
            if index >= len(old) or (old[index] is not item and old[index] != item)
        )
        items = list(leaving_out(differing))
        if items or len(old) != len(new) or name not in before:
            lists[name] = {"length": len(new), "items": items}
    found: Drawing = {}
    if changed:
        found["set"] = changed
    if lists:
        found["lists"] = lists
    return found


def in_parts(before: Drawing, changed: Mapping[str, Any]) -> Iterator[Drawing]:
    """The same changes as several, none of them large; `ended` comes with the last.

    Long lists of `changed` are taken to pieces meanwhile: whoever dropped one as a whole would be
    held up by freeing it.
    """
    lists: Mapping[str, Any] = changed.get("lists", {})
    large = {name: change for name, change in lists.items() if len(change["items"]) > _MAX_PART}
    if not large:
        yield dict(changed)
        return
    values = dict(changed.get("set", {}))
    last = {"ended": values.pop("ended")} if "ended" in values else {}
    lengths = {name: len(items_of(before.get(name, []))) for name in large}
    begun = {name: {"length": length, "items": []} for name, length in lengths.items()}
    yield {"set": values, "lists": {**lists, **begun}}
    for name, change in large.items():
        items = change["items"]
        while items:
            part = items[:_MAX_PART]
            del items[:_MAX_PART]
            length = max(lengths[name], part[-1][0] + 1)
            yield {"lists": {name: {"length": length, "items": part}}}
    if last:
        yield {"set": last}


def as_text(drawing: Drawing) -> str:
    """A drawing as JSON; blocks, but never keeps the interpreter for long."""
    items = (f"{_compact(name)}:{_value(value)}" for name, value in drawing.items())
    return f"{{{','.join(items)}}}"


def as_text_once(drawing: Drawing) -> str:
    """A drawing as JSON, which is freed: the loop would free 100,000 spans in one go."""
    text = as_text(drawing)
    free_lists(drawing)
    return text


def items_of(value: object) -> list[Any]:
    """The items of a list in a drawing."""
    assert isinstance(value, list)
    return value


def ranges_of(value: object) -> list[tuple[float, float]]:
    """Where and until when, in seconds, for each range in a list of a drawing."""
    return [(start, end) for start, end in items_of(value)]


def free_lists(drawing: Drawing) -> None:
    """Free what is long in a drawing; blocks, but never keeps the interpreter for long."""
    for name in LISTS:
        free_items(items_of(drawing.get(name, [])))


def free_items(items: list[Any]) -> None:
    """Empty a list, as `free_lists` does."""
    while items:
        del items[-_MAX_PART:]


def _value(value: object) -> str:
    return f"[{','.join(map(_compact, value))}]" if isinstance(value, list) else _compact(value)


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), default=str)


def dialect_of(status: StreamStatus) -> Dialect:
    """The API version of a stream; v1 where its status does not name one."""
    return DIALECTS.get(status.api, DIALECTS["v1"])


async def follow_timeline(
    journal: Journal, stream_id: str, *, on_read: Callable[[int, int], None] | None = None
) -> AsyncGenerator[Drawing]:
    """The drawing of a stream of any process, again after each commit, until it is over.

    The first one holds all that is kept; the last one has `ended`.

    Args:
        on_read: Called with the newest cursor that was read, and with the newest there is.

    Raises:
        UnknownStreamError: There is no such stream.
    """
    status = await read_status(journal, stream_id)
    timeline = make_timeline(stream_id, status)
    following = follow(journal, stream_id, limit=_PAGE, max_chars=_PAGE_CHARS)
    try:
        async with aclosing(following) as pages:
            async for page in pages:
                status = await read_status(journal, stream_id)
                await to_thread.run_sync(timeline.fold_all, page.entries, status)
                if on_read:
                    on_read(page.cursor, page.last)
                if not page.is_newest:
                    continue  # there is more to read before there is something to show
                if page.is_final:
                    await to_thread.run_sync(timeline.close, status)
                draw = partial(timeline.as_json, status, stream_id=stream_id)
                yield await to_thread.run_sync(draw)
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(timeline.discard, {})  # the drawing is the caller's


def make_timeline(stream_id: str, status: StreamStatus) -> Timeline:
    """A timeline that reads the messages of this stream, or the result of this upload."""
    return Timeline(dialect_of(status), is_upload=IdKind.UPLOAD.has(stream_id))


async def read_timeline(
    journal: Journal, stream_id: str, *, on_read: Callable[[int, int], None] | None = None
) -> Drawing:
    """The drawing of a stream as the journal has it now; arguments as `follow_timeline`.

    Raises:
        UnknownStreamError: There is no such stream.
    """
    async with aclosing(follow_timeline(journal, stream_id, on_read=on_read)) as drawings:
        async for drawing in drawings:
            return drawing
    raise AssertionError("there is always a first one")


def _end_of_media(status: StreamStatus) -> float:
    """The latest time that a message can have.

    The status of a stream that did not end in order may be older than its last messages.
    """
    seconds = status.media_seconds
    is_known = status.state == "ended" and seconds > 0 and not status.clock_jumps
    return seconds + (_SLACK_SECONDS if is_known else MAX_MEDIA_SECONDS)


def _period(entry: Fields) -> Mapping[str, object]:
    values = entry.get("values")
    return {
        "start": entry.get("start"),
        "end": entry.get("end"),
        "values": _numbered(values) if isinstance(values, Mapping) else {},
    }


def _numbered(value: object) -> object:
    """A value of a message that any JSON reader takes: NaN and 1e999 become null."""
    if isinstance(value, Mapping):
        return {name: _numbered(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_numbered(each) for each in value]
    if isinstance(value, int | float) and not -_MOST < value < _MOST:
        return None
    return value


def _pair(item: MediaRange) -> list[float]:
    return [item.start_seconds, item.end_seconds]


def _lost(status: StreamStatus) -> dict[str, object]:
    if status.lost is None:
        return {}
    media = lost_media(status)
    return status.lost.to_json() | ({"media_s": media} if media else {})


def _span(span: Span) -> Mapping[str, object]:
    return {
        "signal": _short(span.signal_type, _MAX_NAME_CHARS),
        "start": span.start_seconds,
        "end": span.end_seconds,
        "probability": _label(span.probability),
        "rationale": span.rationale and _short(span.rationale),
        "changes": span.changes,
    }


def _phase(phase: Phase) -> Mapping[str, object]:
    return {
        "span": phase.span,
        "layer": phase.layer,
        "signal": _short(phase.signal_type, _MAX_NAME_CHARS),
        "start": phase.start_seconds,
        "end": phase.end_seconds,
        "ends_implicitly": phase.ends_implicitly,
        "probability": _label(phase.probability),
        "rationale": phase.rationale and _short(phase.rationale),
    }


def _state(span: EngagementSpan) -> Mapping[str, object]:
    return {
        "state": _short(span.state, _MAX_NAME_CHARS),
        "start": span.start_seconds,
        "end": span.end_seconds,
        "ends_implicitly": span.ends_implicitly,
    }


def _label(probability: object) -> object:
    """A text or number as it came; anything else as a short text."""
    value = _numbered(probability)
    if value is None or isinstance(value, int | float):
        return value
    return _short(str(value), _MAX_NAME_CHARS)


def _short(text: str, most: int = _MAX_TEXT_CHARS) -> str:
    """A text of the service as a picture holds it; the message has all of it."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
