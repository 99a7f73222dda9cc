from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from interhumanai import realtime

from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.analysis.analyst import Observation, Observations
from ih_mcp.standin.analysis.windows import Window
from ih_mcp.standin.faults.script import Script
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import serve
from ih_mcp.standin.sessions.realtime_session import NO_GUIDANCE, RealtimeMessageBuilder
from ih_mcp.wire.dialects import REALTIME
from ih_mcp.wire.messages import Config, Reading
from ih_mcp.wire.ranges import Ranges
from ih_mcp.wire.spans import MediaRange
from tests.facts import shows

from .fakes import open_toy, toy
from .test_app import opened, running, until
from .test_sdk import vendor

EVENTS = {
    name
    for name in (model.__name__ for model in realtime._REALTIME_EVENT_MODELS.values())
    if name != "UnknownEvent"
}


async def told(url: str, *configs: object, media: Sequence[bytes]) -> list[dict[str, Any]]:
    """All messages of a session that sends its media between its configurations."""
    async with opened(url, REALTIME.path) as socket:
        await until(socket, "session.ready")
        for config, part in zip(configs, media, strict=True):
            await socket.send(json.dumps(config))
            await until(socket, "session.updated")
            await socket.send(part)
        await socket.send('{"type":"session.close"}')
        return [json.loads(text) async for text in socket]


@shows("realtime")
async def test_the_sdk_receives_every_event_it_knows(tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    (tmp_path / "part-0").write_bytes(toy(0, 9))
    (tmp_path / "part-1").write_bytes(
        toy(9, 15, header=False, pictures=False) + toy(40, 60, header=False)
    )
    (tmp_path / "part-2").write_bytes(b"refused by order")
    script = Script.parse([{"at": "segment", "n": 3, "error": "ih5007"}])
    async with serve(Options(script=script), ffmpeg=ffmpeg, open_decoder=open_toy) as standin:
        seen = await vendor("live", standin.url, tmp_path)
    classes = [event["class"] for event in seen["events"]]
    assert set(classes) == EVENTS
    assert len(EVENTS) == 12
    assert seen["close"] == 1000
    options = seen["ready"]["data"]["supported_session_config_options"]
    assert options["analysis_groups"] == ["audio", "visual"]
    assert options["realtime_recommendation_frequency"] == ["high", "medium", "low"]
    updated = next(e["data"] for e in seen["events"] if e["class"].endswith("SessionUpdatedEvent"))
    assert updated == {
        "analysis_groups": ["audio", "visual"],
        "realtime_recommendation_frequency": "high",
        "realtime_recommendation_instructions": "Coach the presenter.",
    }
    texts = standin.recorder.sessions[0].texts
    assert not any("rationale" in json.loads(text)["data"] for text in texts)
    advice = [json.loads(text)["data"] for text in texts if "recommendation.generated" in text]
    assert "1 segments of your transcript" in advice[0]["text"]


async def test_a_missing_picture_stops_the_analysis_until_visual_is_left_out(
    ffmpeg: Ffmpeg,
) -> None:
    both = {"analysis_groups": ["audio", "visual"]}
    async with running(ffmpeg) as standin:
        messages = await told(
            standin.url,
            both,
            {"analysis_groups": ["audio"]},
            media=[toy(0, 24, pictures=False), toy(24, 48, header=False, pictures=False)],
        )
    errors = [m["data"]["code"] for m in messages if m["type"] == "error"]
    transcripts = [m["data"]["start"] for m in messages if m["type"] == "transcript.generated"]
    assert errors in (["ih5001"], [])  # it may have come before the configuration's answer
    sent = [json.loads(text) for text in standin.recorder.sessions[0].texts]
    assert [m["data"]["code"] for m in sent if m["type"] == "error"] == ["ih5001"]
    assert transcripts
    assert min(transcripts) >= 15  # windows before were not analysed


async def test_without_sound_only_the_picture_is_named(ffmpeg: Ffmpeg) -> None:
    async with running(ffmpeg) as standin:
        messages = await told(standin.url, {}, media=[toy(0, 12, sound=False)])
    (found,) = [m["data"] for m in messages if m["type"] == "signal.detected"]
    assert found["modality"] == ["visual"]
    assert not any(m["type"] == "transcript.generated" for m in messages)


@pytest.mark.parametrize(
    "frame",
    [
        {"analysis_groups": []},
        {"analysis_groups": ["video"]},
        {"realtime_recommendation_frequency": "hourly"},
        {"include": ["conversation_quality_overall"]},
        {"type": "transcript.updated", "transcript": [{"start": 0, "text": "no end"}]},
        {"type": "transcript.updated"},
    ],
    ids=str,
)
async def test_a_wrong_frame_is_refused_and_ends_nothing(frame: object, ffmpeg: Ffmpeg) -> None:
    async with running(ffmpeg) as standin, opened(standin.url, REALTIME.path) as socket:
        await until(socket, "session.ready")
        await socket.send(json.dumps(frame))
        assert json.loads(str(await socket.recv()))["data"]["code"] == "ih6001"
        await socket.send("{}")
        updated = json.loads(str(await socket.recv()))
    assert updated["data"] == {"analysis_groups": ["audio", "visual"]}


async def test_the_stream_scope_is_not_enough(ffmpeg: Ffmpeg) -> None:
    headers = {"Authorization": "Bearer ih_test_stream_only"}
    async with (
        running(ffmpeg) as standin,
        opened(standin.url, REALTIME.path, additional_headers=headers) as socket,
    ):
        error = json.loads(str(await socket.recv()))
        await socket.wait_closed()
    assert error["data"]["code"] == "ih2003"
    assert "interhumanai.realtime" in error["data"]["message"]
    assert socket.close_code == 4003


async def test_the_real_clip_gives_a_session_too(
    continued: Sequence[bytes], ffmpeg: Ffmpeg
) -> None:
    async with serve(ffmpeg=ffmpeg) as standin, opened(standin.url, REALTIME.path) as socket:
        await until(socket, "session.ready")
        for part in continued:
            await socket.send(part)
        await socket.send('{"type":"session.close"}')
        kinds = {json.loads(text)["type"] async for text in socket}
    assert {"signal.detected", "transcript.generated", "session.ended"} <= kinds
    assert not {"engagement.updated", "error"} & kinds


# --- what is told --------------------------------------------------------------------------------


def observation(signal_type: str, modality: tuple[str, ...]) -> Observation:
    return Observation(
        signal_type=signal_type, probability="low", rationale="why", modality=modality
    )


def window(
    telling: RealtimeMessageBuilder, seen: Sequence[Observation], config: Config
) -> list[Reading]:
    present = Ranges([MediaRange(0, 8)])
    return telling.window(
        Window(0, 0, 8),
        Observations(signals=seen, engagement="engaged"),
        present=present,
        degraded=Ranges(),
        config=config,
        published=REALTIME.signals,
    )


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (
            ("audio", "visual"),
            [
                ("frustration", ["audio"]),
                ("tension", ["visual"]),
                ("hesitation", ["audio"]),
                ("interest", ["audio", "visual"]),
            ],
        ),
        (
            ("audio",),
            [("frustration", ["audio"]), ("hesitation", ["audio"]), ("interest", ["audio"])],
        ),
        (("visual",), [("tension", ["visual"]), ("interest", ["visual"])]),
    ],
)
def test_signals_name_the_analyses_that_report_them(
    groups: tuple[str, ...], expected: list[tuple[str, list[str]]]
) -> None:
    seen = [
        observation("frustration", ("video",)),
        observation("hesitation", ("audio",)),
        observation("interest", ("video",)),
    ]
    telling = RealtimeMessageBuilder(REALTIME, min_window_seconds=3)
    messages = window(telling, seen, Config(analysis_groups=groups))
    found = [m.fields for m in messages if m.kind == "signal.detected"]
    assert [(f["signal_type"], f["modality"]) for f in found] == expected
    assert {"engagement.updated", "conversation_quality.updated"}.isdisjoint(
        m.kind for m in messages
    )


@pytest.mark.parametrize(
    ("config", "seconds"),
    [
        (Config(realtime_recommendation_instructions="x"), 20),
        (Config(goal_dimensions=("clarity",), realtime_recommendation_frequency="low"), 30),
        (Config(realtime_recommendation_instructions=""), None),
        (Config(), None),
    ],
)
def test_recommendations_come_at_their_frequency_where_asked_for(
    config: Config, seconds: float | None
) -> None:
    telling = RealtimeMessageBuilder(REALTIME, min_window_seconds=3)
    present = Ranges([MediaRange(0, 100)])
    spans: list[tuple[Any, Any]] = []  # of JSON
    for index in range(28):
        at = Window(index, index * 3.0, index * 3.0 + 8)
        messages = telling.window(
            at,
            Observations(),
            present=present.within(at.start_seconds, at.end_seconds),
            degraded=Ranges(),
            config=config,
            published=REALTIME.signals,
        )
        advice = [m for m in messages if m.kind == "realtime_recommendation.generated"]
        spans += [(m.fields["start"], m.fields["end"]) for m in advice]
        assert all(m.fields["text"] == NO_GUIDANCE for m in advice)
    if seconds is None:
        assert spans == []
    else:
        assert [start for start, _ in spans] == [0.0, *(end for _, end in spans[:-1])]
        assert all(seconds <= end - start < seconds + 3 for start, end in spans)
        assert len(spans) == 89 // (seconds + 1)
