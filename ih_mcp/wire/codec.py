"""Text frames to messages and back: one table per family, reader and writer side by side.

The relay never passes through here: what is handed to callers is the text as it came. This is
for knowing what a message means, and for the stand-in's side of the wire.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

from pydantic_core import from_json

from ih_mcp.errors import RemoteProtocolError

from .dialects import Dialect, Limits, MessageFormat
from .json_fields import as_integer, as_mapping, as_number, as_optional_text, as_text, as_texts
from .messages import (
    ClientMessage,
    Close,
    Closing,
    Completed,
    Config,
    Configure,
    Ended,
    Error,
    Processing,
    Reading,
    Ready,
    ServerMessage,
    Transcript,
    Updated,
)

Fields = Mapping[str, object]
MAX_READ_CHARS = 256 * 2**10
"""A longer message is not decoded, because the whole process waits while JSON is parsed.

Documented messages stay far below: an hour of quality periods takes some 100,000 characters.
"""
MAX_READ_CONTAINERS = 20_000
"""Nor is one with more lists and objects, which cost more than all else in a message."""
M = TypeVar("M", bound=ServerMessage)
T = TypeVar("T")


def decode_server(text: str, dialect: Dialect) -> ServerMessage:
    """Decode a text frame of the server.

    Fields that are missing or of another kind than documented read as "not said"; an unknown
    type is a `Reading`.

    Raises:
        RemoteProtocolError: Not a JSON object, without the family's discriminator, or more than
            `MAX_READ_CHARS` or `MAX_READ_CONTAINERS`.
    """
    family = _FORMATS[dialect.message_format]
    kind, frame = _read_kind(text, family)
    nested = frame.get("data") if family.nests else frame
    payload = nested if isinstance(nested, dict) else frame  # blog: fields beside `type`
    row = family.by_kind.get(kind)
    return row.read(payload, frame, dialect) if row else Reading(kind, payload)


def read_type(text: str, dialect: Dialect) -> str:
    """The type of a text frame of the server; raises as `decode_server`."""
    return _read_kind(text, _FORMATS[dialect.message_format])[0]


def known_types(dialect: Dialect) -> tuple[str, ...]:
    """The types of messages that a server of this version is known to send."""
    family = dialect.message_format
    return (*_FORMATS[family].by_kind, *_READINGS[family])


def _read_kind(text: str, family: _FormatRow) -> tuple[str, Fields]:
    """The type of a text frame, and the whole frame; raises as `decode_server`."""
    if len(text) > MAX_READ_CONTAINERS:  # a shorter one cannot hold so many
        _require_short(text)
    frame = _object(text)
    kind = frame.get(family.discriminator)
    if not isinstance(kind, str):
        raise RemoteProtocolError(
            f"a message without {family.discriminator!r}", help="It was kept as it came."
        )
    return kind, frame


def _require_short(text: str) -> None:
    if len(text) > MAX_READ_CHARS:
        raise RemoteProtocolError(
            f"a message of {len(text):_} characters; {MAX_READ_CHARS:_} are read at most",
            help="It was kept as it came.",
            code="message_too_long",
        )
    if text.count("[") + text.count("{") > MAX_READ_CONTAINERS:
        raise RemoteProtocolError(
            f"a message of more than {MAX_READ_CONTAINERS:_} lists and objects",
            help="It was kept as it came.",
            code="message_too_long",
        )


def encode_server(
    message: ServerMessage, dialect: Dialect, *, correlation_id: str, timestamp: str
) -> str:
    """Encode `message` as a text frame.

    Args:
        timestamp: ISO 8601, UTC, with microseconds and `Z`; used by envelopes only.
    """
    family = _FORMATS[dialect.message_format]
    if isinstance(message, Reading):
        kind, payload = message.kind, dict(message.fields)
    else:
        row = family.by_message[type(message)]
        kind, payload = row.kind, row.write(message, dialect)
    if not family.nests:
        return json.dumps({family.discriminator: kind, "correlation_id": correlation_id, **payload})
    return json.dumps(
        {"timestamp": timestamp, "correlation_id": correlation_id, "type": kind, "data": payload}
    )  # seen, June 2026: the order of the keys


def encode_client(message: ClientMessage) -> str:
    """Encode `message` as a text frame; a config goes bare, without `type` (docs, sdk 1.3.4)."""
    match message:
        case Close():
            return '{"type":"session.close"}'
        case Configure(config):
            return json.dumps(_write_config(config))
        case Transcript(segments):  # pragma: no branch - there is no other
            return json.dumps({"type": _TRANSCRIPT, "transcript": list(segments)})


def decode_client(text: str, dialect: Dialect) -> ClientMessage:
    """Decode a text frame of a client.

    Raises:
        RemoteProtocolError: Broken JSON (`code="ih4006"`), or a shape the protocol does not know
            (`code="ih6001"`).
    """
    try:
        frame = _object(text)
    except RemoteProtocolError as exc:
        is_json = exc.code == _NO_OBJECT
        raise RemoteProtocolError(exc.what, code="ih6001" if is_json else "ih4006") from exc
    if frame.get("type") == "session.close":
        return Close()
    if frame.get("type") == _TRANSCRIPT and dialect.coaching is not None:
        return Transcript(_transcript(frame.get("transcript")))
    if unknown := sorted(set(frame) - dialect.config_keys):
        raise RemoteProtocolError(
            f"unknown field in a session config: {', '.join(unknown)}", code="ih6001"
        )
    return Configure(_read_config(frame))


# --- rows --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    kind: str
    message: type[ServerMessage]
    read: Callable[[Fields, Fields, Dialect], ServerMessage]
    """From the payload, the whole frame, and the dialect whose table fills what was not said."""
    write: Callable[[ServerMessage, Dialect], dict[str, object]]


_READINGS = {  # docs: stream-analyze v1, v0; the enumeration stays open
    MessageFormat.ENVELOPE: (
        "signal.detected",
        "signal.updated",
        "signal.ended",
        "engagement.updated",
        "conversation_quality.updated",
        "feedback.generated",
        "coverage.dropped",
        "coverage.degraded",
    ),
    MessageFormat.STATUS: ("result",),
}


def _row(
    kind: str,
    message: type[M],
    read: Callable[[Fields, Fields, Dialect], M],
    write: Callable[[M, Dialect], dict[str, object]],
) -> _Row:
    return _Row(kind, message, read, write)  # type: ignore[arg-type]  # by_message pairs them


_LIMIT_NAMES = {  # ours: the API's name, and the type it sends. docs: v1; sdk 1.3.4
    "max_idle_seconds": ("session_idle_timeout_seconds", int),
    "max_session_seconds": ("session_max_duration_seconds", int),
    "min_segment_seconds": ("min_segment_duration_seconds", float),
    "max_segment_seconds": ("max_segment_duration_seconds", float),
    "min_segment_bytes": ("min_segment_size_bytes", int),
    "max_segment_bytes": ("max_segment_size_bytes", int),
}
_REQUIRED_LIMITS = {  # sdk 1.3.4 hangs without these; the others may be absent
    "min_segment_bytes",
    "max_segment_bytes",
    "max_idle_seconds",
    "max_session_seconds",
}


def _read_ready(data: Fields, frame: Fields, dialect: Dialect) -> Ready:
    options = as_mapping(data.get("supported_session_config_options"))
    declared = {
        ours: as_number(data[theirs])
        for ours, (theirs, _) in _LIMIT_NAMES.items()
        if theirs in data and _is_limit(ours, data[theirs])
    }
    table = {f.name: getattr(dialect.limits, f.name) for f in fields(Limits)}
    if declared:  # seen on v1, June 2026: limits without a least duration, and shorter pieces taken
        table["min_segment_seconds"] = None
    return Ready(
        limits=Limits(**(table | declared)),
        includes=as_texts(options.get("include")) or (),
        goal_dimensions=as_texts(options.get("goal_dimensions")),
        models=as_texts(options.get("model")),
        correlation_id=as_optional_text(frame.get("correlation_id")),
    )


def _is_limit(name: str, value: object) -> bool:
    """A bound that makes sense; null means "no bound" where a bound may be missing."""
    if value is None:
        return name not in _REQUIRED_LIMITS
    number = as_number(value)
    return number is not None and number >= 0


def _write_ready(ready: Ready, dialect: Dialect) -> dict[str, object]:
    data: dict[str, object] = {}
    for ours, (theirs, kind) in _LIMIT_NAMES.items():
        value = getattr(ready.limits, ours)
        if value is not None:
            data[theirs] = kind(value)
        elif ours == "max_segment_seconds":
            data[theirs] = None  # sdk 1.3.4: present, null where unlimited
    return {**data, "supported_session_config_options": _write_options(ready, dialect)}


def _write_options(ready: Ready, dialect: Dialect) -> dict[str, object]:
    """What is not offered is null, neither left out nor empty (seen on v1, June 2026).

    `model` is null on v1 (skill v2; the recording is older than models). Realtime names no goals
    (seen, June 2026).
    """
    if dialect.coaching is not None:
        return {
            "realtime_recommendation_instructions": "string",  # sdk 1.3.4; seen: this very text
            "realtime_recommendation_frequency": list(dialect.coaching.frequencies),
            "analysis_groups": list(dialect.coaching.groups),
        }
    return {
        "include": list(ready.includes),
        "goal_dimensions": _list_or_none(ready.goal_dimensions),
        "model": list(ready.models or dialect.models) or None,
    }


_KINDS: Mapping[type, str] = {str: "text", dict: "object"}
_NO_OBJECT = "no_object"
_TRANSCRIPT = "transcript.updated"  # sdk 1.3.4, realtime


def _read_config(data: Fields) -> Config:
    return Config(
        include=_config_texts(data, "include"),
        goal_dimensions=_config_texts(data, "goal_dimensions"),
        model=_config_value(data, "model", str),
        audio_format=_config_value(data, "audio_format", dict),
        analysis_groups=_config_texts(data, "analysis_groups"),
        realtime_recommendation_frequency=_config_value(
            data, "realtime_recommendation_frequency", str
        ),
        realtime_recommendation_instructions=_config_value(
            data, "realtime_recommendation_instructions", str
        ),
    )


def _transcript(value: object) -> Sequence[Fields]:
    """Segments with their times and text; `speaker` may be left out (sdk 1.3.4: 0)."""
    segments = [as_mapping(item) for item in value] if isinstance(value, list) else [{}]
    for said in segments:
        has_times = all(as_number(said.get(name)) is not None for name in ("start", "end"))
        if not has_times or not isinstance(said.get("text"), str):
            raise RemoteProtocolError(
                "a transcript is a list of segments with start, end and text", code="ih6001"
            )
    return segments


def _config_value(data: Fields, name: str, kind: type[T]) -> T | None:
    value = data.get(name)
    if value is None or isinstance(value, kind):
        return value
    raise RemoteProtocolError(f"{name} of a session config is no {_KINDS[kind]}", code="ih6001")


def _config_texts(data: Fields, name: str) -> tuple[str, ...] | None:
    if data.get(name) is None:
        return None
    texts = as_texts(data[name])
    if texts is None:
        raise RemoteProtocolError(f"{name} of a session config is not a list", code="ih6001")
    return texts


def _write_config(config: Config) -> dict[str, object]:
    said = {f.name: getattr(config, f.name) for f in fields(Config)}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in said.items()
        if value is not None
    }


def _read_updated(data: Fields, _frame: Fields, _dialect: Dialect) -> Updated:
    return Updated(
        Config(
            include=as_texts(data.get("include")),
            goal_dimensions=as_texts(data.get("goal_dimensions")),
            model=as_optional_text(data.get("model")),
        )
    )


def _write_updated(updated: Updated, dialect: Dialect) -> dict[str, object]:
    """What is not set is null (seen on v1, June 2026); `audio_format` is in no source of it."""
    config = updated.config
    if dialect.coaching is not None:
        return _write_config(config)
    return {
        "include": list(config.include or ()),
        "goal_dimensions": _list_or_none(config.goal_dimensions),
        "model": config.model,
    }


def _read_error(data: Fields, frame: Fields, _dialect: Dialect) -> Error:
    return Error(
        code=as_text(data.get("code") or data.get("error_id")),  # streams say code, HTTP error_id
        message=as_text(data.get("message") or data.get("error")),  # earliest v0: error
        link=as_optional_text(data.get("link")),
        segment=_segment(data),
        correlation_id=as_optional_text(frame.get("correlation_id")),
    )


def _segment(data: Fields) -> int | None:
    number = as_number(data.get("segment"))
    return int(number) if number is not None else None


@dataclass(frozen=True, slots=True)
class _FormatRow:
    discriminator: str
    nests: bool
    by_kind: Mapping[str, _Row]
    by_message: Mapping[type, _Row]


def _format_row(discriminator: str, rows: Sequence[_Row], *, nests: bool) -> _FormatRow:
    return _FormatRow(
        discriminator, nests, {row.kind: row for row in rows}, {row.message: row for row in rows}
    )


_FORMATS = {
    MessageFormat.ENVELOPE: _format_row(
        "type",
        [
            _row("session.ready", Ready, _read_ready, _write_ready),
            _row("session.updated", Updated, _read_updated, _write_updated),
            _row(
                "session.closing",
                Closing,
                lambda data, _, __: Closing(
                    max(0.0, as_number(data.get("max_drain_seconds")) or 0.0)
                ),
                lambda m, _: {"max_drain_seconds": int(m.max_drain_seconds)},
            ),
            _row(
                "session.ended",
                Ended,
                lambda data, _, __: Ended(as_text(data.get("reason"))),
                lambda m, _: {"reason": m.reason},
            ),
            _row(
                "error",
                Error,
                _read_error,
                lambda m, _: {
                    "code": m.code,
                    "message": m.message,
                    "link": m.link,
                    "segment": m.segment,
                },
            ),
        ],
        nests=True,
    ),
    MessageFormat.STATUS: _format_row(
        "status",
        [
            _row(
                "processing",
                Processing,
                lambda data, _, __: Processing(_segment(data) or 0, as_integer(data.get("bytes"))),
                lambda m, _: {"segment": m.segment, "bytes": m.size},
            ),
            _row(
                "completed",
                Completed,
                lambda data, _, __: Completed(_segment(data) or 0),
                lambda m, _: {"segment": m.segment},
            ),
            _row(
                "error",
                Error,
                _read_error,
                lambda m, _: {
                    "segment": m.segment,
                    "error_id": m.code,
                    "link": m.link,
                    "message": m.message,
                },
            ),
        ],
        nests=False,
    ),
}

# --- JSON is `object` until looked at ------------------------------------------------------------


def _object(text: str) -> Fields:
    """The object that a text is, read by pydantic's parser, which takes a third of the time.

    What that refuses, `json` reads: half of a surrogate pair, or lists 200 deep.
    """
    try:
        frame = from_json(text)
    except (TypeError, ValueError):
        frame = _json(text)
    if not isinstance(frame, dict):
        raise RemoteProtocolError(
            "a message that is not a JSON object", help="It was kept as it came.", code=_NO_OBJECT
        )
    return frame


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise RemoteProtocolError(
            "a message that is not JSON", help="It was kept as it came."
        ) from exc


def _list_or_none(values: tuple[str, ...] | None) -> list[str] | None:
    return None if values is None else list(values)
