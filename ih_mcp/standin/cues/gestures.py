"""Nods and shakes in the movement of a head.

Candidates are swings that alternate, of like size, mainly along one axis. A turning head moves
its nose further than its eyes, a shifted one does not: that tells nods from bouncing (checked
against landmarks of another engine, see `docs/local-engine.md`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np

from .series import Floats
from .sight import Pose

MIN_SWINGS = 4  # two cycles; Hadar et al. 1985: yes and no are cyclic
_SWING_SECONDS = (0.08, 0.55)
_MIN_SWING = 0.022  # of the face's height; ten times the tracking error
_MAX_UNLIKE = 2.6  # the largest swing over the smallest
_DOMINANCE = 1.4  # of the main axis
_MIN_SLOPE, _MIN_CORRELATION = 0.05, 0.6  # of the nose's lead over the eyes on the movement
_DRIFT_SECONDS = 1.3  # slower movement is posture
_MIN_POSES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Gesture:
    """A head that went to and fro."""

    kind: str
    """`nod` or `shake`."""
    start_seconds: float
    end_seconds: float
    cycles: float
    size: float
    """The median swing, in heights of the face."""
    hertz: float
    turns: bool
    """Whether the head turned, rather than shifted as a whole."""


@dataclass(frozen=True, slots=True)
class _Swing:
    first: int
    last: int
    seconds: float
    size: float


@dataclass(frozen=True, slots=True)
class HeadTrack:
    """Poses as rows of figures, slow movement taken off."""

    seconds: Floats
    axes: tuple[Floats, Floats]
    """To the right, and down."""
    leads: tuple[Floats, Floats]
    """Of the nose over the eyes, likewise."""


def split_tracks(poses: Sequence[Pose]) -> Iterator[HeadTrack]:
    """The stretches in which one head was followed."""
    for _, group in groupby(poses, key=lambda pose: pose.track):
        rows = np.array(
            [(p.time_seconds, p.right, p.down, p.nose_right, p.nose_down) for p in group]
        )
        if len(rows) >= _MIN_POSES:
            right, down, nose_right, nose_down = (
                _remove_drift(rows[:, 0], column) for column in rows[:, 1:].T
            )
            yield HeadTrack(rows[:, 0], (right, down), (nose_right, nose_down))


def find_gestures(poses: Sequence[Pose]) -> list[Gesture]:
    """All nods and shakes, also those of heads that only shift (`turns` is false)."""
    found = [
        gesture
        for track in split_tracks(poses)
        for axis, kind in enumerate(("shake", "nod"))
        for gesture in _find_along(track, axis, kind)
    ]
    return sorted(found, key=lambda gesture: gesture.start_seconds)


def measure_movement(poses: Sequence[Pose]) -> float:
    """How much the head moved: the root mean square, in heights of the face."""
    squares = [np.square(axis) for track in split_tracks(poses) for axis in track.axes]
    total = sum(float(square.sum()) for square in squares)
    count = sum(len(square) for square in squares) / 2
    return float(np.sqrt(total / count)) if count else 0.0


def _find_along(track: HeadTrack, axis: int, kind: str) -> Iterator[Gesture]:
    for run in _find_runs(_find_swings(track, axis)):
        if len(run) < MIN_SWINGS:
            continue
        first, last = run[0].first, run[-1].last
        span = slice(first, last + 1)
        main, other = track.axes[axis][span], track.axes[1 - axis][span]
        if np.std(main) < _DOMINANCE * np.std(other):
            continue
        start, end = float(track.seconds[first]), float(track.seconds[last])
        cycles = len(run) / 2
        yield Gesture(
            kind=kind,
            start_seconds=start,
            end_seconds=end,
            cycles=cycles,
            size=float(np.median([swing.size for swing in run])),
            hertz=float(1 / np.median([2 * swing.seconds for swing in run])),
            turns=_turns(main, track.leads[axis][span]),
        )


def _find_swings(track: HeadTrack, axis: int) -> list[_Swing]:
    """From turning point to turning point; smaller ones are noise on the way."""
    values = track.axes[axis]
    points: list[int] = []
    low = high = 0
    rising: bool | None = None
    for index in range(1, len(values)):
        low = index if values[index] < values[low] else low
        high = index if values[index] > values[high] else high
        if rising is not False and values[high] - values[index] >= _MIN_SWING:
            points.append(high)
            rising, low = False, index
        elif rising is not True and values[index] - values[low] >= _MIN_SWING:
            points.append(low)
            rising, high = True, index
    if rising is not None:
        points.append(high if rising else low)
    return [
        _Swing(a, b, float(track.seconds[b] - track.seconds[a]), float(abs(values[b] - values[a])))
        for a, b in pairwise(points)
    ]


def _find_runs(swings: Sequence[_Swing]) -> Iterator[list[_Swing]]:
    """Swings that follow each other, neither slow nor hasty, and of like size."""
    run: list[_Swing] = []
    for swing in swings:
        is_timely = _SWING_SECONDS[0] <= swing.seconds <= _SWING_SECONDS[1]
        sizes = [swing.size, *(item.size for item in run)]
        if not is_timely or max(sizes) > _MAX_UNLIKE * min(sizes):
            yield run
            run = []
        if is_timely:
            run.append(swing)
    yield run


def _turns(main: Floats, lead: Floats) -> bool:
    main, lead = main - main.mean(), lead - lead.mean()
    spread = float(main @ main)
    if spread == 0 or not float(lead @ lead):
        return False
    slope = float(main @ lead) / spread
    correlation = float(main @ lead) / float(np.sqrt(spread * (lead @ lead)))
    return slope >= _MIN_SLOPE and correlation >= _MIN_CORRELATION


def _remove_drift(seconds: Floats, values: Floats) -> Floats:
    """Less the mean over 1.3 s around each value."""
    low = np.searchsorted(seconds, seconds - _DRIFT_SECONDS / 2)
    high = np.searchsorted(seconds, seconds + _DRIFT_SECONDS / 2, side="right")
    sums = np.concatenate([[0.0], np.cumsum(values)])
    means: Floats = (sums[high] - sums[low]) / (high - low)
    return values - means
