"""Which videos a browser plays as they are, and what of others a copy can keep."""

from __future__ import annotations

import pytest

from ih_mcp.media.browser_copy import (
    _copied,
    _limits,
    _playable_in_mp4,
    _seconds_done,
    browser_type,
)
from ih_mcp.media.ffmpeg.facts import AudioTrack, Facts, VideoTrack
from ih_mcp.media.ffmpeg.program import Ffmpeg

MOV, MATROSKA, OTHER = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi"


def facts(container: str, picture: str, sound: str, *, pixels: str | None = "yuv420p") -> Facts:
    return Facts(
        container=container,
        duration_seconds=10.0,
        video=VideoTrack(codec=picture, width=64, height=48, pixel_format=pixels)
        if picture
        else None,
        audio=AudioTrack(codec=sound, hertz=48_000) if sound else None,
    )


@pytest.mark.parametrize(
    ("found", "mime_type"),
    [
        (facts(MOV, "h264", "aac"), "video/mp4"),
        (facts(MOV, "h264", "aac", pixels=None), "video/mp4"),
        (facts(MOV, "h264", "aac", pixels="yuv422p10le"), None),
        (facts(MOV, "vp9", "opus", pixels="yuv420p10le"), "video/mp4"),
        (facts(MOV, "h264", ""), "video/mp4"),
        (facts(MOV, "", "mp3"), "video/mp4"),
        (facts(MOV, "hevc", "aac"), None),
        (facts(MOV, "h264", "pcm_s16le"), None),
        (facts(MOV, "vp8", "aac"), None),
        (facts(MATROSKA, "vp8", "vorbis"), "video/webm"),
        (facts(MATROSKA, "h264", "opus"), None),
        (facts(OTHER, "h264", "mp3"), None),
    ],
)
def test_a_browser_plays_what_its_container_may_hold(found: Facts, mime_type: str | None) -> None:
    assert browser_type(found) == mime_type


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        (facts(OTHER, "h264", "mp3"), {"video", "audio"}),
        (facts(OTHER, "h264", "vorbis"), {"video"}),
        (facts(OTHER, "vp8", "aac"), {"audio"}),
        (facts(OTHER, "mpeg4", ""), set()),
    ],
)
def test_a_copy_keeps_what_mp4_and_browsers_take(found: Facts, kept: set[str]) -> None:
    assert _copied(found) & _playable_in_mp4(found) == kept


def test_a_copy_may_grow_and_has_a_bound(ffmpeg: Ffmpeg) -> None:
    found = facts(OTHER, "h264", "mp3")
    assert _limits(ffmpeg, found, 1_000, is_copy=True).file_bytes == 1 << 30
    assert _limits(ffmpeg, found, 1 << 30, is_copy=True).file_bytes == 4 << 30
    copied, encoded = (_limits(ffmpeg, found, 1_000, is_copy=each) for each in (True, False))
    assert copied.memory_bytes < encoded.memory_bytes


def test_the_newest_time_that_ffmpeg_told_counts() -> None:
    assert _seconds_done(b"out_time_us=1500000\nx\nout_time_us=2500000\n") == 2.5
    assert _seconds_done(b"progress=continue\n") is None
