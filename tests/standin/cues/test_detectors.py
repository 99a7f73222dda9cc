"""The libraries behind the senses, as they are loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dlib
import numpy as np
import pytest

from ih_mcp.standin.cues import detectors as senses
from ih_mcp.standin.cues.sight import Face

from .stimuli import pictures, swing


@pytest.fixture(autouse=True)
def _loads_anew() -> Iterator[None]:
    senses._face_detector.cache_clear()
    yield
    senses._face_detector.cache_clear()


def _faces() -> list[Face]:
    (picture, *_) = pictures(swing(5, 2), 0.2)
    image = np.frombuffer(picture.gray, np.uint8).reshape(picture.height, picture.width)
    finder = senses.make_finder()
    assert finder is not None
    return finder(image)


def test_the_saved_detector_is_the_one_in_dlib_byte_for_byte(tmp_path: Path) -> None:
    compiled_in = tmp_path / "compiled_in.svm"
    dlib.get_frontal_face_detector().save(str(compiled_in))
    assert compiled_in.read_bytes() == senses._SAVED_DETECTOR.read_bytes()


def test_the_detector_is_read_from_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(dlib, "get_frontal_face_detector")
    assert len(_faces()) == 1


def test_a_file_that_dlib_cannot_read_leaves_the_detector_compiled_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _faces()
    senses._face_detector.cache_clear()
    other = tmp_path / "other.svm"
    other.write_bytes(senses._SAVED_DETECTOR.read_bytes()[:1_000])
    monkeypatch.setattr(senses, "_SAVED_DETECTOR", other)
    assert _faces() == found
