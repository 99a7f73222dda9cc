"""Pacing as a closed loop, against a stand-in whose analysis has a set speed and sheds the rest."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench.bench_pace import TIMELINE, make_clip, paced
from ih_mcp.app.runtime import StreamOptions, open_runtime
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.settings import read_settings
from ih_mcp.streams.pacing import PaceName
from ih_mcp.wire.dialects import V2

from .budget import often, report

_SECONDS = often(150, nightly=1200)


@pytest.fixture(scope="module")
async def clip(ffmpeg: Ffmpeg, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pace") / "long.mp4"
    await make_clip(ffmpeg, path, _SECONDS)
    return path


@pytest.mark.timeout(300)
@pytest.mark.parametrize("include", [(), TIMELINE], ids=["as they come", "each window"])
async def test_a_file_is_sent_as_fast_as_it_is_analysed_and_nothing_is_dropped(
    clip: Path, ffmpeg: Ffmpeg, include: tuple[str, ...]
) -> None:
    took, analysis, dropped, status = await paced(clip, ffmpeg, speed=60, include=include)
    ratio = f"{took:.1f} s, {took / analysis:.2f} x the analysis alone, {dropped:g} s dropped"
    report("pace", "tests/reliability/test_pacing.py", f"{_SECONDS / 60:g} min of media: {ratio}")
    assert dropped == 0
    assert (status["state"], "lost" in status) == ("ended", False)
    assert status["segments"].keys() == {"completed"}  # type: ignore[attr-defined]


@pytest.mark.timeout(120)
async def test_on_v2_too(clip: Path, ffmpeg: Ffmpeg) -> None:
    *_, dropped, status = await paced(clip, ffmpeg, speed=60, api=V2)
    assert (dropped, status["state"]) == (0, "ended")


@pytest.mark.timeout(120)
async def test_on_our_own_stand_in_a_quiet_file_takes_as_long_as_its_analysis(
    clip: Path, tmp_path: Path
) -> None:
    """Where nothing is found nothing is answered: the pace of real time would be 2 minutes."""
    scenario = tmp_path / "quiet.jsonl"
    scenario.write_text("")
    settings = read_settings(
        endpoint="local", analyst="replay", scenario=scenario, data_dir=tmp_path / "data"
    )
    began = time.monotonic()
    async with open_runtime(settings, trusted=True) as runtime:
        stream = await runtime.stream_file(str(clip), StreamOptions(), pace=PaceName.AUTO)
        await stream.until(lambda: False)
        status = stream.status().to_json()
    took = time.monotonic() - began
    report("pace", "tests/reliability/test_pacing.py", f"{_SECONDS} s, our own: {took:.1f} s")
    assert (status["state"], "lost" in status) == ("ended", False)
    assert status["segments"].keys() == {"completed"}  # type: ignore[attr-defined]
    assert stream.plan.drops_nothing
    assert took < 0.5 * _SECONDS
