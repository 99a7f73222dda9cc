"""What is sent can be decoded, and what cannot be is refused before anything is opened for it."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from ih_mcp.errors import MediaError
from ih_mcp.media.changes import changing_tracks
from ih_mcp.media.entries import look
from ih_mcp.media.ffmpeg import Ffmpeg
from ih_mcp.media.probe import probe
from ih_mcp.wire.dialects import V0, V1, Dialect, Framing

from .checks import check_beast, cut, joined
from .zoo import Zoo

HERTZ = 440.0
NEW = ("camera", "camera_422", "sound_empty", "sound_unknown")
CONTAINERS = (
    *("material", "tape", "bare_h264", "bare_hevc", "bare_vp9"),
    *("voice_note", "voice_caf", "broadcast_ac3"),
)


@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("name", [*NEW, *CONTAINERS])
async def test_a_beast_is_cut_right(name: str, framing: Framing, zoo: Zoo, ffmpeg: Ffmpeg) -> None:
    await check_beast(name, zoo, ffmpeg, framing)


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("protected", "encrypted", "protected.mp4: the file is protected"),
        ("picture_unknown", "not_decodable", "picture_unknown.mp4: the picture of the file cannot"),
        ("dolby_av1", "not_decodable", "dolby_av1.mp4: the picture of the file cannot"),
        ("header_alone", "no_media", "header_alone.mp4: the file has a header and no media"),
        ("fragment_alone", "no_header", "fragment_alone.m4s: the file is a fragment"),
        ("photo", "is_picture", "photo.avif: the file is a picture"),
        ("phone_photo", "is_picture", "phone_photo.heic: the file is a picture"),
        ("tiny", "picture_too_small", "tiny.avi: the picture is 2 x 2"),
        ("red", "format_not_allowed", "red.jpg: the file is a picture, which is not read"),
        ("words", "format_not_allowed", "words.srt: the file is text, which is not read"),
        ("torn_index_last", "incomplete_file", "torn_index_last.mp4: the file is incomplete"),
    ],
)
async def test_what_cannot_be_sent_is_refused_by_its_name_before_a_session(
    name: str, code: str, says: str, zoo: Zoo, ffmpeg: Ffmpeg
) -> None:
    with pytest.raises(MediaError) as caught:
        await probe(ffmpeg, zoo(name))
    assert caught.value.code == code
    assert caught.value.what.startswith(says)
    assert caught.value.help
    text = f"{caught.value.what} {caught.value.help}"
    assert "whitelist" not in text
    assert "status" not in text


async def test_a_picture_is_sent_without_a_sound_that_cannot_be(zoo: Zoo, ffmpeg: Ffmpeg) -> None:
    unknown, empty = [await probe(ffmpeg, zoo(name)) for name in ("sound_unknown", "sound_empty")]
    assert unknown.notes() == (
        "The sound of the file (mpegh_3d_audio) cannot be decoded; it is not sent.",
    )
    assert empty.notes() == (
        "The file has no sound: nothing was found in the track of sound that it names.",
    )


@pytest.mark.parametrize("order", [("44100", "48000"), ("48000", "44100")])
@pytest.mark.parametrize("suffix", ["ts", "aac", "flv"])
@pytest.mark.parametrize("dialect", [V0, V1])
async def test_a_tone_stays_the_same_over_a_change_of_rate_and_channels(
    dialect: Dialect, suffix: str, order: Sequence[str], zoo: Zoo, ffmpeg: Ffmpeg, folder: Path
) -> None:
    """As in recordings with adverts: 44.1 kHz mono, then 48 kHz stereo, and the other way."""
    path = folder / f"changes.{suffix}"
    ending = {"ts": "", "aac": "_sound", "flv": "_flash"}[suffix]
    parts = [zoo(f"rate_{rate}{ending}").read_bytes() for rate in order]
    path.write_bytes(flash_joined(*parts) if suffix == "flv" else b"".join(parts))
    facts = await probe(ffmpeg, path)
    assert facts.changing >= {"audio"}
    outcome = await cut(path, ffmpeg, dialect)
    assert outcome.error is None
    whole = dialect.framing is Framing.WHOLE
    sent = [segment.data for segment in outcome.segments] if whole else [joined(outcome.segments)]
    tones = [tone for data in sent for tone in tones_of(data)]
    assert len(tones) >= 10
    assert max(abs(tone - HERTZ) for tone in tones) < 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path.resolve()


def flash_joined(first: bytes, second: bytes) -> bytes:
    """Tags of two FLV files in one, the times of the second 6 s later."""
    moved, at = bytearray(), int.from_bytes(second[5:9], "big") + 4
    while at + 11 <= len(second):
        size = int.from_bytes(second[at + 1 : at + 4], "big")
        time = int.from_bytes(second[at + 4 : at + 7], "big") + 6_000
        moved += second[at : at + 4] + time.to_bytes(3, "big")
        moved += second[at + 7 : at + 15 + size]
        at += 15 + size
    return first + bytes(moved)


def tones_of(data: bytes) -> list[float]:
    """The tone of each second that is heard in full; but for the first and the last of a change."""
    samples, hertz = [], 0
    with av.open(io.BytesIO(data), "r") as container:
        for frame in container.decode(audio=0):
            samples.append(frame.to_ndarray()[0])
            hertz = frame.sample_rate
    heard = np.concatenate(samples)
    seconds = [heard[at : at + hertz] for at in range(0, len(heard) - hertz, hertz)]
    return [peak(second, hertz) for second in seconds]


def peak(second: np.ndarray, hertz: int) -> float:
    spectrum = np.abs(np.fft.rfft(second * np.hanning(len(second)), 4 * len(second)))
    return float(np.argmax(spectrum)) * hertz / (4 * len(second))


@pytest.mark.parametrize("name", ["transport", "audio_only_adts", "flv", "scratched_transport"])
async def test_sound_that_stays_the_same_is_copied(name: str, zoo: Zoo, ffmpeg: Ffmpeg) -> None:
    assert (await probe(ffmpeg, zoo(name))).changing == frozenset()


def test_a_change_is_found_however_the_bytes_are_read(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = zoo("rate_44100").read_bytes()
    data = first + zoo("rate_48000").read_bytes()
    for size in (1_000, 1_317, 4_096, 1 << 20):
        monkeypatch.setattr("ih_mcp.media.changes._READ_BYTES", size)
        assert changing_tracks(io.BytesIO(data), "mpegts") == {"audio"}
        assert changing_tracks(io.BytesIO(first), "mpegts") == frozenset()


def test_several_sample_entries_are_a_change(zoo: Zoo) -> None:
    """MP4 names one for each set of parameters; two that are alike are none."""
    data = zoo("base").read_bytes()
    assert look(io.BytesIO(data)).changing == frozenset()
    alike, other = with_entries(data, lambda e: e), with_entries(data, lambda e: e[:-1] + b"!")
    assert look(io.BytesIO(alike)).changing == frozenset()
    assert look(io.BytesIO(other)).changing == {"video"}


def with_entries(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The `moov` of a file alone, its picture with a second sample entry."""
    start = data.index(b"moov") - 4
    moov = data[start : start + int.from_bytes(data[start : start + 4], "big")]
    at = moov.index(b"stsd") - 4
    size = int.from_bytes(moov[at : at + 4], "big")
    entry = moov[at + 16 : at + size]
    second = change(entry)
    moov = moov[: at + 12] + struct.pack(">I", 2) + entry + second + moov[at + size :]
    out, path = bytearray(moov), [b"stsd", b"stbl", b"minf", b"mdia", b"trak", b"moov"]
    for kind in path:
        place = bytes(out).index(kind) - 4
        grown = int.from_bytes(out[place : place + 4], "big") + len(second)
        out[place : place + 4] = grown.to_bytes(4, "big")
    return data[: int.from_bytes(data[:4], "big")] + bytes(out)


async def test_inputs_of_the_field_are_sent_or_refused_as_they_should_be(
    shared_field: Path, ffmpeg: Ffmpeg
) -> None:
    expected = {
        "media/camera-timecode-no-sound.mov": "",
        "media/timecode-422-10bit.mov": "",
        "media/sound-not-decodable.mp4": "",
        "sound-announced-but-empty.ts": "",
        "sound-44100-then-48000.ts": "",
        "encrypted-cenc.mp4": "encrypted",
        "media/header-alone.mp4": "no_media",
        "media/photo.avif": "is_picture",
    }
    found = {}
    for name in expected:
        outcome = await cut((shared_field / name).resolve(), ffmpeg, V1)
        found[name] = outcome.code if outcome.code or outcome.segments else "nothing"
    assert found == expected
