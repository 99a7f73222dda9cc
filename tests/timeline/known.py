"""A known sequence of messages, and what it adds up to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from math import ceil

from ih_mcp.journal import Entry
from ih_mcp.streams.status import LossStatus, StreamStatus
from ih_mcp.timeline.model import Drawing, Timeline
from ih_mcp.wire.dialects import V1

RECORD = {"state": "ended", "api": "v1", "source": "talk.mp4", "media_seconds": 40.0,
    "segments": {"completed": 4}, "notes": ["measured by <nobody>"]}  # fmt: skip
STATUS = StreamStatus.from_json(RECORD)


def message(kind: str, **data: object) -> str:
    return json.dumps({"type": kind, "timestamp": "t", "correlation_id": "c", "data": data})


MESSAGES = [
    message("session.ready"),
    message("signal.detected", signal_type="hesitation", start=3.0, probability="high",
        rationale="long <pause> & \"um\"", modality=["video"]),
    message("engagement.updated", state="engaged", start=3.0),
    message("signal.detected", signal_type="agreement", start=6.0, probability="low",
        rationale="nods", modality=["video"]),
    message("signal.updated", signal_type="agreement", start=9.0, probability="medium",
        rationale="nods twice", modality=["video"]),
    message("signal.ended", signal_type="hesitation", end=9.0),
    message("coverage.dropped", ranges=[{"start": 12.0, "end": 15.0}]),
    message("coverage.degraded", ranges=[{"start": 15.0, "end": 16.5}]),
    message("conversation_quality.updated", overall={"quality_index": 61},
        timeline=[{"start": 0, "end": 11, "values": {"quality_index": 60.4, "clarity": 58}}]),
    message("conversation_quality.updated", overall={"quality_index": 63},
        timeline=[{"start": 11, "end": 20, "values": {"quality_index": 66}}]),
    message("engagement.updated", state="neutral", start=21.0),
    "not json",
    message("signal.detected", signal_type="hesitation", start=24.0, probability="medium",
        rationale="again", modality=["video"]),
]  # fmt: skip
SPANS = [
    ("hesitation", 3.0, 9.0, "high"),
    ("agreement", 6.0, 40.0, "medium"),
    ("hesitation", 24.0, 40.0, "medium"),
]
PHASES = [
    ("hesitation", 3.0, 9.0, "high"),
    ("agreement", 6.0, 9.0, "low"),
    ("agreement", 9.0, 40.0, "medium"),
    ("hesitation", 24.0, 40.0, "medium"),
]


def signal(kind: str, name: str, at: float, probability: object = None) -> str:
    place = "end" if kind == "ended" else "start"
    label = {} if kind == "ended" else {"probability": probability, "rationale": f"at {at:g}"}
    return message(f"signal.{kind}", signal_type=name, **{place: at}, **label)


CHANGING = [
    signal("detected", "hesitation", 0, "low"),
    signal("updated", "hesitation", 6, "medium"),
    signal("updated", "hesitation", 9, "low"),
    signal("ended", "hesitation", 20),
    signal("detected", "hesitation", 15, "high"),
    signal("ended", "hesitation", 29),
    signal("detected", "hesitation", 27, "low"),
    signal("detected", "agreement", 3),
    signal("ended", "agreement", 11),
    message("engagement.updated", state="engaged", start=0),
    message("engagement.updated", state="neutral", start=14),
    message("engagement.updated", state="disengaged", start=30),
    message("coverage.dropped", ranges=[{"start": 36, "end": 41}]),
    message("coverage.degraded", ranges=[{"start": 50, "end": 55}]),
    *(
        message("conversation_quality.updated", overall={}, timeline=[{"start": at, "end": at + 8,
            "values": {"quality_index": 50, "clarity": 0, "authority": 100, "energy": 25,
                "rapport": 75, "learning": 60}}])
        for at in (0, 8, 24)
    ),
]  # fmt: skip
"""Low, medium, low; three spans that overlap; every state; gaps; quality with a hole in it."""
CHANGING_STATUS = StreamStatus.from_json(
    {
        "state": "ended", "api": "v1", "endpoint": "local", "source": "talk.mp4", "label": "P07",
        "analyst": "placeholder", "media_seconds": 60.0,
        "started_at": "2026-11-30T01:02:03+01:00", "lost": {"media_s": [[43, 46.5]]},
    }
)  # fmt: skip


def drawn(messages: Sequence[str], status: StreamStatus, *, stream_id: str = "st_0123") -> Drawing:
    """What a stream of these messages looks like when it is over."""
    timeline = Timeline(V1)
    timeline.fold_all(entries(messages), status)
    timeline.close(status)
    return timeline.as_json(status, stream_id=stream_id)


def changing_drawing() -> Drawing:
    return drawn(CHANGING, CHANGING_STATUS)


def entries(messages: Sequence[str] = MESSAGES) -> list[Entry]:
    return [Entry(place, 0, 1_000_000 + place, text) for place, text in enumerate(messages, 1)]


def drawing(status: StreamStatus = STATUS) -> Drawing:
    timeline = Timeline(V1)
    for entry in entries():
        timeline.fold(entry)
    timeline.close(status)
    segments = [
        {"number": n, "start": 10.0 * (n - 1), "end": min(10.0 * n, status.media_seconds),
            "bytes": 5, "receipt": "completed"}
        for n in range(1, ceil(status.media_seconds / 10) + 1)
    ]  # fmt: skip
    return timeline.as_json(status, stream_id="st_1", segments=segments)


HOUR_SECONDS = 3600.0


def hour_drawing() -> Drawing:
    """An hour: every 20 s one of four signals is there for 12 s; some of it is not analysed."""
    names = ("agreement", "confusion", "hesitation", "interest")
    messages = []
    for number, at in enumerate(range(4, int(HOUR_SECONDS) - 20, 20)):
        name = names[number * 7 % 4]
        word = ("low", "medium", "high")[number % 3]
        messages += [signal("detected", name, at, word), signal("ended", name, at + 12)]
    for at, state in ((0, "neutral"), (400, "engaged"), (1500, "disengaged"), (2100, "engaged")):
        messages.append(message("engagement.updated", state=state, start=at))
    messages.append(message("coverage.dropped", ranges=[{"start": 1800, "end": 1830}]))
    status = replace(CHANGING_STATUS, media_seconds=HOUR_SECONDS, lost=None)
    return drawn(messages, status)


_LOOKED_AT = [
    signal("detected", "hesitation", 0, "low"),
    *(signal("updated", "hesitation", at, word) for at, word in ((6, "medium"), (9, "low"),
        (12, "medium"), (15, "high"))),
    signal("ended", "hesitation", 24),
    signal("detected", "hesitation", 21, "medium"),
    signal("ended", "hesitation", 32),
    signal("detected", "hesitation", 30, "low"),
    signal("detected", "agreement", 3),
    signal("ended", "agreement", 11),
    signal("detected", "interest", 9, "high"),
    signal("ended", "interest", 17),
    message("engagement.updated", state="engaged", start=0),
    message("engagement.updated", state="neutral", start=14),
    message("engagement.updated", state="disengaged", start=30),
    message("coverage.dropped", ranges=[{"start": 36, "end": 41}]),
    message("coverage.degraded", ranges=[{"start": 50, "end": 55}]),
    message("conversation_quality.updated", overall={}, timeline=[
        {"start": 8 * n, "end": 8 * n + 8, "values": {"quality_index": 50 + 2 * n,
            "clarity": 20 + 9 * n, "authority": 70 - 3 * n, "energy": (50, 62, 74)[n % 3],
            "rapport": 44 + n, "learning": 95 - 8 * n}} for n in range(7)]),
]  # fmt: skip


def shown_drawing() -> Drawing:
    """Of the picture in the docs: phases, overlaps, states, scores and each kind of gap."""
    status = replace(
        CHANGING_STATUS, source="dialogue.mp4", media_seconds=61.2,
        lost=LossStatus(media_s=((43.0, 46.5),)),
    )  # fmt: skip
    return drawn(_LOOKED_AT, status, stream_id="st_0123456789abcdef0123456789abcdef")
