"""What is known of the service's own answers, key by key: recorded ones, and the newest texts."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest
from websockets.exceptions import InvalidStatus

from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import serve
from ih_mcp.wire.dialects import REALTIME, V0, V1, V2, Dialect
from ih_mcp.wire.messages import pcm_format
from tests.facts import shows

from .fakes import Json
from .test_app import BEARER, opened, post, running

CQI = ["conversation_quality_overall", "conversation_quality_timeline"]
LIMITS = {
    "session_idle_timeout_seconds": 300,
    "session_max_duration_seconds": 3600,
    "max_segment_duration_seconds": None,
    "min_segment_size_bytes": 1,
    "max_segment_size_bytes": 33_554_432,
}
RECORDED = {"include": CQI, "goal_dimensions": None}
"""Options of a v1 `session.ready` of the service, 2026-06-20; there were no models then."""


async def answers(url: str, dialect: Dialect, *configs: Json) -> list[Json]:
    """The greeting and what each configuration is answered with."""
    async with opened(url, dialect.path) as socket:
        told = [json.loads(await socket.recv())]
        for config in configs:
            await socket.send(json.dumps(config))
            told.append(json.loads(await socket.recv()))
    return told


@shows("what-is-not-set-is-null")
async def test_what_is_not_set_is_null_as_recorded(ffmpeg: Ffmpeg) -> None:
    async with running(ffmpeg) as standin:
        ready, updated, empty = await answers(
            standin.url, V1, {"include": CQI[:1], "goal_dimensions": ["clarity"]}, {}
        )
        ready_v2, updated_v2 = await answers(standin.url, V2, {"goal_dimensions": []})
    offered = RECORDED | {"model": None}  # skill v2: v1 reports null
    models = ["inter-2", "inter-2-audio"]
    assert ready["data"] == LIMITS | {"supported_session_config_options": offered}
    assert updated["data"] == {"include": CQI[:1], "goal_dimensions": None, "model": None}
    assert empty["data"] == {"include": [], "goal_dimensions": None, "model": None}
    offered_v2 = RECORDED | {"model": models}
    assert ready_v2["data"]["supported_session_config_options"] == offered_v2  # type: ignore[index]  # JSON
    assert updated_v2["data"] == {"include": [], "goal_dimensions": None, "model": "inter-2"}


async def test_goals_can_be_set_where_feedback_is_switched_on(ffmpeg: Ffmpeg) -> None:
    async with running(ffmpeg, has_feedback=True) as standin:
        ready, updated, none = await answers(
            standin.url, V1, {"goal_dimensions": ["clarity"]}, {"goal_dimensions": []}
        )
    offered = RECORDED | {"goal_dimensions": list(V1.goal_dimensions), "model": None}
    assert ready["data"] == LIMITS | {"supported_session_config_options": offered}
    assert updated["data"] == {"include": [], "goal_dimensions": ["clarity"], "model": None}
    assert none["data"] == {"include": [], "goal_dimensions": None, "model": None}


@shows("order-of-keys")
@pytest.mark.parametrize("dialect", [V1, V2, REALTIME], ids=lambda dialect: dialect.name)
async def test_keys_come_in_the_recorded_order(dialect: Dialect, ffmpeg: Ffmpeg) -> None:
    async with running(ffmpeg) as standin:
        told = await answers(standin.url, dialect, {}, {"unheard": "of"})
    assert [message["type"] for message in told] == ["session.ready", "session.updated", "error"]
    for message in told:
        assert list(message) == ["timestamp", "correlation_id", "type", "data"]
    data = told[0]["data"]
    assert isinstance(data, dict)
    assert list(data) == [*LIMITS, "supported_session_config_options"]


@shows("each-config-is-answered")
async def test_each_configuration_has_its_answer_without_the_format_of_sound(
    ffmpeg: Ffmpeg,
) -> None:
    sound: Json = {"model": "inter-2-audio", "audio_format": dict(pcm_format(16_000))}
    async with running(ffmpeg) as standin:
        _, *updated = await answers(standin.url, V2, sound, sound)
    assert [message["type"] for message in updated] == ["session.updated"] * 2
    for message in updated:
        assert message["data"] == {"include": [], "goal_dimensions": None, "model": "inter-2-audio"}


@shows("realtime-options")
async def test_realtime_offers_what_was_recorded_under_its_newest_names(ffmpeg: Ffmpeg) -> None:
    async with running(ffmpeg) as standin:
        (ready,) = await answers(standin.url, REALTIME)
    offered = {
        "realtime_recommendation_instructions": "string",
        "realtime_recommendation_frequency": ["high", "medium", "low"],
        "analysis_groups": ["audio", "visual"],
    }
    assert ready["data"] == LIMITS | {"supported_session_config_options": offered}


@shows("realtime-alias")
@pytest.mark.parametrize(("strict", "status"), [(False, 101), (True, 404)])
async def test_the_older_path_of_realtime_is_served_where_lenient(
    strict: bool, status: int, ffmpeg: Ffmpeg
) -> None:
    async with running(ffmpeg, strict=strict) as standin:
        try:
            async with opened(standin.url, "/v0/real-time/analyze") as socket:
                assert socket.response is not None
                answered = socket.response.status_code
                assert json.loads(await socket.recv())["type"] == "session.ready"
        except InvalidStatus as refused:
            answered = refused.response.status_code
    assert answered == status


@shows("scopes-once")
@pytest.mark.parametrize("path", ["/v0/auth", "/v1/auth", "/v1/client_tokens"])
async def test_a_scope_is_named_once(path: str, ffmpeg: Ffmpeg) -> None:
    names = ["stream", "stream.inter-2", "upload.inter-2-audio", "stream", "upload"]
    body = {
        "key_id": "k",
        "key_secret": "s",
        "api_key": "ih_live_x",
        "scopes": [f"interhumanai.{name}" for name in names],
    }
    async with running(ffmpeg) as standin:
        answer = await post(standin.url, path, json=body)
    assert answer.json()["scope"] == "interhumanai.stream interhumanai.upload"


@shows("short-v0-segments")
@pytest.mark.parametrize(
    ("seconds", "strict", "words"),
    [
        (2.97, False, None),
        (2.97, True, "The segment has 2.97 s of media."),
        (2.8, False, "The segment has 2.80 s of media."),
        (3.0, True, None),
    ],
)
async def test_how_short_a_segment_of_v0_may_be(
    seconds: float, strict: bool, words: str | None, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    clip = await made(tmp_path / "clip.wav", seconds, ffmpeg)
    async with (
        serve(Options(strict=strict), ffmpeg=ffmpeg) as standin,
        opened(standin.url, V0.path, additional_headers=BEARER) as socket,
    ):
        await socket.send(clip)
        _, answer = [json.loads(await socket.recv()) for _ in range(2)]
    assert answer["status"] == ("result" if words is None else "error")
    assert words is None or (answer["error_id"], answer["message"]) == ("ih5006", words)


async def made(path: Path, seconds: float, ffmpeg: Ffmpeg) -> bytes:
    tone = ["-f", "lavfi", "-i", f"sine=sample_rate=16000:duration={seconds}"]
    await anyio.run_process([str(ffmpeg.path), "-v", "error", *tone, str(path)])
    return await anyio.Path(path).read_bytes()
