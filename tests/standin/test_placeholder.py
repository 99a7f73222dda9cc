from __future__ import annotations

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from ih_mcp.media.ffmpeg.decode import Picture, Sound
from ih_mcp.standin.analysis.analyst import Observations, check_observations
from ih_mcp.standin.analysis.placeholder import MARK, SIGNALS, Placeholder
from ih_mcp.standin.analysis.windows import Window, WindowGrid
from ih_mcp.wire.dialects import V2

HERTZ = 160


def media(level: int, seconds: int) -> list[Picture | Sound]:
    items: list[Picture | Sound] = []
    for at in range(seconds):
        items += [Picture(at + n / 5, 2, 1, bytes([(n * level) % 251, 7])) for n in range(5)]
        samples = b"".join((n * level % 3000).to_bytes(2, "little") for n in range(HERTZ))
        items.append(Sound(float(at), HERTZ, samples))
    return items


def cut(items: list[Picture | Sound], samples: int) -> list[Picture | Sound]:
    """The same media with its sound in other pieces."""
    pieces: list[Picture | Sound] = []
    for item in items:
        if isinstance(item, Picture):
            pieces.append(item)
            continue
        for at in range(0, HERTZ, samples):
            data = item.samples[2 * at : 2 * (at + samples)]
            pieces.append(Sound(item.start_seconds + at / HERTZ, HERTZ, data))
    return pieces


async def observed(items: list[Picture | Sound], seconds: int) -> list[Observations]:
    analyst = Placeholder()
    for item in items:
        await analyst.feed(item)
    windows = WindowGrid(window_seconds=8, hop_seconds=3).finish(seconds)
    return [check_observations(await analyst.observe(w), analyst.describe(), w) for w in windows]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 3000), st.integers(1, HERTZ))
def test_the_same_media_give_the_same_events_however_they_were_cut(level: int, size: int) -> None:
    items = media(level, 12)
    whole = anyio.run(observed, items, 12)
    assert anyio.run(observed, cut(items, size), 12) == whole


async def test_every_rationale_says_first_that_nothing_was_measured() -> None:
    told = [item for level in (0, 3, 90, 900) for item in await observed(media(level, 20), 20)]
    rationales = [signal.rationale for item in told for signal in item.signals]
    assert rationales
    assert all(text.startswith(MARK) for text in rationales)
    assert "stand-in" in MARK
    assert "no measurement" in MARK


async def test_a_rationale_stands_on_its_evidence() -> None:
    for item in await observed(media(40, 20), 20):
        for signal in item.signals:
            for name, value in signal.evidence.items():
                assert f"{name} {value}" in signal.rationale


async def test_different_media_give_different_events() -> None:
    seen = [await observed(media(level, 20), 20) for level in (0, 40, 900)]
    assert seen[0] != seen[1] != seen[2]


async def test_it_forgets_what_no_window_asks_for_again() -> None:
    analyst = Placeholder()
    for item in media(5, 100):
        await analyst.feed(item)
    await analyst.observe(Window(30, 90, 98))
    assert min(analyst._loudness) == 90
    assert min(analyst._movement) == 90


def test_it_can_report_what_is_published_and_says_what_it_never_does() -> None:
    described = Placeholder().describe()
    assert set(described.signals) == set(SIGNALS) == set(V2.signals)
    assert set(described.never) == {"engagement", "disengagement"}
    assert not described.sends_data_away
