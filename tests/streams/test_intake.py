"""What callers push, of real browsers where their recordings are at hand, and made here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ih_mcp.errors import MediaError
from ih_mcp.media.containers.container import READERS
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.streams.sources.pushed import SegmentIntake
from ih_mcp.wire.dialects import Framing

MADE = {
    "mp4": "-c:v libx264 -bf 0 -f mp4 -movflags frag_keyframe+empty_moov+default_base_moof",
    "webm": "-c:v libvpx -threads 1 -deadline realtime -f webm -cluster_time_limit 900",
}


def chunks(shared_media: Path, name: str) -> list[bytes]:
    return [p.read_bytes() for p in sorted((shared_media / "mediarecorder" / name).glob("chunk*"))]


RECORDINGS = [
    "chromium-default-3s", "chromium-vp8-3s", "chromium-vp8-1s", "chromium-vp8-250ms",
    "chromium-vp9-3s", "chromium-av1-3s", "chromium-h264-3s", "chromium-mp4-3s",
    "chromium-mp4-1s", "chromium-vp8-noaudio-3s", "firefox-vp8-1s",
]  # fmt: skip


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_browsers_chunks_go_out_byte_for_byte(name: str, shared_media: Path) -> None:
    intake = SegmentIntake(Framing.CONTINUED)
    came = chunks(shared_media, name)
    sent = [taken for chunk in came if (taken := intake.prepare(chunk))]
    if rest := intake.finish():
        sent.append(rest)
    assert b"".join(segment.data for segment in sent) == b"".join(came)
    assert all(segment.data for segment in sent)
    ends = [segment.end_seconds for segment in sent if segment.end_seconds is not None]
    assert ends == sorted(ends)
    assert ends[-1] > 3


def test_raw_samples_may_be_cut_anywhere() -> None:
    intake = SegmentIntake(Framing.CONTINUED, raw_hertz=16_000)
    taken = intake.prepare(b"\x01")
    assert taken is not None
    assert taken.data == b"\x01"
    assert intake.prepare(b"") is None
    assert intake.finish() is None


def test_a_recording_without_its_header_is_refused() -> None:
    with pytest.raises(MediaError, match="begins without a container header") as refused:
        SegmentIntake(Framing.CONTINUED).prepare(b"\x00" * 100)
    assert refused.value.code == "no_header"


def test_too_little_to_tell_what_it_is_is_let_go() -> None:
    intake = SegmentIntake(Framing.CONTINUED)
    assert intake.prepare(b"\x1a") is None
    assert intake.finish() is None


def test_where_segments_stand_alone_a_chunk_that_cannot_is_refused(shared_media: Path) -> None:
    intake = SegmentIntake(Framing.WHOLE)
    first, second = chunks(shared_media, "chromium-vp8-3s")[:2]
    taken = intake.prepare(first)
    assert taken is not None
    assert taken.data == first
    with pytest.raises(MediaError, match="cannot be decoded alone") as refused:
        intake.prepare(second)
    assert refused.value.code == "not_decodable"


def test_where_segments_stand_alone_the_header_is_put_before_a_fragment(
    shared_media: Path,
) -> None:
    intake = SegmentIntake(Framing.WHOLE)
    header, fragment, *_ = chunks(shared_media, "chromium-mp4-3s")
    assert intake.prepare(header) is None
    first = intake.prepare(fragment)
    second = intake.prepare(chunks(shared_media, "chromium-mp4-3s")[2])
    assert first is not None
    assert second is not None
    assert second.data.startswith(header[:40])
    assert second.data.endswith(chunks(shared_media, "chromium-mp4-3s")[2])


@pytest.fixture(scope="module", params=MADE)
def made(request: pytest.FixtureRequest, ffmpeg: Ffmpeg) -> tuple[str, list[bytes]]:
    """A container's name; the header of a recording in it, then a part a second, each with a key
    frame first."""
    source = "-v error -nostdin -f lavfi -i testsrc2=s=64x48:r=10 -t 4"
    words = f"{source} -force_key_frames expr:gte(t,n_forced) {MADE[request.param]} pipe:1"
    command = [ffmpeg.path, *words.split()]
    data = subprocess.run(command, check=True, capture_output=True).stdout
    reader = READERS[request.param]()
    atoms = [*reader.feed(data), *reader.finish()]
    assert reader.header is not None
    assert [atom.is_key for atom in atoms] == [True] * 4
    parts = [data[atom.offset : atom.offset + atom.size] for atom in atoms]
    return request.param, [reader.header, *parts]


def test_what_is_recorded_goes_out_byte_for_byte_and_tells_where_another_session_can_begin(
    made: tuple[str, list[bytes]],
) -> None:
    container, parts = made
    whole = b"".join(parts)
    intake = SegmentIntake(Framing.CONTINUED)
    sent = [
        taken for at in range(0, len(whole), 999) if (taken := intake.prepare(whole[at : at + 999]))
    ]
    if rest := intake.finish():
        sent.append(rest)
    assert b"".join(segment.data for segment in sent) == whole
    assert intake.can_begin
    entries = [(n, segment.entry) for n, segment in enumerate(sent) if segment.entry][1:]
    assert len(entries) == 3  # a key frame a second; the first is in the segment with the header
    for number, entry in entries:
        reader = READERS[container]()
        onward = b"".join(segment.data for segment in sent[number:])[entry.offset :]
        first, *_ = reader.feed(entry.header + onward)
        assert (first.is_key, first.start_seconds) == (True, entry.seconds)


def test_where_segments_stand_alone_each_part_gets_the_header(
    made: tuple[str, list[bytes]],
) -> None:
    _, (header, first, second, *_) = made
    intake = SegmentIntake(Framing.WHOLE)
    assert intake.prepare(header) is None
    for number, part in enumerate((first, second)):
        taken = intake.prepare(part)
        assert taken is not None
        assert taken.data == header + part
        assert taken.start_seconds == pytest.approx(number, abs=0.1)
        assert taken.counts_from_zero


def test_where_segments_stand_alone_a_torn_part_is_refused(made: tuple[str, list[bytes]]) -> None:
    _, (header, first, second, *_) = made
    intake = SegmentIntake(Framing.WHOLE)
    assert intake.prepare(header + first) is not None
    with pytest.raises(MediaError, match="cannot be decoded alone") as refused:
        intake.prepare(second[:-20])
    assert refused.value.code == "not_decodable"
