from __future__ import annotations

from pathlib import Path

import pytest

from ih_mcp.errors import MediaError
from ih_mcp.streams.intake import Intake
from ih_mcp.wire.dialects import Framing


def chunks(shared_media: Path, name: str) -> list[bytes]:
    return [p.read_bytes() for p in sorted((shared_media / "mediarecorder" / name).glob("chunk*"))]


RECORDINGS = [
    "chromium-default-3s", "chromium-vp8-3s", "chromium-vp8-1s", "chromium-vp8-250ms",
    "chromium-vp9-3s", "chromium-av1-3s", "chromium-h264-3s", "chromium-mp4-3s",
    "chromium-mp4-1s", "chromium-vp8-noaudio-3s", "firefox-vp8-1s",
]  # fmt: skip


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_browsers_chunks_go_out_byte_for_byte(name: str, shared_media: Path) -> None:
    intake = Intake(Framing.CONTINUED)
    came = chunks(shared_media, name)
    sent = [taken for chunk in came if (taken := intake.take(chunk))]
    if rest := intake.finish():
        sent.append(rest)
    assert b"".join(segment.data for segment in sent) == b"".join(came)
    assert all(segment.data for segment in sent)
    ends = [segment.end_seconds for segment in sent if segment.end_seconds is not None]
    assert ends == sorted(ends)
    assert ends[-1] > 3


def test_raw_samples_may_be_cut_anywhere() -> None:
    intake = Intake(Framing.CONTINUED, is_raw=True)
    taken = intake.take(b"\x01")
    assert taken is not None
    assert taken.data == b"\x01"
    assert intake.take(b"") is None
    assert intake.finish() is None


def test_a_recording_without_its_header_is_refused() -> None:
    with pytest.raises(MediaError, match="begins without a container header") as refused:
        Intake(Framing.CONTINUED).take(b"\x00" * 100)
    assert refused.value.code == "no_header"


def test_too_little_to_tell_what_it_is_is_let_go() -> None:
    intake = Intake(Framing.CONTINUED)
    assert intake.take(b"\x1a") is None
    assert intake.finish() is None


def test_where_segments_stand_alone_a_chunk_that_cannot_is_refused(shared_media: Path) -> None:
    intake = Intake(Framing.WHOLE)
    first, second = chunks(shared_media, "chromium-vp8-3s")[:2]
    taken = intake.take(first)
    assert taken is not None
    assert taken.data == first
    with pytest.raises(MediaError, match="cannot be decoded alone") as refused:
        intake.take(second)
    assert refused.value.code == "not_decodable"


def test_where_segments_stand_alone_the_header_is_put_before_a_fragment(
    shared_media: Path,
) -> None:
    intake = Intake(Framing.WHOLE)
    header, fragment, *_ = chunks(shared_media, "chromium-mp4-3s")
    assert intake.take(header) is None
    first = intake.take(fragment)
    second = intake.take(chunks(shared_media, "chromium-mp4-3s")[2])
    assert first is not None
    assert second is not None
    assert second.data.startswith(header[:40])
    assert second.data.endswith(chunks(shared_media, "chromium-mp4-3s")[2])
