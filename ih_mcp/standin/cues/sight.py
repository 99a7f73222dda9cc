"""Whether a face is there, and how the head moves: once per picture.

The face is looked for every 0.6 s; between, the upper face is followed from picture to picture.
The background's movement is taken off, so a moving camera is no moving head.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ih_mcp.media.ffmpeg.decode import Picture

from .motion import Gray, Patch, Region, estimate_coarse_shift, estimate_fine_shift

FIND_SECONDS = 0.6
_MAX_STEP_SECONDS = 0.25  # between two pictures; a longer step cannot be followed
_CUT_LIKENESS = 0.5  # of two pictures as a whole; chosen on cuts of real clips
_HALF_FACE_PIXELS = 170  # a face so high is still found at half the size, for a quarter of the work
_FLAT_SPREAD = 3  # of 255: a row or column of a bar
_POINTS = 40  # about so many across a region
_MAX_HEAD_POINTS = 14
_CLOSE_POINTS = 0.6  # a rest so small is estimated right at once
_WHOLE_LOOKS = 4  # every so many face_checks go over the whole picture, for another face
_AROUND = 0.8  # face sizes on each side of a known one that are looked over
_UPPER = (-0.05, -0.05, 1.1, 0.7)  # brows to nose, a little wider than the face; see `_part_of`
_EYES = (0.05, 0.08, 0.9, 0.3)
_NOSE = (0.28, 0.42, 0.44, 0.32)


@dataclass(frozen=True, slots=True)
class Face:
    """Where the largest face is, in pixels."""

    left: float
    top: float
    width: float
    height: float


Area = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels; right and bottom are outside."""


class Finder(Protocol):
    """Finds faces in a gray picture."""

    def __call__(self, picture: Gray) -> list[Face]: ...


@dataclass(frozen=True, slots=True)
class FaceCheck:
    """One look for a face."""

    time_seconds: float
    is_found: bool


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the head is since it is being followed, in heights of the face."""

    time_seconds: float
    right: float
    down: float
    nose_right: float
    """How far the nose moved beyond the eyes: more than nothing where the head turns."""
    nose_down: float
    track: int
    """Poses of different tracks do not continue each other."""


@dataclass(slots=True)
class _FollowedHead:
    """What is being followed."""

    face: Face
    pose: Pose
    has_background: bool = True


class Sight:
    """Keeps the face checks, poses and cuts of the pictures it is given."""

    def __init__(self, finder: Finder) -> None:
        self.face_checks: deque[FaceCheck] = deque()
        self.poses: deque[Pose] = deque()
        self.cuts: deque[float] = deque()
        self._finder = finder
        self._before: Gray | None = None
        self._before_seconds = 0.0
        self._small: Patch | None = None
        self._last_look = -1
        self._content: Area = (0, 0, 0, 0)
        self._head: _FollowedHead | None = None
        self._tracks = 0
        self._is_met = False
        self._first_found: list[float] = []

    def add_picture(self, picture: Picture) -> None:
        """Take the next picture in."""
        shape = (picture.height, picture.width)
        image: Gray = np.frombuffer(picture.gray, np.uint8).reshape(shape)
        now = picture.time_seconds
        is_next = self._before is not None and now - self._before_seconds <= _MAX_STEP_SECONDS
        if self._is_cut(image) or not is_next:
            self._head = None
        if self._head is not None and self._before is not None:
            self._follow(self._head, self._before, image, now)
        if (look := int(now / FIND_SECONDS + 1e-6)) > self._last_look:
            self._last_look = look
            self._find(image, now)
        self._before, self._before_seconds = image, now

    def forget(self, before_seconds: float) -> None:
        for kept in (self.face_checks, self.poses):
            while kept and kept[0].time_seconds < before_seconds:
                kept.popleft()

    def was_seen_before(self, seconds: float) -> bool:
        """Whether a face was found in the scene that is shown at this time."""
        scene = max((cut for cut in self.cuts if cut < seconds), default=-1.0)
        return any(scene < found < seconds for found in self._first_found)

    def was_ever_seen(self, before_seconds: float) -> bool:
        return any(found < before_seconds for found in self._first_found[:1])

    def _is_cut(self, image: Gray) -> bool:
        """Whether this picture shows something else than the one before."""
        before, self._small = self._small, _small(image)
        if before is None or before.shape != self._small.shape:
            return before is not None
        is_cut = _correlate(before, self._small) < _CUT_LIKENESS
        if is_cut:
            self.cuts.append(self._before_seconds)
            self._is_met = False
        return is_cut

    # --- finding

    def _find(self, image: Gray, now: float) -> None:
        faces = self._faces(image)
        self.face_checks.append(FaceCheck(now, bool(faces)))
        if not faces:
            self._head = None
            return
        if not self._is_met:
            self._is_met = True
            self._first_found.append(now)
        face = max(faces, key=lambda face: face.height)
        if self._head is not None and _overlaps(self._head.face, face):
            self._head.face = face
            return
        self._tracks += 1
        self._head = _FollowedHead(face, Pose(now, 0.0, 0.0, 0.0, 0.0, self._tracks))
        self.poses.append(self._head.pose)

    def _faces(self, image: Gray) -> list[Face]:
        """Those in the picture; around a known face first, a large one at half the size."""
        area = self._content = find_content(image)
        if self._head is not None:
            face = self._head.face
            is_around = self._last_look % _WHOLE_LOOKS != 0
            factor = 2 if face.height >= _HALF_FACE_PIXELS else 1
            faces = self._faces_in(_around(face, area) if is_around else area, image, factor)
            if faces or (not is_around and factor == 1):
                return faces
        return self._faces_in(area, image, 1)

    def _faces_in(self, area: Area, image: Gray, factor: int) -> list[Face]:
        left, top, right, bottom = area
        part = np.ascontiguousarray(image[top:bottom, left:right])
        if factor > 1:
            rows, columns = part.shape[0] // factor, part.shape[1] // factor
            points = Region(0, 0, columns, rows, factor).cut(part)
            assert points is not None
            part = points.astype(np.uint8)
        return [_place_face(face, left, top, factor) for face in self._finder(part)]

    # --- following

    def _follow(self, head: _FollowedHead, before: Gray, image: Gray, now: float) -> None:
        face = head.face
        shift = _shift_of(_within(_part_of(face, _UPPER), self._content), before, image)
        if shift is None:
            self._head = None
            return
        right, down = shift
        ground = _ground_shift(_beside(face, self._content), before, image)
        eyes = _part_shift(_part_of(face, _EYES), before, image, shift)
        nose = _part_shift(_part_of(face, _NOSE), before, image, shift)
        beyond = (0.0, 0.0)
        if eyes is not None and nose is not None:
            beyond = (nose[0] - eyes[0], nose[1] - eyes[1])
        pose = head.pose
        head.pose = Pose(
            now,
            pose.right + (right - ground[0]) / face.height,
            pose.down + (down - ground[1]) / face.height,
            pose.nose_right + beyond[0] / face.height,
            pose.nose_down + beyond[1] / face.height,
            pose.track,
        )
        self.poses.append(head.pose)
        head.face = Face(face.left + right, face.top + down, face.width, face.height)


def find_content(image: Gray) -> Area:
    """Left, top, right and bottom of what is shown, without black or plain bars around it."""
    coarse_rows, coarse_columns = image[:, ::8], image[::8, :]
    rows = np.flatnonzero(np.ptp(coarse_rows, axis=1) > _FLAT_SPREAD)
    columns = np.flatnonzero(np.ptp(coarse_columns, axis=0) > _FLAT_SPREAD)
    if not len(rows) or not len(columns):
        return 0, 0, image.shape[1], image.shape[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _around(face: Face, area: Area) -> Area:
    across, along = _AROUND * face.width, _AROUND * face.height
    return (
        max(area[0], int(face.left - across)),
        max(area[1], int(face.top - along)),
        min(area[2], int(face.left + face.width + across)),
        min(area[3], int(face.top + face.height + along)),
    )


def _small(image: Gray) -> Patch:
    factor = max(1, image.shape[1] // 32)
    region = Region(0, 0, image.shape[1] // factor, image.shape[0] // factor, factor)
    small = region.cut(image)
    assert small is not None
    return small


def _correlate(before: Patch, after: Patch) -> float:
    """The correlation of two pictures; pictures without any contrast are like each other."""
    a, b = before - before.mean(), after - after.mean()
    size = float(np.sqrt(np.vdot(a, a) * np.vdot(b, b)))
    flat = before.size * 4.0
    return float(np.vdot(a, b)) / size if size > flat else float(np.abs(a - b).mean() < 8)


def _place_face(face: Face, left: int, top: int, factor: int) -> Face:
    return Face(
        left + face.left * factor,
        top + face.top * factor,
        face.width * factor,
        face.height * factor,
    )


def _overlaps(a: Face, b: Face) -> bool:
    across = min(a.left + a.width, b.left + b.width) - max(a.left, b.left)
    along = min(a.top + a.height, b.top + b.height) - max(a.top, b.top)
    return (
        across > 0
        and along > 0
        and across * along > 0.3 * min(a.width * a.height, b.width * b.height)
    )


def _region(left: float, top: float, width: float, height: float, points: int = _POINTS) -> Region:
    factor = max(1, round(min(width, height) / points))
    columns, rows = max(8, int(width / factor)), max(8, int(height / factor))
    return Region(round(left), round(top), columns, rows, factor)


def _part_of(face: Face, part: tuple[float, float, float, float]) -> Region:
    """A part of a face, given by left, top, width and height as shares of the face's own."""
    left, top, width, height = part
    return _region(
        face.left + left * face.width,
        face.top + top * face.height,
        width * face.width,
        height * face.height,
    )


def _shift_of(region: Region, before: Gray, image: Gray) -> tuple[float, float] | None:
    """The movement of a region in pixels: coarsely first, then what is left of it finely."""
    was, now = region.cut(before), region.cut(image)
    if was is None or now is None:
        return None
    right, down = (points * region.factor for points in estimate_coarse_shift(was, now))
    if max(abs(right), abs(down)) > _MAX_HEAD_POINTS * region.factor:
        return None
    return _finer_shift(region, was, image, (right, down))


def _part_shift(
    region: Region, before: Gray, image: Gray, near: tuple[float, float]
) -> tuple[float, float] | None:
    """The movement of a region in pixels, which is known to be near some movement."""
    was = region.cut(before)
    return None if was is None else _finer_shift(region, was, image, near)


def _finer_shift(
    region: Region, was: Patch, image: Gray, near: tuple[float, float]
) -> tuple[float, float] | None:
    """The same, of what the region showed."""
    right, down = near
    moved = None
    for _ in range(2):
        if moved == (round(right), round(down)):
            break  # where it was looked for already
        moved = round(right), round(down)
        now = region.moved(*moved).cut(image)
        rest = None if now is None else estimate_fine_shift(was, now)
        if rest is None:
            return None
        right, down = (at + points * region.factor for at, points in zip(moved, rest, strict=True))
        if max(map(abs, rest)) < _CLOSE_POINTS:
            break
    return right, down


def _within(region: Region, area: Area) -> Region:
    """The part of a region that can move a little without leaving the picture."""
    margin = 4 * region.factor
    left, top = max(region.left, area[0] + margin), max(region.top, area[1] + margin)
    right = min(region.left + region.columns * region.factor, area[2] - margin)
    bottom = min(region.top + region.rows * region.factor, area[3] - margin)
    columns, rows = (right - left) // region.factor, (bottom - top) // region.factor
    return Region(left, top, max(8, columns), max(8, rows), region.factor)


def _ground_shift(beside: list[Region], before: Gray, image: Gray) -> tuple[float, float]:
    """The movement of what is beside the head, in pixels: the camera's."""
    shifts = [shift for region in beside if (shift := _shift_of(region, before, image)) is not None]
    if not shifts:
        return 0.0, 0.0
    # where the two sides disagree, someone walks by on one of them
    return min((right for right, _ in shifts), key=abs), min((down for _, down in shifts), key=abs)


def _beside(face: Face, area: Area) -> list[Region]:
    """Strips on both sides of the head, where there is room."""
    margin = 0.15 * face.height
    left, top, right = area[0] + margin, area[1] + margin, area[2] - margin
    upper = max(top, face.top - 0.8 * face.height)
    height = face.top + 0.4 * face.height - upper
    sides = ((left, face.left - 0.5 * face.width), (face.left + 1.5 * face.width, right))
    return [
        _region(start, upper, min(end - start, face.width), height, points=24)
        for start, end in sides
        if end - start >= 24 and height >= 24
    ]
