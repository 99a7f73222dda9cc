"""Messages in the shapes of older documentation, for clients that must read both.

Only what the newest sources dropped: `end` in a detection (a v1 quickstart), the minimum duration
in the greeting (docs: stream-analyze v1), and the first shapes of v0 (docs: its quickstart).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

Json = dict[str, object]

_MIN_SECONDS = 3  # docs: stream-analyze v1


def to_legacy(text: str) -> str:
    """The same message in its older shape, if it had one."""
    frame: Json = json.loads(text)
    change = _CHANGES.get(str(frame.get("type", frame.get("status"))))
    return json.dumps(change(frame)) if change else text


def _greeting(frame: Json) -> Json:
    return _with_data(frame, {"min_segment_duration_seconds": _MIN_SECONDS})


def _detection(frame: Json) -> Json:
    data = frame["data"]
    assert isinstance(data, dict)
    return _with_data(frame, {"end": data["start"]})


def _result(frame: Json) -> Json:
    """Everything of a signal had another name, and the list another place."""
    signals = frame.pop("signals")
    assert isinstance(signals, list)
    return {**frame, "data": {"signal": [_signal(item) for item in signals]}}


def _signal(item: Mapping[str, str]) -> Json:
    return {
        "type": item["type"].capitalize(),
        "start": item["start"],
        "end": item["end"],
        "reasoning": item["rationale"],
        "feedback": "",
        "confidence": item["probability"].capitalize(),
        "intensity": "Strong",
    }


def _error(frame: Json) -> Json:
    """v0 said it in one field; an envelope's error was never otherwise."""
    if "status" not in frame:
        return frame
    named = {"status", "segment", "correlation_id"}
    return {k: v for k, v in frame.items() if k in named} | {"error": frame["message"]}


def _with_data(frame: Json, more: Json) -> Json:
    data = frame["data"]
    assert isinstance(data, dict)
    return {**frame, "data": {**data, **more}}


_CHANGES: Mapping[str, Callable[[Json], Json]] = {
    "session.ready": _greeting,
    "signal.detected": _detection,
    "result": _result,
    "error": _error,
}
