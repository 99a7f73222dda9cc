"""The status of a stream: what is reported of it beside its messages.

It is one type for live streams and for those that the journal keeps. The names of its fields are
the keys of its JSON, which the journal stores and every reader shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field
from functools import cache
from typing import Annotated, ClassVar

from pydantic import PlainValidator, TypeAdapter, ValidationError

from ih_mcp.errors import IhMcpError
from ih_mcp.stand_in import LOCAL, STAND_IN
from ih_mcp.wire.endings import EndReason


def _require_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text")  # noqa: TRY004 - pydantic takes a ValueError for its own
    return value


Text = Annotated[str, PlainValidator(_require_text)]
"""A text as it is: names of files may hold halves of characters, which pydantic refuses."""


class _AsJson:
    """A dataclass as an object of JSON; a field that has its default is left out."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[object]]]

    def to_json(self, names: Sequence[str] = ()) -> dict[str, object]:
        """Their values by name, in this order; of all fields in theirs where none is named."""
        known = self.__dataclass_fields__
        values = {name: getattr(self, name) for name in names or known}
        return {
            name: _to_json(value)
            for name, value in values.items()
            if value != _default_of(known[name])
        }


def _default_of(each: Field[object]) -> object:
    return each.default if each.default_factory is MISSING else each.default_factory()


def _to_json(value: object) -> object:
    if isinstance(value, _AsJson):
        return value.to_json()
    if isinstance(value, Mapping):
        return {name: _to_json(item) for name, item in value.items()}
    return [_to_json(item) for item in value] if isinstance(value, tuple | list) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class JumpStatus(_AsJson):
    """A jump in the clock of the stream's file."""

    at_s: float | None = None
    left_out_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldStatus(_AsJson):
    """A segment that waits long for its time."""

    from_s: float | None = None
    """Where its media begins, in the file."""
    for_s: float | None = None
    until: Text = ""
    """When it is sent, as UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GapStatus(_AsJson):
    """What lies between two legs, for readers of the messages of both.

    Where the clock of the stream's file jumps, seconds are places in the file.
    """

    legs: tuple[int, int]
    cursor: int | None = None
    """The cursor of the last message before the gap."""
    reason: Text = ""
    segments: Mapping[str, int] | None = None
    """How many segments of the earlier leg have each receipt."""
    close_code: int | None = None
    server_code: Text | None = None
    media_offset_s: float | None = None
    """Where in the media of the stream the later leg begins."""
    clock: Text = ""
    """Whether the messages of the later leg count from there (`from_zero`) or go on counting
    (`as_recorded`)."""
    lost_media_s: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LossStatus(_AsJson):
    """Media whose results may be missing, in seconds of the stream, and segments to match."""

    media_s: tuple[tuple[float, float], ...] = ()
    let_go_s: float = 0.0
    """How much live media was never sent, as the connection was slower."""
    segments_unknown: int = 0
    segments_not_sent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStatus(_AsJson):
    """What is reported of a stream at one moment."""

    state: Text = ""
    api: Text = ""
    """The name of the API version."""
    endpoint: Text = ""
    stand_in: Text = ""
    """One sentence where the stand-in answered; empty where the service did."""
    analyst: Text = ""
    """Who reads the media: the analyst of the stand-in, or the model of the service."""
    label: Text = ""
    fingerprint: Text = ""
    """Of a file's bytes and options, by which a batch finds its stream again."""
    source: Text = ""
    duration_s: float | None = None
    """Of the stream's file, where it is known."""
    tracks: tuple[Text, ...] = ()
    """Of `audio` and `video`, those of that file; empty where that is not known."""
    pace: Text = ""
    """How fast that file is sent."""
    notes: tuple[Text, ...] = ()
    """What readers of the results should know, as sentences."""
    started_at: Text = ""
    messages: int = 0
    irregular_messages: int = 0
    segments: Mapping[str, int] = field(default_factory=dict)
    """How many segments have each receipt, over all legs."""
    bytes_sent: int = 0
    media_seconds: float = 0.0
    usage: Mapping[str, float] | None = None
    """Seconds of media that were delivered, analysed and dropped, as `MediaUse` names them."""
    correlation_id: Text = ""
    clock_jumps: tuple[JumpStatus, ...] = ()
    held: HeldStatus | None = None
    gaps: tuple[GapStatus, ...] = ()
    lost: LossStatus | None = None
    what_now: Text = ""
    """One sentence for who decides what to do; empty while all goes well."""
    reason: Text = ""
    retry_after_s: float = 0.0
    error: Mapping[str, object] | None = None
    """The failure, as `error_to_json` gives it."""
    retryable: bool | None = None
    last_cursor: int | None = None
    next_seq: int | None = None
    process: Mapping[str, object] | None = None
    """The other process that carries the stream."""

    @property
    def is_over(self) -> bool:
        """Whether the stream has ended or failed."""
        return self.state in {"ended", "failed"}

    @classmethod
    def from_json(cls, record: Mapping[str, object]) -> StreamStatus:
        """Read a status that this or another version of ih-mcp stored.

        A value that this version does not know, or cannot read, is left out.
        """
        if record.get("endpoint") == LOCAL:  # before there was a field for it
            record = {**record, "stand_in": STAND_IN}
        try:
            return _reader().validate_python(record)
        except ValidationError as exc:
            unread = {error["loc"][0] for error in exc.errors() if error["loc"]}
            known = {name: value for name, value in record.items() if name not in unread}
            return _reader().validate_python(known)


@cache
def _reader() -> TypeAdapter[StreamStatus]:
    return TypeAdapter(StreamStatus)  # takes 8 ms; the server must start fast


def shown_state(record: Mapping[str, object]) -> str:
    """The state of a stream's record for people: one that was stopped did not just end."""
    is_stopped = record.get("reason") == EndReason.STOPPED
    return str(record.get("reason" if is_stopped else "state", ""))


def error_to_json(failure: IhMcpError) -> dict[str, object]:
    """A failure as named values: what, help, code, retry, and its facts."""
    return {
        "code": failure.code,
        "what": failure.what,
        "help": failure.help,
        "retry": failure.retry,
        **failure.facts,
    }
