from __future__ import annotations

from ih_mcp.standin.analysis.analyst import Observation, Observations
from ih_mcp.standin.analysis.windows import Window
from ih_mcp.standin.uploads.files import FileAnalysis
from ih_mcp.standin.uploads.results import make_v1_upload
from ih_mcp.wire.dialects import V1


def test_an_upload_tells_each_signal_with_the_tracks_it_stands_on() -> None:
    """As the messages of a stream do."""
    seen = [
        Observation(signal_type=name, probability="low", rationale="[mark] why", modality=modality)
        for name, modality in (("hesitation", ("audio",)), ("agreement", ("video",)))
    ]
    windows = [(Window(0, 0.0, 8.0), Observations(signals=seen))]
    file = FileAnalysis(duration_seconds=8.0, windows=windows, has_pictures=True, has_sound=True)
    answer = make_v1_upload(file, V1, include=(), goals=(), has_context=False)
    signals = answer["signals"]
    assert isinstance(signals, list)
    told = {item["type"]: item["modality"] for item in signals}
    assert told == {"hesitation": ["audio"], "agreement": ["video"]}
