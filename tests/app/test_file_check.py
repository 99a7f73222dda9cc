"""Which versions of the API would take a file, decided from its facts alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ih_mcp.app.file_check import _stream
from ih_mcp.errors import MediaError
from ih_mcp.media.ffmpeg.facts import AudioTrack, Facts, VideoTrack
from ih_mcp.wire.dialects import DIALECTS

BOTH = Facts(
    container="mov",
    duration_seconds=10.0,
    video=VideoTrack(codec="h264", width=16, height=9),
    audio=AudioTrack(codec="aac", hertz=48_000),
)


@pytest.mark.parametrize("api", DIALECTS)
def test_a_file_as_long_as_the_least_is_taken_and_a_shorter_one_is_refused_or_warned_of(
    api: str,
) -> None:
    assert _stream(api, BOTH, 3.0) == "takes it"
    if DIALECTS[api].limits.min_segment_seconds:
        with pytest.raises(MediaError) as refused:
            _stream(api, BOTH, 2.9)
        assert refused.value.what == "it is 2.9 s long; less than 3 s is not analysed"
    else:
        assert _stream(api, BOTH, 2.9) == (
            "takes it; 2.9 s may be dropped without a reading, as less than 3 s: not documented"
        )


@pytest.mark.parametrize("api", DIALECTS)
def test_a_track_is_missed_where_the_version_needs_it(api: str) -> None:
    """v2 takes sound alone with a model of its own."""
    dialect = DIALECTS[api]
    sound, picture = replace(BOTH, video=None), replace(BOTH, audio=None)
    if dialect.raw_models:
        assert _stream(api, sound, 3.0) == "takes its sound, with the model inter-2-audio"
    elif dialect.needs_video:
        with pytest.raises(MediaError, match="no picture"):
            _stream(api, sound, 3.0)
    else:
        assert _stream(api, sound, 3.0) == "takes it"
    if dialect.needs_audio:
        with pytest.raises(MediaError, match="no sound"):
            _stream(api, picture, 3.0)
    else:
        assert _stream(api, picture, 3.0) == "takes it"
