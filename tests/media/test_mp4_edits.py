"""What an edit list hides stays hidden."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.media.containers.mp4_edits import hidden_tracks
from ih_mcp.media.ffmpeg.probe import probe
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.wire.dialects import Framing

from .checks import check_sample
from .sample_files import SAMPLE_FILES, SampleFolder, edited

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
