"""What a version of the API is foreseen to refuse."""

from __future__ import annotations

from ih_mcp.app.version_options import foresee_refusal
from ih_mcp.media.ffmpeg.facts import AudioTrack, Facts, VideoTrack
from ih_mcp.wire.rest import UPLOADS

SOUND = AudioTrack(codec="aac", hertz=48_000)
PICTURE = VideoTrack(codec="mpeg4", width=64, height=48, pixel_format="yuv420p")


def test_a_picture_that_is_not_decoded_is_foreseen_unless_sound_alone_is_asked_for() -> None:
    facts = Facts(container="avi", duration_seconds=9.0, video=PICTURE, audio=SOUND)
    (said,) = foresee_refusal(UPLOADS["v2"], None, facts)
    assert "its picture is mpeg4, which the service does not decode" in said
    assert foresee_refusal(UPLOADS["v2"], "inter-2-audio", facts) == []


def test_a_file_of_sound_alone_is_told_which_model_takes_it() -> None:
    facts = Facts(container="mp3", duration_seconds=9.0, video=None, audio=SOUND)
    (said,) = foresee_refusal(UPLOADS["v2"], None, facts)
    assert said.endswith("no picture, which v2 needs; the model inter-2-audio takes sound alone.")
    assert foresee_refusal(UPLOADS["v2"], "inter-2-audio", facts) == []
    assert foresee_refusal(UPLOADS["v1"], None, facts) == []
