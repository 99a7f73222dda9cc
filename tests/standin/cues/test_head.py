"""What is seen, against a photo whose head is turned and shifted (study, section 7, level 1)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ih_mcp.media.ffmpeg.decode import Picture
from ih_mcp.standin.cues.gestures import Gesture, find_gestures
from ih_mcp.standin.cues.sight import Sight, find_content

from . import long
from .session import finder
from .stimuli import HEIGHT, STILL, WIDTH, Motion, Scene, picture, pictures, still, swing, turned


def watched(motion: Motion, seconds: float, *, per_second: float = 15) -> Sight:
    find = finder()
    assert find is not None
    sight = Sight(find)
    for item in pictures(motion, seconds, per_second=per_second):
        sight.add_picture(item)
    return sight


def told(motion: Motion, seconds: float, *, per_second: float = 15) -> list[Gesture]:
    sight = watched(motion, seconds, per_second=per_second)
    return [gesture for gesture in find_gestures(list(sight.poses)) if gesture.turns]


def kinds(found: list[Gesture]) -> list[str]:
    return [gesture.kind for gesture in found]


_GRID = [(degrees, hertz) for degrees in (1.5, 3, 6, 9) for hertz in (1, 2, 3)]
_ALWAYS = {(1.5, 1), (1.5, 3), (3, 2), (6, 1), (9, 3)}


@pytest.mark.parametrize(
    ("degrees", "hertz"),
    [pytest.param(*point, marks=[] if point in _ALWAYS else [long]) for point in _GRID],
)
def test_a_turning_head_nods_or_shakes(degrees: float, hertz: float) -> None:
    motion, seconds = swing(degrees, hertz), 2 + 3 / hertz
    (nod,) = told(motion, seconds)
    (shake,) = told(turned(motion), seconds)
    assert (nod.kind, shake.kind) == ("nod", "shake")
    assert nod.cycles == pytest.approx(3, abs=0.6)
    assert nod.hertz == pytest.approx(hertz, rel=0.25)


@pytest.mark.parametrize("cycles", [0.5, 1.0])
def test_fewer_than_two_cycles_are_no_gesture(cycles: float) -> None:
    motion = swing(5, 2, cycles=cycles)
    assert told(motion, 3) == told(turned(motion), 3) == []


@pytest.mark.parametrize("cycles", [2, 3, 5])
def test_two_cycles_and_more_are_a_gesture(cycles: int) -> None:
    assert kinds(told(swing(5, 2, cycles=cycles), 5)) == ["nod"]


def _wave(size: float, hertz: float) -> Motion:
    def motion(seconds: float) -> Scene:
        return Scene(down=size * math.sin(2 * math.pi * hertz * seconds))

    return motion


def _sway(seconds: float) -> Scene:
    return Scene(yaw=12 * math.sin(2 * math.pi * 0.25 * seconds))


def _slow_pitch(seconds: float) -> Scene:
    return Scene(pitch=8 * math.sin(2 * math.pi * 0.25 * seconds))


def _look_down(seconds: float) -> Scene:
    along = min(1.0, max(0.0, (seconds - 1) / 2))
    return Scene(pitch=5 * (1 - math.cos(2 * math.pi * along)))


def _bounce(seconds: float) -> Scene:
    return _wave(0.05, 2)(seconds)


def _sideways(seconds: float) -> Scene:
    scene = _bounce(seconds)
    return replace(scene, right=scene.down, down=0.0)


_JOLTS = np.random.default_rng(3).normal(0, 1.5, (100, 2))


def _camera_shake(seconds: float) -> Scene:
    right, down = _JOLTS[int(seconds * 15)]
    return Scene(camera_right=float(right), camera_down=float(down))


def _camera_bob(seconds: float) -> Scene:
    return Scene(camera_down=4 * math.sin(4 * math.pi * seconds))


def _flicker(seconds: float) -> Scene:
    return Scene(light=1 + 0.2 * math.sin(4 * math.pi * seconds))


@pytest.mark.parametrize(
    "motion",
    [
        still,
        _sway,
        _slow_pitch,
        _look_down,
        _bounce,
        _sideways,
        _camera_shake,
        _camera_bob,
        _flicker,
    ],
)
def test_what_is_no_gesture_is_none(motion: Motion) -> None:
    assert told(motion, 4) == []


def test_thirty_pictures_a_second_tell_the_same() -> None:
    assert kinds(told(swing(5, 2), 4, per_second=30)) == ["nod"]


@pytest.mark.parametrize("light", [0.6, 1.3])
def test_light_changes_nothing(light: float) -> None:
    motion = swing(5, 2)
    assert kinds(told(lambda seconds: replace(motion(seconds), light=light), 4)) == ["nod"]


def test_a_mirrored_shake_is_a_shake() -> None:
    find = finder()
    assert find is not None
    sight = Sight(find)
    for item in pictures(turned(swing(5, 2)), 4):
        image = np.frombuffer(item.gray, np.uint8).reshape(HEIGHT, WIDTH)[:, ::-1]
        sight.add_picture(replace(item, gray=image.tobytes()))
    assert kinds([gesture for gesture in find_gestures(list(sight.poses)) if gesture.turns]) == [
        "shake"
    ]


@pytest.mark.parametrize(("width", "height"), [(320, 240), (640, 480)])
def test_a_face_is_found_at_any_usual_size(width: int, height: int) -> None:
    find = finder()
    assert find is not None
    sight = Sight(find)
    for item in pictures(still, 2, width=width, height=height):
        sight.add_picture(item)
    assert [look.is_found for look in sight.face_checks] == [True] * 4


def test_where_there_is_no_face_none_is_found() -> None:
    sight = watched(lambda _: Scene(camera_right=-400), 3)
    assert not any(look.is_found for look in sight.face_checks)
    assert not sight.poses


def test_a_hard_cut_ends_what_is_followed() -> None:
    sight = watched(lambda seconds: STILL if seconds < 1.5 else Scene(camera_right=-400), 3)
    assert len(sight.cuts) == 1
    assert sight.was_seen_before(1.0)
    assert not sight.was_seen_before(3.0)


def test_bars_around_a_picture_are_left_out() -> None:
    image = np.zeros((480, 640), np.uint8)
    image[:, 140:500] = np.random.default_rng(1).integers(0, 255, (480, 360))
    assert find_content(image) == (140, 0, 500, 480)


def test_a_picture_without_contrast_is_taken_whole() -> None:
    assert find_content(np.full((48, 64), 16, np.uint8)) == (0, 0, 64, 48)


def test_a_camera_that_is_covered_is_no_error() -> None:
    find = finder()
    assert find is not None
    sight = Sight(find)
    for index in range(30):
        gray = picture(STILL) if index < 15 else bytes(WIDTH * HEIGHT)
        sight.add_picture(Picture(index / 15, WIDTH, HEIGHT, gray))
    assert [look.is_found for look in sight.face_checks] == [True, True, False, False]
