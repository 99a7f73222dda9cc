r"""Scripts of faults: what the stand-in does besides, or instead of, what the API does.

A script is a list of steps. Each names a point of a session and one action, as JSON::

    [{"at": "ready", "send": "{\"type\" : \"x\"}"},
     {"at": "segment", "n": 3, "session": 1, "error": "ih6002"},
     {"at": "segment", "n": 5, "close": 1001, "reason": "going away"},
     {"at": "segment", "n": 2, "reset": true},
     {"at": "window", "n": 4, "shed": true},
     {"at": "closing", "stall": "telling"},
     {"at": "message", "change": {"type": "signal.detected", "extra": {"a": 1}, "repeat": 2}},
     {"at": "message", "frames": 7},
     {"at": "request", "path": "/v2/upload/analyze", "n": 1, "status": 503, "retry_after": 1},
     {"at": "job", "n": 1, "lingers": 2}]

Points of a session, in its order: `upgrade` (before the answer to the handshake), `open` (before
the greeting), `ready` (after it), `segment` (a binary message arrived; before it is looked at),
`window` (before its messages leave; `n` counts from 1), `closing` (after `session.closing`),
`drain` (before `session.ended`); `message` is every message that is about to leave, `request`
every HTTP request of an upload or token (`n` counts those to one path), `job` every v2 upload
job. `n` and `session` count from 1; left out, the step holds for each.
A step that could never act is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from ih_mcp.errors import ConfigurationError


class At(StrEnum):
    """A point where a step can act."""

    UPGRADE = "upgrade"
    OPEN = "open"
    READY = "ready"
    SEGMENT = "segment"
    WINDOW = "window"
    CLOSING = "closing"
    DRAIN = "drain"
    MESSAGE = "message"
    REQUEST = "request"
    JOB = "job"


@dataclass(frozen=True, slots=True)
class Send:
    """Send a text frame exactly as it stands here, whatever it is."""

    text: str
    times: int = 1


@dataclass(frozen=True, slots=True)
class Refuse:
    """Send an error of the catalog; at a segment, instead of analysing it.

    A close follows where the catalog knows one, or where `close_code` names one.
    """

    code: str
    close_code: int | None = None


@dataclass(frozen=True, slots=True)
class CloseWith:
    """Close with this code, without a message before."""

    code: int
    reason: str = ""

    def __post_init__(self) -> None:
        if not (self.code in _OWN_CLOSES or 3000 <= self.code <= 4999):
            raise ValueError(f"a close frame cannot carry {self.code}")
        if len(self.reason.encode()) > _MAX_REASON_BYTES:
            raise ValueError(f"a reason has at most {_MAX_REASON_BYTES} bytes")


@dataclass(frozen=True, slots=True)
class Reset:
    """Drop the connection without a close frame."""


@dataclass(frozen=True, slots=True)
class Stall:
    """Stop reading or sending, but keep the connection open."""

    what: str
    """`reading`: read nothing more; `telling`: send nothing more."""

    def __post_init__(self) -> None:
        if self.what not in {"reading", "telling"}:
            raise ValueError("stall is `reading` or `telling`")


@dataclass(frozen=True, slots=True)
class DelayJob:
    """Answer this often that a job is queued, then as often that it runs."""

    answers: int


@dataclass(frozen=True, slots=True)
class ShedWindow:
    """Do not analyse this window."""


@dataclass(frozen=True, slots=True)
class SplitIntoFrames:
    """Send messages in several frames of so many bytes, which may cut a character in two."""

    bytes: int

    def __post_init__(self) -> None:
        if self.bytes < 1:
            raise ValueError("frames have at least a byte")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerWith:
    """Answer a request or handshake with this status."""

    status: int
    error: str | None = None
    """An id of the catalog, for the body; without one the body is no JSON."""
    retry_after_seconds: int | None = None
    path: str | None = None
    """Only requests to this path."""

    def __post_init__(self) -> None:
        if not 200 <= self.status <= 599:
            raise ValueError("a status is from 200 to 599")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Change messages that are about to be sent; their JSON is written again."""

    type: str | None = None
    """Only messages of this type; each where left out."""
    extra: Mapping[str, object] = field(default_factory=dict)
    """Fields to add to `data`."""
    nulls: tuple[str, ...] = ()
    """Fields of `data` to set to null."""
    without: tuple[str, ...] = ()
    """Fields of `data` to leave out."""
    pad_bytes: int = 0
    """Length of an additional field."""
    whole_numbers: bool = False
    """Write times without a fraction as integers, as some sources have them."""
    repeat: int = 1
    """How often to send it; 0 sends nothing."""

    def texts(self, text: str) -> list[str]:
        """What to send instead of `text`."""
        frame = json.loads(text)
        if self.type not in {None, frame.get("type"), frame.get("status")}:
            return [text]
        data = frame.get("data", frame)
        data.update(self.extra)
        data.update(dict.fromkeys(self.nulls))
        for name in self.without:
            data.pop(name, None)
        if self.whole_numbers:
            data.update({k: int(v) for k, v in data.items() if _is_whole(v)})
        if self.pad_bytes:
            data["padding"] = "x" * self.pad_bytes
        return [json.dumps(frame)] * self.repeat


Action = (
    Send
    | Refuse
    | CloseWith
    | Reset
    | Stall
    | DelayJob
    | ShedWindow
    | SplitIntoFrames
    | AnswerWith
    | Change
)
A = TypeVar("A", bound=Action)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptStep:
    """One action at one point."""

    at: At
    action: Action
    n: int | None = None
    session: int | None = None


@dataclass(frozen=True, slots=True)
class Script:
    """Steps, in order."""

    steps: Sequence[ScriptStep] = ()

    def actions(self, at: At, *, n: int | None = None, session: int | None = None) -> list[Action]:
        """What to do at a point."""
        return [
            step.action
            for step in self.steps
            if step.at is at
            and (step.n is None or step.n == n)
            and (step.session is None or step.session == session)
        ]

    @classmethod
    def parse(cls, steps: object) -> Script:
        """Read steps from decoded JSON.

        Raises:
            ConfigurationError: A step cannot be understood; the text names its position.
        """
        if not isinstance(steps, list):
            raise ConfigurationError("a script is a JSON list of steps", code="bad_script")
        return cls(tuple(_parse_step(number, step) for number, step in enumerate(steps, 1)))

    @classmethod
    def load(cls, path: Path) -> Script:
        """Read a script from a file; blocks.

        Raises:
            ConfigurationError: Not readable, no JSON, or a step that cannot be understood.
        """
        try:
            return cls.parse(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as exc:
            raise ConfigurationError(
                f"the script {path.name} cannot be read: {exc}", code="bad_script"
            ) from exc


def select_actions(actions: Iterable[Action], kind: type[A]) -> list[A]:
    """The actions of one kind."""
    return [action for action in actions if isinstance(action, kind)]


# Key that tells the action, then its fields: JSON's name, ours, and the type it must have.
_Field = tuple[str, str, type | tuple[type, ...]]
_ACTS: Sequence[tuple[str, type[Action], Sequence[_Field]]] = (
    ("send", Send, [("send", "text", str), ("times", "times", int)]),
    ("error", Refuse, [("error", "code", str), ("close", "close_code", int)]),
    ("close", CloseWith, [("close", "code", int), ("reason", "reason", str)]),
    ("reset", Reset, []),
    ("stall", Stall, [("stall", "what", str)]),
    ("lingers", DelayJob, [("lingers", "answers", int)]),
    ("shed", ShedWindow, []),
    ("frames", SplitIntoFrames, [("frames", "bytes", int)]),
)
_ANSWER: Sequence[_Field] = (
    ("status", "status", int),
    ("error", "error", str),
    ("retry_after", "retry_after_seconds", int),
    ("path", "path", str),
)
_CHANGE: Sequence[_Field] = (
    ("type", "type", str),
    ("extra", "extra", dict),
    ("null", "nulls", list),
    ("without", "without", list),
    ("pad_bytes", "pad_bytes", int),
    ("whole_numbers", "whole_numbers", bool),
    ("repeat", "repeat", int),
)
_NAMES: Mapping[type[Action], str] = {
    **{kind: key for key, kind, _ in _ACTS},
    AnswerWith: "status",
    Change: "change",
}
_WHERE = {"at", "n", "session"}

_OWN_CLOSES = {*range(1000, 1004), *range(1007, 1015)}  # RFC 6455, 7.4; the others never travel
_MAX_REASON_BYTES = 123  # RFC 6455, 5.5

# What can act at a point, and whether `n` and `session` tell one such point from another.
_SAID: tuple[type[Action], ...] = (Send, Refuse, CloseWith, Reset, Stall)
_POINTS: Mapping[At, tuple[tuple[type[Action], ...], bool, bool]] = {
    At.UPGRADE: ((AnswerWith,), True, True),
    At.OPEN: (_SAID, False, True),
    At.READY: (_SAID, False, True),
    At.SEGMENT: (_SAID, True, True),
    At.WINDOW: ((*_SAID, ShedWindow), True, True),
    At.CLOSING: (_SAID, False, True),
    At.DRAIN: (_SAID, False, True),
    At.MESSAGE: ((Change, SplitIntoFrames), False, True),
    At.REQUEST: ((AnswerWith,), True, False),
    At.JOB: ((DelayJob, Refuse), True, False),
}


def _parse_step(number: int, step: object) -> ScriptStep:
    try:
        if not isinstance(step, dict):
            raise TypeError("it is no object")
        made = ScriptStep(
            at=At(step.get("at", "")),
            action=_parse_action(
                {name: value for name, value in step.items() if name not in _WHERE}
            ),
            n=_parse_count(step, "n"),
            session=_parse_count(step, "session"),
        )
        _require_effect(made)
    except (TypeError, ValueError) as exc:
        raise ConfigurationError(f"step {number} of the script: {exc}", code="bad_script") from exc
    return made


def _require_effect(step: ScriptStep) -> None:
    """Refuse a step that can never act: its author would wait for it."""
    actions, counts, is_of_session = _POINTS[step.at]
    if not isinstance(step.action, actions):
        known = ", ".join(_NAMES[action] for action in actions)
        raise TypeError(
            f"{_NAMES[type(step.action)]} does nothing at {step.at}; known there: {known}"
        )
    for name, value, counts_here in (
        ("n", step.n, counts),
        ("session", step.session, is_of_session),
    ):
        if value is not None and not counts_here:
            raise ValueError(f"{name} tells nothing at {step.at}")


def _parse_action(said: Mapping[str, object]) -> Action:
    if "status" in said:
        return AnswerWith(**_parse_fields(said, _ANSWER))
    if isinstance(change := said.get("change"), dict):
        said_of = _parse_fields(change, _CHANGE)
        for name in ("nulls", "without"):
            said_of[name] = tuple(said_of.get(name, ()))
        return Change(**said_of)
    for key, kind, fields_of in _ACTS:
        if key in said:
            return kind(
                **_parse_fields(said, fields_of or [(key, key, bool)], keep=bool(fields_of))
            )
    raise ValueError(
        f"no action in it; known: {', '.join(key for key, *_ in _ACTS)}, status, change"
    )


def _parse_fields(
    said: Mapping[str, object], known: Sequence[_Field], *, keep: bool = True
) -> dict[str, Any]:  # checked against the rows right here
    if unknown := set(said) - {name for name, *_ in known}:
        raise ValueError(f"unknown field {', '.join(sorted(unknown))}")
    for name, _, kind in known:
        if name in said and not _is_kind(said[name], kind):
            raise TypeError(f"{name} has the wrong type")
    if isinstance(text := said.get("send"), str):
        text.encode()  # a lone surrogate cannot travel
    return {ours: said[name] for name, ours, _ in known if name in said} if keep else {}


def _is_kind(value: object, kind: type | tuple[type, ...]) -> bool:
    """Whether the value has the type. A boolean is no number; a switch is `true` or left out."""
    if kind is bool or isinstance(value, bool):
        return kind is bool and value is True
    return isinstance(value, kind)


def _is_whole(value: object) -> bool:
    return isinstance(value, float) and value.is_integer()


def _parse_count(step: Mapping[str, object], name: str) -> int | None:
    value = step.get(name)
    if value is None or (isinstance(value, int) and value > 0):
        return value
    raise ValueError(f"{name} is no count from 1")
