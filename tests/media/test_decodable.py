"""What is sent can be decoded, and what cannot be is refused before anything is opened for it."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import anyio
import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.errors import MediaError
from ih_mcp.media.containers.h264_recovery import recovers_late
from ih_mcp.media.containers.header_facts import read_header_facts
from ih_mcp.media.containers.parameter_changes import Changes, find_changes
from ih_mcp.media.ffmpeg.probe import probe
from ih_mcp.media.ffmpeg.process import environment
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.wire.dialects import V0, V1, Dialect, Framing
from tests.forked import forked

from . import oracle
from .checks import check_sample, cut, joined, pictures, read_all
from .oracle import digests
from .sample_files import SampleFolder

HERTZ = 440.0
NEW = ("camera", "camera_422", "sound_empty", "sound_unknown", "intra_refresh")
CONTAINERS = (
    *("material", "tape", "bare_h264", "bare_hevc", "bare_vp9"),
    *("voice_note", "voice_caf", "broadcast_ac3"),
)


@pytest.mark.one_for_each("name")
@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("name", [*NEW, *CONTAINERS])
async def test_a_sample_file_is_cut_right(
    name: str, framing: Framing, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    await check_sample(name, sample, ffmpeg, framing)


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("protected", "encrypted", "protected.mp4: the file is protected"),
        ("scrambled_ts", "encrypted", "scrambled_ts.ts: the file is protected"),
        ("protected_web", "encrypted", "protected_web.mkv: the file is protected"),
        ("torn_header", "incomplete_file", "torn_header.mp4: the file is incomplete"),
        ("torn_material", "incomplete_file", "torn_material.mxf: the file is incomplete"),
        ("torn_voice", "incomplete_file", "torn_voice.caf: the file is incomplete"),
        ("picture_unknown", "not_decodable", "picture_unknown.mp4: the picture of the file cannot"),
        ("dolby_av1", "not_decodable", "dolby_av1.mp4: the picture of the file cannot"),
        ("header_alone", "no_media", "header_alone.mp4: the file has a header and no media"),
        ("fragment_alone", "no_header", "fragment_alone.m4s: the file is a fragment"),
        ("chunk_alone", "no_header", "chunk_alone.webm: the file is a later chunk of a recording"),
        ("photo", "is_picture", "photo.avif: the file is a picture"),
        ("phone_photo", "is_picture", "phone_photo.heic: the file is a picture"),
        ("tiny", "picture_too_small", "tiny.avi: the picture is 2 x 2"),
        ("red", "format_not_allowed", "red.jpg: the file is a picture, which is not read"),
        ("words", "format_not_allowed", "words.srt: the file is text, which is not read"),
        ("torn_index_last", "incomplete_file", "torn_index_last.mp4: the file is incomplete"),
    ],
)
async def test_what_cannot_be_sent_is_refused_by_its_name_before_a_session(
    name: str, code: str, says: str, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    with pytest.raises(MediaError) as caught:
        await probe(ffmpeg, sample(name))
    assert caught.value.code == code
    assert caught.value.what.startswith(says)
    assert caught.value.help
    text = f"{caught.value.what} {caught.value.help}"
    assert "whitelist" not in text
    assert "status" not in text


async def test_a_picture_is_sent_without_a_sound_that_cannot_be(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    unknown, empty = [
        await probe(ffmpeg, sample(name)) for name in ("sound_unknown", "sound_empty")
    ]
    assert unknown.notes() == (
        "The sound of the file (mpegh_3d_audio) cannot be decoded; it is not sent.",
    )
    assert empty.notes() == (
        "The file has no sound: nothing was found in the track of sound that it names.",
    )


@pytest.mark.one_for_each("kind")
@pytest.mark.parametrize("order", [("44100", "48000"), ("48000", "44100")])
@pytest.mark.parametrize("kind", ["ts", "aac", "flv", "mp3", "ac3", "latm"])
@pytest.mark.parametrize("dialect", [V0, V1])
async def test_a_tone_stays_the_same_over_a_change_of_rate_and_channels(
    dialect: Dialect,
    kind: str,
    order: Sequence[str],
    sample: SampleFolder,
    ffmpeg: Ffmpeg,
    folder: Path,
) -> None:
    """As in recordings with adverts: 44.1 kHz mono, then 48 kHz stereo, and the other way."""
    path = folder / f"changes.{kind if kind in {'aac', 'flv'} else 'ts'}"
    ending = {"ts": "", "aac": "_sound", "flv": "_flash"}.get(kind, f"_{kind}")
    parts = [sample(f"rate_{rate}{ending}").read_bytes() for rate in order]
    path.write_bytes(flash_joined(*parts) if kind == "flv" else b"".join(parts))
    facts = await probe(ffmpeg, path)
    assert facts.changing >= {"audio"} or kind == "latm"  # which is always encoded
    outcome = await cut(path, ffmpeg, dialect)
    assert outcome.error is None
    whole = dialect.framing is Framing.WHOLE
    sent = [segment.data for segment in outcome.segments] if whole else [joined(outcome.segments)]
    tones = [tone for data in sent for tone in tones_of(data)]
    assert len(tones) >= 6
    assert max(abs(tone - HERTZ) for tone in tones) < 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path.resolve()


def flash_joined(first: bytes, second: bytes) -> bytes:
    """Tags of two FLV files in one, the times of the second 4 s later."""
    moved, at = bytearray(), int.from_bytes(second[5:9], "big") + 4
    while at + 11 <= len(second):
        size = int.from_bytes(second[at + 1 : at + 4], "big")
        time = int.from_bytes(second[at + 4 : at + 7], "big") + 4_000
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
async def test_sound_that_stays_the_same_is_copied(
    name: str, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    assert (await probe(ffmpeg, sample(name))).changing == frozenset()


def test_a_change_is_found_however_the_bytes_are_read(
    sample: SampleFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sample("rate_44100").read_bytes()
    data = first + sample("rate_48000").read_bytes()
    for size in (1_000, 1_317, 4_096, 1 << 20):
        monkeypatch.setattr("ih_mcp.media.containers.parameter_changes._READ_BYTES", size)
        assert find_changes(io.BytesIO(data), "mpegts").tracks == {"audio"}
        assert find_changes(io.BytesIO(first), "mpegts") == Changes()


async def test_tracks_that_are_renumbered_in_the_middle_go_on(
    sample: SampleFolder, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    parts = [sample("transport_6s"), sample("parts_renumbered")]
    path = joined_file(tmp_path, parts)
    outcome = await cut(path, ffmpeg, V1)
    assert outcome.error is None
    (media,) = read_all(outcome.segments, Framing.CONTINUED)
    first, second = (digests(oracle.read(part).pictures) for part in parts)
    # ffmpeg gives the last picture of the first part at the very end.
    assert pictures(media)[:-1] == first[:-1] + second


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ("parts_elsewhere", "the file has other tracks from 6.0 s on, which ffmpeg does not"),
        ("parts_of_another_codec", "the file changes its codec in the middle, which ffmpeg does"),
    ],
)
async def test_tracks_that_ffmpeg_does_not_follow_are_refused(
    second: str, says: str, sample: SampleFolder, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    path = joined_file(tmp_path, [sample("transport_6s"), sample(second)])
    with pytest.raises(MediaError, match=says) as caught:
        await probe(ffmpeg, path)
    assert caught.value.code == "not_decodable"


def joined_file(folder: Path, parts: Sequence[Path]) -> Path:
    path = folder / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path.resolve()


@pytest.mark.parametrize("dialect", [V0, V1], ids=lambda d: d.name)
async def test_reordered_pictures_of_avi_are_shown_one_after_the_other(
    dialect: Dialect, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(sample("pictures_in_avi"), ffmpeg, dialect)
    for part in read_all(outcome.segments, dialect.framing):
        shown = [picture.time for picture in part.pictures]
        assert len(shown) > 60
        for before, after in pairwise(shown):
            assert after - before == pytest.approx(1 / 30, abs=0.002)


def nal(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


@pytest.mark.parametrize(
    ("picture", "is_late"),
    [
        (nal(b"\x65\x88"), False),
        (nal(b"\x06\x06\x01\x84\x80") + nal(b"\x41\x9a"), False),  # open GOP: whole at once
        (nal(b"\x06\x06\x02\x0b\x44\x80") + nal(b"\x41\x9a"), True),
        (nal(b"\x09\xf0") + nal(b"\x06\x05\x02ab\x06\x01\x44\x80") + nal(b"\x41\x9a"), True),
        (nal(b"\x41\x9a") + nal(b"\x06\x06\x01\x44\x80"), False),  # of the next picture
        (nal(b"\x06\x06"), False),
        (b"\0\0\0", False),
    ],
)
def test_a_key_frame_that_becomes_whole_only_later_is_known(picture: bytes, is_late: bool) -> None:
    assert recovers_late(picture) is is_late


@given(st.binary(max_size=200))
def test_any_bytes_are_looked_through_for_a_recovery_point(data: bytes) -> None:
    recovers_late(data)
    recovers_late(nal(b"\x06" + data))


@given(st.binary(max_size=3_000), st.sampled_from(["mpegts", "aac", "flv", "mov", "matroska"]))
def test_bytes_of_any_kind_are_passed_over(data: bytes, container: str) -> None:
    """Also those that begin as a unit of sound does, and end in the middle of it."""
    start = b"\x47\x41\x01\x30\x02\0\0\0\0\x01\xc0\0\0\x80\0\xff"
    cluster = b"\x1f\x43\xb6\x75\x90\xe7\x82\1"
    moof = b"\0\0\0\x28moof\0\0\0\x20traf\0\0\0\x10tfhd\0\0\0\0\0\0\0\1"
    for made in (data, data + start + data, start * 40 + data, cluster * 9 + data, moof + data):
        assert find_changes(io.BytesIO(made), container).tracks <= {"audio", "video"}
        read_header_facts(io.BytesIO(made))


def test_one_damaged_header_is_no_change(
    sample: SampleFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = sample("rate_44100").read_bytes()
    at = data.index(b"\xff\xf1", len(data) // 2)
    damaged = data[: at + 2] + bytes((data[at + 2] ^ 0x3C,)) + data[at + 3 :]
    for size in (188, 1_000, 1 << 20):
        monkeypatch.setattr("ih_mcp.media.containers.parameter_changes._READ_BYTES", size)
        assert find_changes(io.BytesIO(damaged), "mpegts").tracks == frozenset()


def test_several_sample_entries_are_a_change(sample: SampleFolder) -> None:
    """MP4 names one for each set of parameters; two that are alike are none."""
    data = sample("base").read_bytes()
    assert read_header_facts(io.BytesIO(data)).changing == frozenset()
    alike, other = with_entries(data, lambda e: e), with_entries(data, lambda e: e[:-1] + b"!")
    assert read_header_facts(io.BytesIO(alike)).changing == frozenset()
    assert read_header_facts(io.BytesIO(other)).changing == {"video"}


def with_entries(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The `moov` of a file alone, its picture with a second sample entry."""
    start = data.index(b"moov") - 4
    moov = data[start : start + int.from_bytes(data[start : start + 4], "big")]
    at = moov.index(b"stsd") - 4
    entry = moov[at + 16 : at + int.from_bytes(moov[at : at + 4], "big")]
    made = grown(moov, b"stsd", change(entry), b"stbl", b"minf", b"mdia", b"trak", b"moov")
    return data[: int.from_bytes(data[:4], "big")] + made


@pytest.mark.parametrize("dialect", [V0, V1])
async def test_pictures_of_two_sample_entries_are_encoded_to_one(
    dialect: Dialect, sample: SampleFolder, ffmpeg: Ffmpeg, folder: Path
) -> None:
    """Behind the change a copy had the header of what came before, and nobody could decode it."""
    path = folder / "entries.mp4"
    path.write_bytes(
        two_entries(sample("wide_plain").read_bytes(), sample("tall_plain").read_bytes())
    )
    assert (await probe(ffmpeg, path)).changing == {"video"}
    outcome = await cut(path, ffmpeg, dialect)
    parts = read_all(outcome.segments, dialect.framing)
    assert outcome.error is None
    assert sum(len(part.pictures) for part in parts) == 120
    assert [part.errors for part in parts if part.errors] == []
    whole = dialect.framing is Framing.WHOLE
    sent = [s.data for s in outcome.segments] if whole else [joined(outcome.segments)]
    shown = [grey(segment) for segment in (sent[0], sent[-1])]
    first, last = (grey(sample(name).read_bytes()) for name in ("wide_plain", "tall_plain"))
    assert np.abs(reduced(shown[0][0]) - reduced(first[0])).mean() < 12
    fitted = shown[1][-1]
    fitted = fitted[:, fitted.max(axis=0) > 40]  # the tall ones stand between black edges
    assert np.abs(reduced(fitted) - reduced(last[-1])).mean() < 12


async def test_fragments_of_two_sample_entries_are_refused(
    sample: SampleFolder, ffmpeg: Ffmpeg, folder: Path
) -> None:
    path = folder / "fragments.mp4"
    path.write_bytes(
        two_entries_by_fragments(sample("wide").read_bytes(), sample("tall").read_bytes())
    )
    with pytest.raises(MediaError) as caught:
        await probe(ffmpeg, path)
    assert caught.value.code == "not_decodable"


def grey(data: bytes) -> list[np.ndarray]:
    with av.open(io.BytesIO(data), "r") as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


def reduced(picture: np.ndarray) -> np.ndarray:
    """The mean of each of 8 x 8 fields."""
    rows = np.array_split(picture.astype(float), 8, axis=0)
    return np.array([[field.mean() for field in np.array_split(row, 8, axis=1)] for row in rows])


@pytest.mark.parametrize("dialect", [V0, V1])
async def test_pictures_in_mpeg_ts_that_change_their_size_all_decode(
    dialect: Dialect, sample: SampleFolder, ffmpeg: Ffmpeg, folder: Path
) -> None:
    """Each key frame there has its own parameters, which a copy keeps."""
    path = folder / "sizes.ts"
    path.write_bytes(sample("wide_ts").read_bytes() + sample("tall_ts").read_bytes())
    outcome = await cut(path, ffmpeg, dialect)
    parts = read_all(outcome.segments, dialect.framing)
    assert outcome.error is None
    assert pictures(*parts) == pictures(oracle.read(path))
    assert [part.errors for part in parts if part.errors] == []


def two_entries(first: bytes, second: bytes) -> bytes:
    """Two MP4 files of pictures as one: a chunk of each, with a sample entry of its own."""
    media = [mdat(data) for data in (first, second)]
    moov = first[first.index(b"moov") - 4 :]
    head = first[: int.from_bytes(first[:4], "big")]
    sizes = [boxed(data, b"stsz")[20:] for data in (first, second)]
    counts = [len(of) // 4 for of in sizes]
    keys = [
        struct.unpack(f">{(len(b) - 16) // 4}I", b[16:])
        for b in (boxed(d, b"stss") for d in (first, second))
    ]
    later = [key + counts[0] for key in keys[1]]
    begin = len(head) + 8
    tables = {
        b"stsd": boxed(first, b"stsd")[8:12]
        + words(2)
        + boxed(first, b"avc1")
        + boxed(second, b"avc1"),
        b"stts": words(0, 1, sum(counts), 1536),
        b"stss": words(0, len(keys[0]) + len(later), *keys[0], *later),
        b"stsc": words(0, 2, 1, counts[0], 1, 2, counts[1], 2),
        b"stsz": words(0, 0, sum(counts)) + b"".join(sizes),
        b"stco": words(0, 2, begin, begin + len(media[0])),
    }
    stbl = b"".join(words(len(body) + 8) + kind + body for kind, body in tables.items())
    moov = moov.replace(b"edts", b"free")
    old = boxed(moov, b"stbl")
    made = bytearray(
        grown(
            moov.replace(old, words(8) + b"stbl"), b"stbl", stbl, b"minf", b"mdia", b"trak", b"moov"
        )
    )
    short = len(old) - 8  # what was taken out is counted in the boxes around it still
    for kind in (b"minf", b"mdia", b"trak", b"moov"):
        at = made.index(kind) - 4
        made[at : at + 4] = words(int.from_bytes(made[at : at + 4], "big") - short)
    return head + words(sum(map(len, media)) + 8) + b"mdat" + b"".join(media) + bytes(made)


def boxed(data: bytes, kind: bytes) -> bytes:
    """The first box of a kind; where it can be a word of `ftyp` too, behind that."""
    at = data.index(kind, data.index(b"stsd") if kind == b"avc1" else 0) - 4
    return data[at : at + int.from_bytes(data[at : at + 4], "big")]


def mdat(data: bytes) -> bytes:
    return boxed(data, b"mdat")[8:]


def words(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers)


def two_entries_by_fragments(first: bytes, second: bytes) -> bytes:
    """Two fragmented MP4 files of pictures as one, the second behind the first."""
    at = first.index(b"moof") - 4
    moov = grown(
        first[:at], b"stsd", boxed(second, b"avc1"), b"stbl", b"minf", b"mdia", b"trak", b"moov"
    )
    count = moov.index(b"stsd") + 8
    moov = moov[:count] + words(2) + moov[count + 4 :]
    return moov + first[at : first.index(b"mfra") - 4] + later_fragments(second)


def grown(data: bytes, kind: bytes, more: bytes, *parents: bytes) -> bytes:
    """With more at the end of a box, the first of its kind, and the boxes around it larger."""
    out = bytearray(data)
    for name in (kind, *parents):
        place = data.index(name) - 4
        size = int.from_bytes(data[place : place + 4], "big")
        out[place : place + 4] = (size + len(more)).to_bytes(4, "big")
    place = data.index(kind) - 4
    end = place + int.from_bytes(data[place : place + 4], "big")
    return bytes(out[:end]) + more + bytes(out[end:])


def later_fragments(data: bytes, ticks: int = 6 * 15_360) -> bytes:
    """The fragments with the second sample entry, 6 s later."""
    out, at = b"", data.index(b"moof") - 4
    while at < data.index(b"mfra") - 4:
        size = int.from_bytes(data[at : at + 4], "big")
        box = bytearray(data[at : at + size])
        at += size
        if box[4:8] == b"moof":
            time = box.index(b"tfdt")
            wide = 8 if box[time + 4] else 4
            moved = int.from_bytes(box[time + 8 : time + 8 + wide], "big") + ticks
            box[time + 8 : time + 8 + wide] = moved.to_bytes(wide, "big")
            run, header = box.index(b"trun"), box.index(b"tfhd")
            place = int.from_bytes(box[run + 12 : run + 16], "big") + 4  # of the media: moved too
            box[run + 12 : run + 16] = place.to_bytes(4, "big")
            box[header + 7] |= 2  # the number of a sample entry follows
            for name in (b"moof", b"traf", b"tfhd"):
                begin = box.index(name) - 4
                longer = int.from_bytes(box[begin : begin + 4], "big") + 4
                box[begin : begin + 4] = longer.to_bytes(4, "big")
            box[header + 12 : header + 12] = struct.pack(">I", 2)
        out += bytes(box)
    return out


async def test_a_voice_note_of_a_phone_is_sent(ffmpeg: Ffmpeg, folder: Path) -> None:
    """AMR, of which ffmpeg makes none: twelve seconds of frames that say nothing."""
    path = folder / "note.amr"
    path.write_bytes(b"#!AMR\n" + (b"\x3c" + bytes(31)) * 600)
    outcome = await cut(path, ffmpeg, V1)
    assert outcome.error is None
    assert sum(s.end_seconds - s.start_seconds for s in outcome.segments) == pytest.approx(
        12, abs=0.2
    )


@pytest.mark.one_for_each("name")
@pytest.mark.parametrize("name", ["base", "flv", "mkv"])
@pytest.mark.parametrize("dialect", [V0, V1])
async def test_the_short_rest_of_a_torn_file_is_called_incomplete(
    name: str, dialect: Dialect, sample: SampleFolder, ffmpeg: Ffmpeg, folder: Path
) -> None:
    """And not too short: a longer file of the same kind would be torn as well."""
    data = sample(name).read_bytes()
    path = folder / f"rest.{name}"
    path.write_bytes(data[: len(data) // 7])
    outcome = await cut(path, ffmpeg, dialect)
    assert (outcome.segments, outcome.code) == ([], "ends_early")
    assert outcome.error is not None
    assert "too short to be sent" in outcome.error.what
    assert "incomplete" in outcome.error.help


@pytest.mark.parametrize("name", ["protected", "header_alone", "photo", "dolby_av1"])
async def test_nothing_is_opened_for_a_file_that_cannot_be_sent(
    name: str, sample: SampleFolder, tmp_path: Path
) -> None:
    words = ["stream", str(sample(name)), "--local", "--analyst", "placeholder"]
    done = await anyio.run_process(
        [*forked(), *words],
        check=False,
        env={**environment(), "IH_MCP_DATA_DIR": str(tmp_path)},
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(f"ih-mcp: {sample(name).name}: the ".encode())


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


async def test_a_file_that_ends_in_its_first_picture_is_refused_at_the_first_look(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    with pytest.raises(MediaError, match="ends before its first picture") as refused:
        await probe(ffmpeg, sample("torn_in_its_first_picture"))
    assert refused.value.code == "incomplete_file"


async def test_a_picture_that_is_announced_and_not_there_leaves_the_sound(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    facts = await probe(ffmpeg, sample("picture_announced_but_empty"))
    assert facts.video is None
    assert any("Nothing can be read of the track of pictures" in note for note in facts.notes())
    outcome = await cut(sample("picture_announced_but_empty"), ffmpeg, V1)
    assert outcome.error is None
    assert outcome.segments[-1].end_seconds == pytest.approx(12.0, abs=0.1)
