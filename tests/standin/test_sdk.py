"""The vendor's own client cannot tell the stand-in apart: `interhumanai` 1.3.4 as it is."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from interhumanai import stream

from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.analysis.analyst import Observations
from ih_mcp.standin.analysis.windows import Window
from ih_mcp.standin.faults.script import Script
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import serve
from tests.forked import forked_python

from .fakes import ScriptedAnalyst, open_toy, seen, toy

EVENTS = {
    name
    for name in stream.__all__
    if name.endswith("Event") and name not in {"StreamEvent", "UnknownEvent"}
}


@pytest.fixture
def folder(tmp_path: Path, dialogue: Path, continued: Sequence[bytes]) -> Path:
    (tmp_path / "clip.mp4").symlink_to(dialogue)
    for number, part in enumerate(continued):
        (tmp_path / f"part-{number:03}").write_bytes(part)
    return tmp_path


async def vendor(scenario: str, url: str, folder: Path) -> Any:
    """What the SDK saw, in a process of its own."""
    command = [*forked_python(), "-m", "tests.standin.vendor", scenario, url, str(folder)]
    done = await anyio.run_process(command, stderr=subprocess.STDOUT, check=False)
    output = done.stdout.decode()
    assert done.returncode == 0, output
    return json.loads(output.splitlines()[-1])


def classes(events: Sequence[Mapping[str, object]]) -> list[object]:
    return [event["class"] for event in events]


@pytest.mark.parametrize(("scenario", "modality"), [("v1", ["video"]), ("v2", None)])
async def test_a_stream_from_greeting_to_end(
    scenario: str, modality: object, folder: Path, ffmpeg: Ffmpeg
) -> None:
    async with serve(ffmpeg=ffmpeg) as running:
        told = await vendor(scenario, running.url, folder)
    events = told["events"]
    assert events[0]["class"] == "SessionReadyEvent"
    assert events[-1]["class"] == "SessionEndedEvent"
    assert {"SessionUpdatedEvent", "SignalDetectedEvent", "EngagementUpdatedEvent"} <= set(
        classes(events)
    )
    assert "UnknownEvent" not in classes(events)
    assert "ErrorEvent" not in classes(events)
    assert {e["correlation_id"] for e in events} == {running.recorder.sessions[0].correlation_id}
    detected = [e["data"] for e in events if e["class"] == "SignalDetectedEvent"]
    assert {json.dumps(d["modality"]) for d in detected} == {json.dumps(modality)}
    assert told["close"] == 1000
    assert len(events) == len(running.recorder.sessions[0].texts)
    assert running.recorder.sessions[0].end == "session.ended"
    assert 20 < running.recorder.sessions[0].billed.seconds < 30


async def test_raw_sound_on_the_audio_model(folder: Path, ffmpeg: Ffmpeg) -> None:
    async with serve(ffmpeg=ffmpeg) as running:
        told = await vendor("pcm", running.url, folder)
    updated = next(e for e in told["events"] if e["class"] == "SessionUpdatedEvent")
    assert updated["data"]["model"] == "inter-2-audio"
    assert "ErrorEvent" not in classes(told["events"])
    assert told["events"][-1]["class"] == "SessionEndedEvent"
    assert running.recorder.sessions[0].billed.seconds == 12.0


async def test_refusals_before_the_greeting_are_quoted(folder: Path, ffmpeg: Ffmpeg) -> None:
    async with serve(ffmpeg=ffmpeg) as running:
        told = await vendor("refusals", running.url, folder)
    for name, code, close in (
        ("no scope", "ih2003", 4003),
        ("model", "ih4005", 1008),
        ("backend", "ih1003", 1013),
    ):
        words, closed = told[name]
        assert f"The server reported {code}" in words
        assert closed == close
    words, closed = told["unknown"]
    assert "HTTP 401" in words
    assert closed is None


async def test_uploads_of_both_versions(folder: Path, ffmpeg: Ffmpeg) -> None:
    script = Script.parse(
        [{"at": "job", "n": 1, "lingers": 1}, {"at": "job", "n": 3, "error": "ih1004"}]
    )
    async with serve(Options(script=script), ffmpeg=ffmpeg) as running:
        told = await vendor("uploads", running.url, folder)
    assert told["v1"]["signals"]
    assert told["v1"]["engagement_state"]
    assert told["v1"]["feedback"]["active_dimensions"] == ["clarity"]
    assert told["v1"]["conversation_quality"]["timeline"]
    assert told["states"] == ["queued", "running", "completed"]
    result = told["v2"]["result"]
    assert [w["index"] for w in result["windows"]] == list(range(len(result["windows"])))
    assert result["windows"][-1]["end_seconds"] == result["duration_seconds"]
    assert result["signals"] is not None
    assert set(result["conversation_quality"]) == {"overall", "timeline"}
    assert "error" not in told["v2"]
    assert told["waited"]["status"] == "completed"
    assert not {"signals", "conversation_quality"} & set(told["waited"]["result"])
    assert told["failed"]["status"] == "failed"
    assert told["failed"]["error"]["error_id"] == "ih1004"
    assert "result" not in told["failed"]
    assert told["refused"] == [
        [404, "ih4021", True],
        [400, "ih4005", True],
        [400, "ih4020", True],
        [400, "ih4005", True],
        [400, "ih4002", True],
    ]


async def test_an_expired_job_is_not_found(folder: Path, ffmpeg: Ffmpeg) -> None:
    async with serve(Options(job_seconds=0), ffmpeg=ffmpeg) as running:
        assert await vendor("expiry", running.url, folder) == [404, "ih4021", True]


async def test_tokens_are_minted_used_and_revoked(folder: Path, ffmpeg: Ffmpeg) -> None:
    async with serve(ffmpeg=ffmpeg) as running:
        told = await vendor("tokens", running.url, folder)
    assert told["client"]["scope"] == "interhumanai.stream"
    assert told["client"]["expires_in"] == 60
    assert told["client"]["max_video_seconds"] == 600
    assert told["client"]["max_bytes"] is None
    assert told["closes"] == [1000, 1000]
    assert "HTTP 401" in told["revoked"]
    assert told["refused"] == [
        [400, "ih2005", True],
        [401, "ih2001", True],
        [403, "ih2003", True],
        [401, "ih2001", True],
        [403, "ih2003", True],
    ]


async def test_every_event_the_sdk_knows_is_received_once(tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    def sees(window: Window) -> Observations:
        label = "high" if window.index % 2 else "low"
        signals = [] if window.index in {3, 6} else [seen(probability=label)]
        return Observations(signals=signals, engagement="engaged")

    options = Options(
        has_feedback=True,
        analyst=lambda: ScriptedAnalyst(sees=sees),
        script=Script.parse([{"at": "segment", "n": 3, "error": "ih5007"}]),
    )
    media = [
        toy(0, 9),
        toy(9, 15, header=False, pictures=False) + toy(40, 50, header=False),
        b"refused by order",
    ]
    for number, part in enumerate(media):
        (tmp_path / f"part-{number}").write_bytes(part)
    async with serve(options, ffmpeg=ffmpeg, open_decoder=open_toy) as running:
        told = await vendor("v1", running.url, tmp_path)
    assert set(classes(told["events"])) == EVENTS
    assert len(EVENTS) == 13
