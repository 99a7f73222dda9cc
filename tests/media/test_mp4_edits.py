"""What an edit list hides stays hidden."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.media.containers.mp4_edits import hidden_tracks, lengths_of_tracks
from ih_mcp.media.ffmpeg.probe import probe
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.wire.dialects import Framing

from .checks import check_sample
from .sample_files import SAMPLE_FILES, SampleFolder, edited
from .test_mp4_boxes import box as mp4_box

HIDING = ("edit_list", "trimmed_end", "cut_in_the_middle")


@pytest.mark.one_for_each("name")
@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("name", HIDING)
async def test_what_was_cut_out_is_not_sent(
    name: str, framing: Framing, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    await check_sample(name, sample, ffmpeg, framing)


@pytest.mark.parametrize("name", HIDING)
async def test_a_probe_tells_what_is_hidden(
    name: str, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    facts = await probe(ffmpeg, sample(name))
    assert facts.hidden == {"video", "audio"}
    assert facts.duration_seconds == pytest.approx(SAMPLE_FILES[name].seconds, abs=0.05)
    assert "An edit list hides parts of the file; they are not sent." in facts.notes()


@pytest.mark.parametrize(
    "name", ["base", "late_audio", "long_audio", "audio_only", "no_audio", "rotated", "fragmented"]
)
async def test_delays_reordering_and_priming_hide_nothing(
    name: str, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    assert (await probe(ffmpeg, sample(name))).hidden == frozenset()


@pytest.mark.parametrize(
    "name",
    [
        "film-dialogue-6s.mp4",
        "portrait-noaudio-22s.mp4",
        "talking-head-5s.mp4",
        "talking-head-longgop-6s.mp4",
    ],
)
async def test_real_clips_hide_nothing(name: str, shared_media: Path, ffmpeg: Ffmpeg) -> None:
    assert (await probe(ffmpeg, (shared_media / name).resolve())).hidden == frozenset()


def test_a_part_at_the_end_may_be_as_short_as_encoders_pad(sample: SampleFolder) -> None:
    data = sample("gop_2s").read_bytes()
    assert hidden_tracks(io.BytesIO(edited(data, (11.9, 0.067)))) == {}
    assert hidden_tracks(io.BytesIO(edited(data, (11.8, 0.067)))) == {"video": 11.8}
    both = hidden_tracks(io.BytesIO(edited(data, (11.6, 0.067))))
    assert both == {"video": 11.6, "audio": 11.6}


class Counting(io.BytesIO):
    """Counts the bytes that are asked for."""

    asked = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.asked += size or 0
        return super().read(size)


def test_only_what_tells_is_read(sample: SampleFolder) -> None:
    file = Counting(sample("trimmed_end").read_bytes())
    assert hidden_tracks(file)
    assert 0 < file.asked < 2_000


@given(seed=st.integers(0, 1 << 30), places=st.integers(1, 30), keeps=st.floats(0.0, 1.0))
def test_damage_hides_nothing_and_breaks_nothing(
    seed: int, places: int, keeps: float, damaged: bytes
) -> None:
    chance, data = random.Random(seed), bytearray(damaged)  # noqa: S311 - no secret
    begins = data.index(b"moov")
    for _ in range(places):
        data[chance.randrange(begins, min(begins + 2_000, len(data)))] = chance.randrange(256)
    found = hidden_tracks(io.BytesIO(data[: int(len(data) * keeps)]))
    assert found.keys() <= {"video", "audio"}


@pytest.fixture(scope="session")
def damaged(sample: SampleFolder) -> bytes:
    return sample("cut_in_the_middle").read_bytes()


def test_boxes_without_end_are_left_after_a_while() -> None:
    many = b"\x00\x00\x00\x08free" * 200_000
    file = Counting(many + b"\x00\x00\x00\x08moov")
    assert hidden_tracks(file) == {}
    assert file.asked <= 16 * 10_000


def track(kind: bytes, timescale: int, duration: int, *edits: tuple[int, int]) -> bytes:
    """A `trak` with entries of its edit list: duration in the movie's timescale, and media time."""
    clock = mp4_box(b"mdhd", struct.pack(">6I", 0, 0, 0, timescale, duration, 0))
    media = mp4_box(b"mdia", clock + mp4_box(b"hdlr", bytes(8) + kind + bytes(13)))
    told = b"".join(struct.pack(">IiI", *edit, 1 << 16) for edit in edits)
    listed = mp4_box(b"elst", struct.pack(">II", 0, len(edits)) + told)
    return mp4_box(b"trak", media + (mp4_box(b"edts", listed) if edits else b""))


def file_of(*tracks: bytes, timescale: int = 600, extra: bytes = b"") -> io.BytesIO:
    clock = mp4_box(b"mvhd", struct.pack(">5I", 0, 0, 0, timescale, 9) + bytes(80))
    return io.BytesIO(mp4_box(b"moov", clock + extra + b"".join(tracks)))


@pytest.mark.parametrize(
    ("tracks", "lengths", "hidden"),
    [
        ([track(b"vide", 90, 450)], {"video": 5.0}, {}),
        ([track(b"vide", 90, 450, (1_200, 0))], {"video": 2.0}, {"video": 2.0}),
        ([track(b"vide", 90, 186, (1_200, 0))], {"video": 2.0}, {}),  # 0.07 s are padding
        ([track(b"vide", 90, 189, (1_200, 0))], {"video": 2.0}, {"video": 2.0}),
        ([track(b"soun", 100, 224, (1_200, 0))], {"audio": 2.0}, {}),
        ([track(b"soun", 100, 226, (1_200, 0))], {"audio": 2.0}, {"audio": 2.0}),
        ([track(b"vide", 90, 360, (1_200, 180))], {"video": 2.0}, {}),  # its beginning
        ([track(b"vide", 90, 450, (600, -1), (0, 0))], {"video": 6.0}, {}),  # begins a second late
        (
            [track(b"soun", 1_000, 5_000, (600, 0), (600, 4_000))],
            {"audio": 2.0},
            {"audio": 2.0},
        ),
        (
            [track(b"soun", 1_000, 3_000), track(b"vide", 90, 90), track(b"soun", 1, 9)],
            {"audio": 3.0, "video": 1.0},
            {},
        ),
        ([track(b"text", 90, 450, (1_200, 0))], {}, {}),
        ([track(b"vide", 0, 450, (1_200, 0))], {}, {}),
        ([track(b"vide", 90, 0)], {}, {}),
        ([track(b"vide", 90, 450)[:-30]], {}, {}),  # damaged
    ],
)
def test_a_movie_tells_how_long_its_tracks_are_shown_and_what_is_hidden(
    tracks: list[bytes], lengths: dict[str, float], hidden: dict[str, float]
) -> None:
    assert lengths_of_tracks(file_of(*tracks)) == pytest.approx(lengths)
    assert hidden_tracks(file_of(*tracks)) == pytest.approx(hidden)


def test_without_a_clock_or_with_fragments_a_movie_tells_no_lengths() -> None:
    shown = track(b"vide", 90, 450, (1_200, 0))
    for file in (file_of(shown, timescale=0), file_of(shown, extra=mp4_box(b"mvex", b""))):
        assert lengths_of_tracks(file) == hidden_tracks(file) == {}
