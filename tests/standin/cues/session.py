"""Plays sounds and pictures to the engine, as the stand-in would, and keeps what it says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha1

from ih_mcp.media.ffmpeg.decode import Picture, Sound
from ih_mcp.standin.analysis.analyst import Observation, check_observations
from ih_mcp.standin.analysis.windows import Window, WindowGrid
from ih_mcp.standin.cues import Cues
from ih_mcp.standin.cues.detectors import make_detector, make_finder
from ih_mcp.standin.cues.engine import Engine
from ih_mcp.standin.cues.motion import Gray
from ih_mcp.standin.cues.sight import Face, Finder
from ih_mcp.standin.cues.table import select_rows

from .stimuli import Floats, Motion, pictures, sounds


@dataclass(frozen=True, slots=True)
class Told:
    """What was said of a window."""

    window: Window
    signals: tuple[Observation, ...]
    engagement: str | None

    @property
    def names(self) -> dict[str, str]:
        return {item.signal_type: item.probability for item in self.signals}


@cache
def finder() -> Finder | None:
    """The real one, which looks once at pictures that are alike: most of them are."""
    find, found = make_finder(), dict[tuple[tuple[int, ...], bytes], list[Face]]()
    if find is None:
        return None

    def remembered(picture: Gray) -> list[Face]:
        key = (picture.shape, sha1(picture.tobytes(), usedforsecurity=False).digest())
        if key not in found:
            found[key] = find(picture)
        return list(found[key])

    return remembered


def engine(*, reports_stress: bool = False, hears: bool = True, sees: bool = True) -> Engine:
    return Engine(
        select_rows(reports_stress=reports_stress),
        detector=make_detector() if hears else None,
        finder=finder() if sees else None,
    )


def played(
    sound: Floats | None = None,
    motion: Motion | None = None,
    *,
    seconds: float | None = None,
    reports_stress: bool = False,
    piece_seconds: float = 0.1,
) -> list[Told]:
    """A session of this sound and these pictures, in windows of 8 s every 3 s."""
    length = seconds or (0 if sound is None else len(sound) / 16_000)
    heard = [] if sound is None else sounds(sound, piece_seconds=piece_seconds)
    seen = [] if motion is None else pictures(motion, length)
    return observed(merged(heard, seen), engine(reports_stress=reports_stress))


def merged(heard: Iterable[Sound], seen: Iterable[Picture]) -> list[Picture | Sound]:
    """In order of time, as a decoder gives it."""
    return sorted([*heard, *seen], key=_end)


def observed(items: Sequence[Picture | Sound], by: Engine) -> list[Told]:
    grid = WindowGrid(window_seconds=8, hop_seconds=3, min_seconds=3)
    ends = {Picture: 0.0, Sound: 0.0}
    kinds = {type(item) for item in items}
    told = []
    for item in items:
        by.add_media([item])
        ends[type(item)] = _end(item)
        told += [_told(by, w) for w in grid.reach(min(ends[kind] for kind in kinds) + 1e-6)]
    return told + [_told(by, window) for window in grid.finish(max(ends.values()))]


def signals(told: Sequence[Told]) -> dict[str, list[tuple[float, str]]]:
    """Which signals were told: at which windows, how probable."""
    found: dict[str, list[tuple[float, str]]] = {}
    for item in told:
        for name, probability in item.names.items():
            found.setdefault(name, []).append((item.window.start_seconds, probability))
    return found


def _told(by: Engine, window: Window) -> Told:
    seen = by.observe(window)
    check_observations(seen, Cues(reports_stress=True).describe(), window)
    return Told(window, tuple(seen.signals), seen.engagement)


def _end(item: Picture | Sound) -> float:
    return item.time_seconds + 1 / 15 if isinstance(item, Picture) else item.end_seconds
