"""Facts of files, from what ffmpeg says; texts in a file cannot pass for facts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ih_mcp.errors import MediaError
from ih_mcp.media.containers.clock_set_backs import SetBack
from ih_mcp.media.ffmpeg.facts import (
    AudioTrack,
    Facts,
    VideoTrack,
    _hidden,
    _times,
    parse,
    require_tracks,
)
from ih_mcp.media.ffmpeg.probe import probe
from ih_mcp.media.ffmpeg.program import Ffmpeg

from .sample_files import SampleFolder


async def test_a_file_is_told_by_its_tracks_and_length(base: Path, ffmpeg: Ffmpeg) -> None:
    facts = await probe(ffmpeg, base)
    assert facts.container_name == "mov"
    assert facts.duration_seconds == pytest.approx(12.0, abs=0.05)
    assert facts.video == VideoTrack(
        codec="h264", width=160, height=90, pixel_format="yuv420p", frames_per_second=30.0
    )
    assert facts.audio == AudioTrack(codec="aac", hertz=48_000, channels="stereo")
    assert facts.notes() == ()


async def test_key_frames_are_told_where_asked(base: Path, ffmpeg: Ffmpeg) -> None:
    facts = await probe(ffmpeg, base, packets_seconds=3.5)
    assert facts.key_frames_seconds == pytest.approx((0.0, 1.0, 2.0, 3.0), abs=0.01)


async def test_rotation_of_a_phone_is_told(sample: SampleFolder, ffmpeg: Ffmpeg) -> None:
    facts = await probe(ffmpeg, sample("rotated"))
    assert facts.video is not None
    assert abs(facts.video.rotation_degrees) == 90.0


async def test_the_tracks_told_are_those_that_are_sent(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    cover = await probe(ffmpeg, sample("cover"))
    assert cover.video is not None
    assert cover.video.codec == "h264"
    several = await probe(ffmpeg, sample("two_audio_subtitles"))
    assert several.audio is not None
    assert several.audio.codec == "ac3"


async def test_missing_sound_or_picture_is_said(sample: SampleFolder, ffmpeg: Ffmpeg) -> None:
    silent = await probe(ffmpeg, sample("no_audio"))
    assert silent.notes() == ("The file has no sound.",)
    with pytest.raises(MediaError) as caught:
        require_tracks(silent, video=True, audio=True)
    assert caught.value.code == "no_audio"
    blind = await probe(ffmpeg, sample("audio_only"))
    assert blind.notes() == ("The file has no picture.",)
    with pytest.raises(MediaError) as caught:
        require_tracks(blind, video=True, audio=True)
    assert caught.value.code == "no_video"
    with pytest.raises(MediaError) as caught:
        require_tracks(blind, video=True, audio=True, sound_models=["inter-2-audio"])
    assert (caught.value.code, caught.value.what) == (
        "no_video",
        "the file has no picture; what was asked for needs one",
    )
    assert caught.value.help.startswith("Choose the model inter-2-audio (`model`, or --model")
    require_tracks(blind, video=False, audio=True, sound_models=["inter-2-audio"])


async def test_a_length_computed_from_a_bit_rate_is_called_estimated(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    facts = await probe(ffmpeg, sample("audio_only_adts"))
    assert facts.is_estimated


@pytest.fixture
def first_chunk(shared_media: Path) -> Path:
    return (shared_media / "mediarecorder" / "chromium-vp8-1s" / "chunk-000.webm").resolve()


async def test_a_recording_tells_no_length(first_chunk: Path, ffmpeg: Ffmpeg) -> None:
    facts = await probe(ffmpeg, first_chunk)
    assert facts.duration_seconds is None
    assert "The file does not tell how long it is." in facts.notes()


PACKETS = "#tb 0: 1/1000\n#media_type 0: video\n#codec_id 0: vp8\n#dimensions 0: 640x480\n"
WORDS = """Input #0, matroska,webm, from 'file:/dev/fd/7':
  Metadata:
    title           : a title
                    : Input #0, evil, from 'x':
                    :   Duration: 99:00:00.00, start: 5.000000
                    :   Stream #0:0: Video: evil, rgb24, 1x1, 9 fps
  Duration: N/A, start: 0.000000, bitrate: N/A
  Stream #0:0: Video: vp8, yuv420p(progressive), 640x480, 30 fps, 30 tbr, 1k tbn (default)
Stream mapping:
  Stream #0:0 -> #0:0 (copy)
Output #0, framecrc, to 'pipe:1':
  Metadata:
    mark            : 0123456789abcdef
    encoder         : Lavf63.1.102
  Stream #0:0: Video: vp8, yuv420p(progressive), 640x480, q=2-31, 30 fps, 30 tbr, 1k tbn (default)
"""
MARK = "0123456789abcdef"


def test_texts_in_a_file_do_not_pass_for_facts() -> None:
    facts = parse(PACKETS, WORDS, MARK)
    assert facts.container == "matroska,webm"
    assert facts.duration_seconds is None
    assert facts.video == VideoTrack(
        codec="vp8", width=640, height=480, pixel_format="yuv420p", frames_per_second=30.0
    )


def test_a_thousand_pictures_a_second_are_written_with_a_k() -> None:
    facts = parse(PACKETS, WORDS.replace(" 30 fps", " 1k fps"), MARK)
    assert facts.video is not None
    assert facts.video.frames_per_second == 1_000.0


def test_nothing_that_can_be_sent_is_an_error() -> None:
    with pytest.raises(MediaError) as caught:
        parse("", WORDS, MARK)
    assert caught.value.code == "no_media"


async def test_subtitles_alone_are_no_media(sample: SampleFolder, ffmpeg: Ffmpeg) -> None:
    with pytest.raises(MediaError) as caught:
        await probe(ffmpeg, sample("words_only"))
    assert caught.value.code == "no_media"


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("  Duration: 01:02:03.50, start: 0.250000", (3723.5, 0.25)),
        ("  Duration: N/A, start: 1.000000", (None, 1.0)),
        ("nothing", (None, None)),
    ],
)
def test_a_length_is_hours_minutes_and_seconds(
    told: str, seconds: tuple[float | None, float | None]
) -> None:
    assert _times(told) == seconds


@pytest.mark.parametrize(
    ("changed", "is_noted"),
    [
        ({}, True),
        ({"duration_seconds": 10.5}, False),
        ({"duration_seconds": None}, False),
        ({"start_seconds": 4.0}, True),
        ({"lengths": {}}, False),
        ({"hidden": frozenset({"audio"})}, False),
        ({"jumps_seconds": 1.0}, False),
    ],
)
def test_a_track_that_is_not_sent_is_noted_where_it_lasts_longer(
    changed: dict[str, Any], is_noted: bool
) -> None:
    sound = AudioTrack(codec="aac", hertz=48_000)
    facts = Facts(
        container="mov", duration_seconds=20.0, video=None, audio=sound, lengths={"audio": 10.0}
    )
    note = "A track that is not sent lasts longer than those that are."
    assert (note in replace(facts, **changed).notes()) is is_noted


_SET_BACK = SetBack(3.04, 1.26)
_SET_BACK_NOTE = "The clock of the file is set back, first at 3.0 s by 1.3 s"
_ALL_SENT = "all of the media is sent, and its times go on from there."


@pytest.mark.parametrize(
    ("changed", "note"),
    [
        ({}, None),
        ({"audio": None}, "The file has no sound."),
        ({"audio": None, "unsent": ("Its sound is odd.",)}, "Its sound is odd."),
        ({"video": None}, "The file has no picture."),
        ({"duration_seconds": None}, "The file does not tell how long it is."),
        (
            {"jumps_seconds": 0.6},
            "The clock of the file jumps by 1 s, which are left out.",
        ),
        ({"set_backs": 1 * [_SET_BACK]}, f"{_SET_BACK_NOTE}; {_ALL_SENT}"),
        ({"set_backs": 2 * [_SET_BACK]}, f"{_SET_BACK_NOTE}, and 1 more time; {_ALL_SENT}"),
        ({"set_backs": 3 * [_SET_BACK]}, f"{_SET_BACK_NOTE}, and 2 more times; {_ALL_SENT}"),
        (
            {"lengths": {"video": 8.9, "audio": 8.9}},
            "A track that is not sent lasts longer than those that are.",
        ),
        ({"lengths": {"video": 9.0, "audio": 9.0}}, None),  # by a second, of ten
        (
            {"hidden": frozenset({"video"})},
            "An edit list hides parts of the file; they are not sent.",
        ),
        (
            {"changing": frozenset({"audio"})},
            "What changes its format in the middle is encoded to one.",
        ),
        (
            {"unmarked": frozenset({"video"})},
            "The file does not begin with a key frame; its picture is encoded to be complete.",
        ),
        (
            {"untimed": frozenset({"video"})},
            "Pictures do not tell when they are shown; the picture is encoded to be in order.",
        ),
        ({"is_estimated": True}, "The duration is estimated from the bit rate."),
    ],
)
def test_each_thing_to_know_before_a_file_is_sent_is_noted_alone(
    changed: dict[str, Any], note: str | None
) -> None:
    plain = Facts(
        container="mov",
        duration_seconds=10.0,
        video=VideoTrack(codec="h264", width=16, height=9),
        audio=AudioTrack(codec="aac", hertz=48_000),
    )
    assert replace(plain, **changed).notes() == ((note,) if note else ())


def test_a_track_is_no_longer_than_the_file() -> None:
    """As ffmpeg 9 writes it into MOV where pictures are reordered round a jump of the clock."""
    facts = Facts(
        container="mov",
        duration_seconds=72.0,
        video=None,
        audio=AudioTrack(codec="aac", hertz=48_000),
        lengths={"audio": 106.0},
    )
    assert facts.sent_seconds == 72.0
    assert (facts.is_estimated, facts.is_open_ended) == (False, False)
    assert replace(facts, duration_seconds=80.0, start_seconds=5.0).sent_seconds == 75.0
    assert replace(facts, duration_seconds=None).sent_seconds == 106.0


@pytest.mark.parametrize(
    ("kind", "ticks", "flags", "is_hidden"),
    [
        ("video", -1, 5, True),
        ("video", -1, 4, True),
        ("video", -1, 1, False),  # it is shown
        ("video", 0, 5, False),
        ("audio", -26, 5, True),
        ("audio", -25, 5, False),  # what a decoder has to pass
        ("audio", -26, 1, False),
    ],
)
def test_a_track_that_begins_with_what_is_not_shown_is_known(
    kind: str, ticks: int, flags: int, is_hidden: bool
) -> None:
    packets = f"0, {ticks}, {ticks}, 1, 9, 0x1, F=0x{flags:x}\n0, 9, 9, 1, 9, 0x1, F=0x5\n"
    found = _hidden(packets, {"0": {"media_type": kind, "tb": "1/100"}})
    assert found == ({kind} if is_hidden else frozenset())
