"""Sounds and pictures whose truth is known, made here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ih_mcp.media.ffmpeg.decode import Picture, Sound

HERTZ = 16_000
PICTURES_PER_SECOND = 15

Floats = NDArray[np.float64]
Points = NDArray[np.float32]  # exact to 0.0001 pixels, and half the time

# --- sound ---------------------------------------------------------------------------------------

_VOWELS = {
    "a": (730, 1090, 2440),
    "i": (270, 2290, 3010),
    "u": (300, 870, 2240),
    "e": (530, 1840, 2480),
    "o": (570, 840, 2410),
    "@": (500, 1500, 2500),
}
_BANDWIDTHS = (80, 100, 120)


def silence(seconds: float) -> Floats:
    return np.zeros(round(seconds * HERTZ))


@lru_cache(maxsize=1_000)  # most syllables come up in several tests
def vowel(name: str, seconds: float, hertz: float, *, end_hertz: float | None = None) -> Floats:
    """A vowel: pulses of a voice through three formants."""
    samples = round(seconds * HERTZ)
    pitch = np.linspace(hertz, end_hertz or hertz, samples)
    pulses = np.diff(np.floor(np.cumsum(pitch / HERTZ)), prepend=0.0)
    size = 1 << (samples + 4_000).bit_length()
    turn = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    spectrum = np.fft.rfft(pulses, size) * (1 - turn)
    for formant, width in zip((*_VOWELS[name], 3_500), (*_BANDWIDTHS, 200), strict=True):
        radius = math.exp(-math.pi * width / HERTZ)
        bend = 2 * radius * math.cos(2 * math.pi * formant / HERTZ)
        spectrum *= (1 - bend + radius**2) / (1 - bend * turn + radius**2 * turn**2)
    sound = np.fft.irfft(spectrum, size)[:samples]
    ramp = np.minimum(np.arange(samples), np.arange(samples)[::-1]) / (0.03 * HERTZ)
    sound *= np.minimum(1, ramp)
    loud: Floats = 0.3 * sound / np.abs(sound).max()
    loud.flags.writeable = False
    return loud


def speech(
    syllables: int,
    *,
    hertz: float = 130.0,
    per_second: float = 4.76,
    loudness: float = 1.0,
    end_hertz: float | None = None,
    seed: int = 0,
) -> Floats:
    """Syllables of vowels and soft noises, the pitch falling a little over eight of them.

    Args:
        end_hertz: Where the pitch of the last syllable goes.
    """
    chance = np.random.default_rng(seed)
    length = 1 / per_second
    parts = []
    for index in range(syllables):
        pitch = hertz * 2 ** (-(index % 8) / 24)
        is_last = index == syllables - 1
        is_told = is_last and end_hertz is not None
        end = end_hertz if end_hertz and is_last else 0.9 * pitch
        seconds = 0.35 if is_told else length - 0.05
        parts.append(vowel("aiueo"[chance.integers(5)], seconds, pitch, end_hertz=end))
        if not is_last:
            parts.append(chance.standard_normal(round(0.05 * HERTZ)) * 0.01)
    return loudness * np.concatenate(parts)


def um(seconds: float = 0.5, hertz: float = 110.0) -> Floats:
    return 0.7 * vowel("@", seconds, hertz)


def mm_hm(hertz: float = 150.0) -> Floats:
    return np.concatenate([vowel("@", 0.3, hertz), silence(0.06), vowel("@", 0.4, hertz * 1.2)])


def tone(hertz: float, seconds: float) -> Floats:
    """A buzz of ten harmonics: a pitch without a voice."""
    time = np.arange(round(seconds * HERTZ)) / HERTZ
    return 0.1 * sum((np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 11)), 0 * time)


def music(seconds: float) -> Floats:
    """Chords of plain tones that change twice a second."""
    chords = [(261.6, 329.6, 392.0), (293.7, 370.0, 440.0), (246.9, 311.1, 370.0)]
    time = np.arange(round(0.5 * HERTZ)) / HERTZ
    parts = [
        sum((0.12 * np.sin(2 * np.pi * hertz * time) for hertz in chords[index % 3]), 0 * time)
        for index in range(round(seconds * 2))
    ]
    return np.concatenate(parts)


def noise(seconds: float, *, level: float = 0.1, seed: int = 5) -> Floats:
    return level * np.random.default_rng(seed).standard_normal(round(seconds * HERTZ))


def in_noise(sound: Floats, *, decibels: float, seed: int = 5) -> Floats:
    """With noise so many decibels under the speech in it."""
    power = float(np.square(sound[np.abs(sound) > 1e-4]).mean())
    spread = math.sqrt(power / 10 ** (decibels / 10))
    return sound + np.random.default_rng(seed).normal(0, spread, len(sound))


def sounds(samples: Floats, *, piece_seconds: float = 0.1, hertz: int = HERTZ) -> Iterator[Sound]:
    """As it comes out of a decoder."""
    data = (np.clip(samples, -1, 1) * 32_767).astype("<i2")
    step = round(piece_seconds * hertz)
    for at in range(0, len(data), step):
        yield Sound(at / hertz, hertz, data[at : at + step].tobytes())


# --- pictures ------------------------------------------------------------------------------------

WIDTH, HEIGHT = 320, 240
_FACE_PIXELS = 88.0  # of the photo
_HEAD = (186.0, 128.0)
_ZOOM = 1.05


@dataclass(frozen=True, slots=True)
class Scene:
    """What a picture shows: a head in front of a background."""

    yaw: float = 0.0
    """In degrees: to the side."""
    pitch: float = 0.0
    """In degrees: up and down."""
    right: float = 0.0
    """Of the head as a whole, in heights of the face."""
    down: float = 0.0
    camera_right: float = 0.0
    """In pixels."""
    camera_down: float = 0.0
    light: float = 1.0


Motion = Callable[[float], Scene]
STILL = Scene()


def still(_seconds: float) -> Scene:
    return STILL


def picture(scene: Scene, *, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """The scene as gray bytes; angles and distances as fine as a small part of a pixel."""
    rounded = Scene(
        *(round(getattr(scene, name), 3) for name in Scene.__slots__)  # alike ones are made once
    )
    return _rendered(rounded, width, height)


def pictures(
    motion: Motion,
    seconds: float,
    *,
    start_seconds: float = 0.0,
    per_second: float = PICTURES_PER_SECOND,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> Iterator[Picture]:
    """As they come out of a decoder; `motion` is asked with the session's time."""
    for index in range(round(seconds * per_second)):
        time = start_seconds + index / per_second
        yield Picture(time, width, height, picture(motion(time), width=width, height=height))


def swing(degrees: float, hertz: float, *, start: float = 1.0, cycles: float = 3) -> Motion:
    """A nod from `start` on; `turned` makes a shake of it."""

    def motion(seconds: float) -> Scene:
        elapsed = seconds - start
        if not 0 <= elapsed <= cycles / hertz:
            return STILL
        return Scene(pitch=degrees * math.sin(2 * math.pi * hertz * elapsed))

    return motion


def turned(motion: Motion) -> Motion:
    """To the side what was up and down."""
    return lambda seconds: replace(motion(seconds), yaw=motion(seconds).pitch, pitch=0.0)


@cache
def _photo() -> Points:
    raw = (Path(__file__).parent / "astronaut.pgm").read_bytes()
    _kind, size, _depth, pixels = raw.split(b"\n", 3)
    columns, rows = map(int, size.split())
    return np.frombuffer(pixels, np.uint8).reshape(rows, columns).astype(np.float32)


@lru_cache(maxsize=2_000)
def _rendered(scene: Scene, width: int, height: int) -> bytes:
    """The photo, its head turned as an ellipsoid with a nose."""
    across, along, shown = _seen_from(scene.camera_right, scene.camera_down, width, height)
    near = np.hypot(across / 1.4, along / 1.7) < 1
    if scene != replace(STILL, light=scene.light) and near.any():
        seen_x, seen_y = across[near], along[near]
        x, y = seen_x, seen_y
        for _ in range(5):
            move_x, move_y = _moved(scene, x, y)
            x, y = seen_x - move_x, seen_y - move_y
        shown = shown.copy()
        shown[near] = _sampled(_HEAD[0] + x * _FACE_PIXELS, _HEAD[1] + y * _FACE_PIXELS)
    lit: Points = np.clip(shown * scene.light, 0, 255)
    return lit.astype(np.uint8).tobytes()


@lru_cache(maxsize=50)
def _seen_from(right: float, down: float, width: int, height: int) -> tuple[Points, Points, Points]:
    """Where each point lies beside the head, in heights of the face, and the plain picture."""
    zoom = _ZOOM * height / HEIGHT
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    across = (columns - width / 2 - right) / zoom / _FACE_PIXELS
    along = (rows - height * 0.47 - down) / zoom / _FACE_PIXELS
    plain = _sampled(_HEAD[0] + across * _FACE_PIXELS, _HEAD[1] + along * _FACE_PIXELS)
    return across, along, plain


def _moved(scene: Scene, x: Points, y: Points) -> tuple[Points, Points]:
    """How far each point of the head is moved, in heights of the face."""
    yaw, pitch = math.radians(scene.yaw), math.radians(scene.pitch)
    radius = (x / 0.75) ** 2 + y**2
    nose = 0.22 * np.exp(-((x / 0.13) ** 2 + ((y - 0.1) / 0.2) ** 2))
    depth = 0.85 * np.sqrt(np.clip(1 - radius, 0, 1)) + nose
    belongs = 1 / (1 + np.exp((radius - 1) / 0.08))
    depth_after = depth * math.cos(yaw) - x * math.sin(yaw)
    move_x = x * math.cos(yaw) + depth * math.sin(yaw) - x + scene.right
    neck = y - 0.3
    move_y = neck * math.cos(pitch) + depth_after * math.sin(pitch) - neck + scene.down
    return move_x * belongs, move_y * belongs


def _sampled(x: Points, y: Points) -> Points:
    photo = _photo()
    columns = photo.shape[1]
    x = np.clip(x, 0, columns - 1.001)
    y = np.clip(y, 0, photo.shape[0] - 1.001)
    column, row = np.floor(x), np.floor(y)
    right, down = x - column, y - row
    points, at = photo.ravel(), (row * columns + column).astype(np.int32)
    upper = points.take(at) * (1 - right) + points.take(at + 1) * right
    at += columns
    lower = points.take(at) * (1 - right) + points.take(at + 1) * right
    shown: Points = upper * (1 - down) + lower * down
    return shown
