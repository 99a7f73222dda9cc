"""Sample files: small ones of every kind that people bring, each made when a test asks for it.

`python -m tests.media.sample_files FOLDER` makes all of them. A sample file is a list of arguments
of ffmpeg; `{name}` stands for another one. What no ffmpeg makes is made by a function of bytes.
"""

from __future__ import annotations

import os
import random
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ih_mcp.media.containers import ebml
from ih_mcp.media.containers.ebml import Id
from ih_mcp.media.ffmpeg.process import environment

PICTURE = "testsrc2=s=160x90:r=30:d={seconds},noise=alls=4:allf=t"
VOICE = "aevalsrc='0.4*sin(2*PI*(180+25*t)*t)+0.05*random(0)':s=48000:d={seconds}"
LONG_VOICE = "anoisesrc=r=8000:a=0.4:seed=7:d={seconds}"  # its packets are six times as long
X264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -bf 2 -g 30 -keyint_min 30 -sc_threshold 0"
VP8 = "-c:v libvpx -threads 1 -deadline realtime"  # threads would wait for each other in loops
VP9 = VP8.replace("libvpx", "libvpx-vp9")
AAC = "-c:a aac -b:a 64k -ac 2"
AAC_MONO = "-c:a aac -b:a 32k -ac 1"
OPUS = "-c:a libopus -b:a 48k"


@dataclass(frozen=True, slots=True)
class SampleFile:
    """How a file is made, and what is special about splitting it."""

    suffix: str
    arguments: str = ""
    made_of: str = ""
    change: Callable[[bytes], bytes] | None = None
    """For what ffmpeg does not make: the bytes of `made_of`, changed."""
    seconds: float = 12.0
    encodes: frozenset[str] = frozenset()
    """Tracks that cannot be copied."""
    is_media: bool = True
    ends: str = ""
    """Code of the error that follows the segments."""
    whole_of: float | None = None
    """Longest whole segment, where key frames allow no shorter ones than 7 s."""
    hides: frozenset[str] = frozenset()
    """Tracks of which an edit list hides parts that a copy would show."""
    is_damaged: bool = False
    """Whether a reader may find errors in it."""
    slack_seconds: float = 0.07
    """How far the durations may be off: two frames, or what its last frame leaves open."""


VIDEO, AUDIO, BOTH = frozenset({"video"}), frozenset({"audio"}), frozenset({"video", "audio"})


def lavfi(seconds: float, options: str) -> str:
    picture, voice = PICTURE.format(seconds=seconds), VOICE.format(seconds=seconds)
    return f"-f lavfi -i {picture} -f lavfi -i {voice} {options}"


def jumping(options: str) -> str:
    """A file whose clock jumps at 3 and at 7.3 s, encoded after it has."""
    later = r"='PTS+(gte(T\,3)*20+gte(T\,7.3)*40)/TB'"
    return f"-i {{base}} -vf setpts{later} -af asetpts{later} -fps_mode passthrough {options} {AAC}"


def torn(data: bytes) -> bytes:
    return data[: len(data) * 7 // 10]


def edited(data: bytes, *edits: tuple[float, float]) -> bytes:
    """An MP4 file shown in parts: how long each is and where in the media it begins."""
    at = data.index(b"moov") - 4  # the last box, so that no place of media changes
    return data[:at] + _edited(data[at:], edits)


def _edited(box: bytes, edits: Sequence[tuple[float, float]], film_scale: int = 0) -> bytes:
    children, start = b"", 8
    film_scale = film_scale or int.from_bytes(box[(m := box.index(b"mvhd") + 16) : m + 4], "big")
    while start < len(box):
        child = box[start : (start := start + int.from_bytes(box[start : start + 4], "big"))]
        if child[4:8] == b"trak":
            child = _edited(child, edits, film_scale)
        elif child[4:8] == b"mdia":
            scale = int.from_bytes(child[(m := child.index(b"mdhd") + 16) : m + 4], "big")
            children += _edit_list(edits, film_scale, scale)
        children += b"" if child[4:8] == b"edts" else child
    return (len(children) + 8).to_bytes(4, "big") + box[4:8] + children


def _edit_list(edits: Sequence[tuple[float, float]], film_scale: int, scale: int) -> bytes:
    entries = b"".join(
        struct.pack(">IiI", round(seconds * film_scale), round(begin * scale), 1 << 16)
        for seconds, begin in edits
    )
    size = len(entries) + 16
    return struct.pack(">I4sI4sII", size + 8, b"edts", size, b"elst", 0, len(edits)) + entries


def without_packets(data: bytes, pid: int = 0x101) -> bytes:
    """MPEG-TS that names a track and has nothing in it."""
    packets = (data[at : at + 188] for at in range(0, len(data), 188))
    return b"".join(one for one in packets if int.from_bytes(one[1:3], "big") & 0x1FFF != pid)


def joined_late(data: bytes) -> bytes:
    """MPEG-TS that begins in the middle of a group of pictures, as of a receiver tuned in."""
    return data[188 * (len(data) // 188 // 5) :]


def without_pictures(data: bytes) -> bytes:
    return without_packets(data, 0x100)


def unheard(data: bytes) -> bytes:
    """An MP4 whose sound is of a kind that ffmpeg has no decoder for."""
    return data.replace(b"mp4a", b"mhm1").replace(b"esds", b"free")


def scrambled(data: bytes) -> bytes:
    """MPEG-TS as a receiver without a card stores it."""
    chance, packets = random.Random(7), []  # noqa: S311 - no secret
    for at in range(0, len(data), 188):
        packet = bytearray(data[at : at + 188])
        if 0x100 <= int.from_bytes(packet[1:3], "big") & 0x1FFF < 0x1000:
            packet[3] |= 0x80
            packet[4:] = chance.randbytes(184) if packet[3] & 0x30 == 0x10 else packet[4:]
        packets.append(bytes(packet))
    return b"".join(packets)


def with_key_id(data: bytes) -> bytes:
    """A Matroska file that says that its tracks are encrypted, as WebM of the web does it."""
    key = ebml.element(0x47E1, b"\x05") + ebml.element(0x47E2, bytes(16))
    encoding = ebml.element(
        0x6240,
        ebml.element(0x5033, b"\x01") + ebml.element(0x5035, key),
    )
    encodings = ebml.element(0x6D80, encoding)
    cluster = data.index(b"\x1f\x43\xb6\x75")
    out, at = bytearray(data), data.rindex(b"\x16\x54\xae\x6b", 0, cluster)
    (wide, size) = _size(out, at + 4)
    tracks = bytes(out[at + 4 + wide : at + 4 + wide + size])
    made, place = b"", 0
    while place < len(tracks):
        mark, (width, length) = tracks[place], _size(tracks, place + 1)
        payload = tracks[place + 1 + width : place + 1 + width + length]
        made += ebml.element(mark, payload + (encodings if mark == Id.TRACK_ENTRY else b""))
        place += 1 + width + length
    head = bytes(out[: data.index(b"\x18\x53\x80\x67") + 4]) + ebml.UNKNOWN
    return head + ebml.element(Id.TRACKS, made) + bytes(out[at + 4 + wide + size :])


def _size(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """How wide a size of EBML is, and the size."""
    wide = 9 - data[at].bit_length()
    return wide, int.from_bytes(data[at : at + wide], "big") & ((1 << 7 * wide) - 1)


def header_alone(data: bytes) -> bytes:
    """Of a fragmented MP4."""
    return data[: data.index(b"moof") - 4]


def fragment_alone(data: bytes) -> bytes:
    """What a DASH segment is, behind the header of a fragmented MP4."""
    return data[data.index(b"moof") - 4 :]


def jumped(data: bytes, *jumps: tuple[float, float], kinds: bytes = b"\x08\x09") -> bytes:
    """An FLV file whose clock jumps: where, and how far. Sound is of kind 8, pictures of 9."""
    changed, at = bytearray(data), 13
    while at < len(data):
        time = int.from_bytes(data[at + 7 : at + 8] + data[at + 4 : at + 7], "big")
        if data[at] in kinds:
            time += round(1_000 * sum(far for where, far in jumps if time >= 1_000 * where))
        written = time.to_bytes(4, "big")
        changed[at + 4 : at + 8] = written[1:] + written[:1]
        at += 15 + int.from_bytes(data[at + 1 : at + 4], "big")
    return bytes(changed)


def begun_below_0(data: bytes) -> bytes:
    """An FLV file whose clock begins 1 s below 0, as ffmpeg writes it: in 31 bits."""
    changed, at = bytearray(data), 13
    while at < len(data):
        time = int.from_bytes(data[at + 7 : at + 8] + data[at + 4 : at + 7], "big")
        written = (time - 1_000 & 0x7FFF_FFFF).to_bytes(4, "big")
        changed[at + 4 : at + 8] = written[1:] + written[:1]
        at += 15 + int.from_bytes(data[at + 1 : at + 4], "big")
    return bytes(changed)


def one_track_jumped(far: float, kind: bytes) -> Callable[[bytes], bytes]:
    return lambda data: jumped(data, (6.0, far), kinds=kind)


def fragments_set_back(data: bytes, at_seconds: float, seconds: float) -> bytes:
    """A fragmented MP4 whose clocks are set back at a time."""
    changed, scales = bytearray(data), list[int]()
    for found in re.finditer(rb"mdhd\0", data):
        scales.append(int.from_bytes(data[found.start() + 16 : found.start() + 20], "big"))
    for found in re.finditer(rb"tfhd", data):
        track = int.from_bytes(data[found.start() + 8 : found.start() + 12], "big")
        time = data.index(b"tfdt", found.start())
        wide = 8 if data[time + 4] else 4
        place = slice(time + 8, time + 8 + wide)
        ticks = int.from_bytes(data[place], "big")
        if ticks >= at_seconds * scales[track - 1]:
            ticks -= round(seconds * scales[track - 1])
            changed[place] = ticks.to_bytes(wide, "big")
    return bytes(changed)


def clusters_set_back(data: bytes, at_seconds: float, seconds: float) -> bytes:
    """A Matroska file whose clock is set back at a time; its Clusters have 2-byte times."""
    changed = bytearray(data)
    for found in re.finditer(rb"\x1f\x43\xb6\x75.{1,20}?\xe7\x82(..)", data, re.DOTALL):
        milliseconds = int.from_bytes(found[1], "big")
        if milliseconds >= 1_000 * at_seconds:
            changed[found.start(1) : found.end(1)] = struct.pack(
                ">H", milliseconds - round(1_000 * seconds)
            )
    return bytes(changed)


def scratched(data: bytes) -> bytes:
    """Bytes of the media damaged in places."""
    chance, damaged = random.Random(7), bytearray(data)  # noqa: S311 - no secret
    for _ in range(12):
        at = chance.randrange(len(data) // 3, len(data) - 100)
        damaged[at : at + 40] = chance.randbytes(40)
    return bytes(damaged)


SAMPLE_FILES: Mapping[str, SampleFile] = {
    # the usual
    "base": SampleFile("mp4", lavfi(12, f"{X264} {AAC} -movflags +faststart")),
    "larger": SampleFile(  # where the encoder chooses otherwise in smaller pictures
        "mp4", lavfi(12, f"{X264} {AAC}").replace("160x90", "320x180")
    ),
    "mkv": SampleFile("mkv", "-i {base} -c copy"),
    "flv": SampleFile("flv", "-i {base} -c copy"),
    "fragmented": SampleFile("mp4", "-i {base} -c copy -movflags +frag_keyframe+empty_moov"),
    "movable": SampleFile(
        "mp4", "-i {base} -c copy -movflags +frag_keyframe+empty_moov+default_base_moof"
    ),
    # tracks
    "no_audio": SampleFile("mp4", "-i {base} -an -c copy"),
    "audio_only": SampleFile("m4a", "-i {base} -vn -c copy"),
    "audio_only_webm": SampleFile("webm", f"-i {{base}} -vn {OPUS}"),
    "audio_only_mp3": SampleFile("mp3", "-i {base} -vn -c:a libmp3lame -b:a 64k"),
    "audio_only_wav": SampleFile(
        "wav", "-i {base} -vn -c:a pcm_s16le -ar 16000 -ac 1", encodes=AUDIO
    ),
    "audio_only_adts": SampleFile("aac", "-i {base} -vn -c copy"),
    "audio_only_ogg": SampleFile("ogg", f"-i {{base}} -vn {OPUS}"),
    "audio_only_flac": SampleFile("flac", "-i {base} -vn -c:a flac -ac 1 -ar 16000", encodes=AUDIO),
    "audio_first": SampleFile("mp4", "-i {base} -map 0:a -map 0:v -c copy"),
    "late_audio": SampleFile(
        "mp4", "-i {base} -itsoffset 4.2 -i {base} -map 0:v -map 1:a -t 12 -c copy"
    ),
    "long_audio": SampleFile(
        "mp4", "-t 4 -i {base} -i {base} -map 0:v -map 1:a -c copy", whole_of=12.0
    ),
    "two_audio_subtitles": SampleFile(
        "mkv",
        "-i {base} -i {words} -map 0:v -map 0:a -map 0:a -map 1 -c:v copy -c:a:0 ac3 -c:s srt",
    ),
    "words": SampleFile(
        "srt", change=lambda _: b"1\n00:00:01,000 --> 00:00:04,000\nhello\n", is_media=False
    ),
    "words_only": SampleFile("mkv", "-i {words} -c copy", is_media=False),
    "cover": SampleFile(
        "mp4", "-i {base} -i {red} -map 0 -map 1 -c copy -disposition:v:1 attached_pic"
    ),
    "red": SampleFile("jpg", "-f lavfi -i color=red:s=64x64 -frames:v 1", is_media=False),
    "chapters": SampleFile("mkv", "-i {base} -i {chapter_list} -map_metadata 1 -c copy"),
    "chapter_list": SampleFile(
        "txt",
        change=lambda _: (
            b";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1\nSTART=0\nEND=5\ntitle=one\n"
            b"[CHAPTER]\nTIMEBASE=1/1\nSTART=5\nEND=12\ntitle=two\n"
        ),
        is_media=False,
    ),
    # time
    "variable_rate": SampleFile(
        "mp4",
        "-i {base} -vf select='lt(mod(n\\,37)\\,20)+not(mod(n\\,3))' -fps_mode vfr "
        f"{X264} -c:a copy",
        slack_seconds=0.2,
    ),
    "variable_rate_in_milliseconds": SampleFile(  # as of phones; ffmpeg guesses a rate of 1/9
        "mkv",
        "-f lavfi -i testsrc2=s=160x90:r=60:d=6 -t 6 -i {base} -map 0:v -map 1:a "
        "-vf select='lt(mod(n\\,97)\\,9)+not(mod(n\\,13))',setpts='floor(PTS*TB*1000+2)/(1000*TB)' "
        "-fps_mode vfr -enc_time_base 1:1000 -c:v mpeg4 -q:v 5 -c:a copy",
        encodes=VIDEO,
        seconds=6.0,
        slack_seconds=0.25,
    ),
    "stays": SampleFile(  # as a shared screen: one picture for over a minute, while people talk
        "mp4",
        f"-f lavfi -i testsrc2=s=160x90:r=5:d=75 -f lavfi -i {LONG_VOICE.format(seconds=75)} "
        f"-vf select='lt(t\\,2)+gte(t\\,72)' -fps_mode vfr {X264} -g 999 {AAC_MONO}",
        seconds=75.0,
    ),
    "stays_until_key": SampleFile(  # which is decoded before the picture that stays is shown
        "mp4",
        f"-f lavfi -i testsrc2=s=160x90:r=5:d=75 -f lavfi -i {LONG_VOICE.format(seconds=75)} "
        f"-vf select='lt(t\\,2)+gte(t\\,42)' -fps_mode vfr {X264} -force_key_frames 42 {AAC_MONO}",
        seconds=75.0,
    ),
    "stays_silent": SampleFile(
        "mp4", "-i {stays_until_key} -an -c copy", seconds=75.0, slack_seconds=0.2
    ),
    "stays_vp8": SampleFile(
        "webm",
        f"-i {{stays}} -t 75 -fps_mode passthrough {VP8} -b:v 100k -g 999 -c:a libopus -b:a 32k",
        seconds=75.0,
    ),
    "stays_transport": SampleFile("ts", "-i {stays} -c copy", seconds=75.0),
    "stays_mpeg4": SampleFile(
        "mkv",
        "-i {stays} -fps_mode passthrough -c:v mpeg4 -g 999 -bsf:v setts=duration=200 -c:a copy",
        seconds=75.0,
        encodes=VIDEO,
    ),
    "slides": SampleFile(  # one every 40 s
        "mp4",
        f"-f lavfi -i testsrc2=s=160x90:r=1:d=121 -f lavfi -i {LONG_VOICE.format(seconds=121)} "
        f"-vf select='not(mod(n\\,40))' -fps_mode vfr {X264} -bf 0 -g 999 {AAC_MONO}",
        seconds=121.0,
    ),
    "slides_matroska": SampleFile("mkv", "-i {slides} -c copy", seconds=121.0),
    "slow": SampleFile(  # one picture a second, of which the encoder holds some twenty back
        "mkv",
        f"-f lavfi -i testsrc2=s=320x180:r=1:d=90 -f lavfi -i {LONG_VOICE.format(seconds=90)} "
        f"-c:v mpeg4 -q:v 5 {AAC_MONO}",
        seconds=90.0,
        encodes=VIDEO,
        slack_seconds=1.1,
    ),
    "slides_silent": SampleFile("mp4", "-i {slides} -an -c copy", seconds=121.0),
    "one_picture": SampleFile(  # shown from the beginning, and for as long as there is sound
        "mp4",
        f"-f lavfi -i testsrc2=s=160x90:r=1:d=1 -f lavfi -i {LONG_VOICE.format(seconds=150)} "
        f"{X264} {AAC_MONO}",
        seconds=150.0,
    ),
    "sparse_sound": SampleFile(  # as a file of 65 KB that claims 80,000 s
        "mkv",
        "-f lavfi -i sine=440:r=16000:d=20 -c:a aac -b:a 16k "
        "-bsf:a setts=ts='TS+gte(TS*TB\\,10)*80000/TB'",
        seconds=20.0,
    ),
    "sparse_sound_mp4": SampleFile(
        "m4a",
        "-f lavfi -i sine=440:r=16000:d=20 -c:a aac -b:a 16k "
        "-bsf:a setts=ts='TS+gte(TS*TB\\,10)*80000/TB'",
        seconds=20.0,
    ),
    "silent_for_half_a_minute": SampleFile(
        "mkv",
        "-f lavfi -i sine=440:r=16000:d=20 -c:a aac -b:a 16k "
        "-bsf:a setts=ts='TS+gte(TS*TB\\,10)*30/TB'",
        seconds=50.0,
    ),
    "starts_late": SampleFile("mkv", "-i {base} -c copy -output_ts_offset 5 -copyts"),
    "starts_late_fragmented": SampleFile(
        "mp4", "-i {base} -c copy -output_ts_offset 10 -movflags +frag_keyframe+empty_moov"
    ),
    "gop_of_34s_later": SampleFile(
        "mkv",
        f"-f lavfi -i testsrc2=s=160x90:r=10:d=40 -f lavfi -i {LONG_VOICE.format(seconds=40)} "
        f"{X264} -g 9999 -force_key_frames expr:lt(t,6)*gte(t,n_forced) {AAC_MONO}",
        seconds=40.0,
    ),
    "gop_of_34s_later_mp4": SampleFile("mp4", "-i {gop_of_34s_later} -c copy", seconds=40.0),
    "gop_of_34s_later_ts": SampleFile("ts", "-i {gop_of_34s_later} -c copy", seconds=40.0),
    "late_by_40s_sound": SampleFile(  # as where somebody turns on what records it later
        "mp4",
        "-f lavfi -i testsrc2=s=160x90:r=5:d=52 -itsoffset 40 -i {base} -map 0:v -map 1:a "
        f"{X264} -g 15 -keyint_min 15 -c:a copy",
        seconds=52.0,
    ),
    "late_by_40s_sound_transport": SampleFile("ts", "-i {late_by_40s_sound} -c copy", seconds=52.0),
    "late_by_40s_picture": SampleFile(
        "mp4",
        f"-itsoffset 40 -i {{base}} -f lavfi -i {LONG_VOICE.format(seconds=52)} -map 0:v -map 1:a "
        f"-c:v copy {AAC_MONO}",
        seconds=52.0,
    ),
    "late_by_40s_picture_matroska": SampleFile(
        "mkv", "-i {late_by_40s_picture} -c copy", seconds=52.0
    ),
    "starts_100_s_late": SampleFile("mp4", "-i {base} -c copy -output_ts_offset 100"),
    "second_sound_outlasts": SampleFile(
        "mp4", "-t 8 -i {base} -i {base} -map 0:v -map 0:a -map 1:a -c copy", seconds=8.0
    ),
    "subtitles_outlast": SampleFile(
        "mkv", "-t 8 -i {base} -i {late_words} -map 0 -map 1 -c copy", seconds=8.0
    ),
    "late_words": SampleFile(
        "srt", change=lambda _: b"1\n00:00:11,000 --> 00:00:19,000\nhello\n", is_media=False
    ),
    "torn_flv": SampleFile(
        "flv",
        made_of="flv",
        change=torn,
        seconds=8.3,
        ends="ends_early",
        is_damaged=True,
        slack_seconds=0.3,
    ),
    "torn_with_subtitles": SampleFile(
        "mkv",
        made_of="subtitles_outlast",
        change=torn,
        seconds=5.5,
        ends="ends_early",
        slack_seconds=0.3,
    ),
    "torn_starts_late": SampleFile(
        "mkv",
        made_of="starts_late",
        change=torn,
        seconds=8.3,
        ends="ends_early",
        slack_seconds=0.3,
    ),
    "jumps": SampleFile("flv", made_of="flv", change=lambda data: jumped(data, (6.0, 36_000.0))),
    "jumps_matroska": SampleFile("mkv", "-i {jumps_in_order} -c copy"),
    "jumps_mp4": SampleFile("mp4", "-i {jumps} -c copy"),
    "jumps_in_order": SampleFile(  # without B-frames, for Matroska writes no decoding times
        "flv", made_of="in_order", change=lambda data: jumped(data, (6.0, 36_000.0))
    ),
    "in_order": SampleFile("flv", f"-i {{base}} {X264} -bf 0 -c:a copy"),
    "jumps_mpeg4": SampleFile(
        "mkv",
        "-copyts -i {jumps_in_order} -fps_mode passthrough -enc_time_base 1:1000 -c:v mpeg4 -g 30 "
        "-c:a copy",
        encodes=VIDEO,
    ),
    "jumps_back": SampleFile("flv", made_of="flv", change=lambda data: jumped(data, (6.0, -5.0))),
    "jumps_to_and_fro": SampleFile(
        "flv", made_of="flv", change=lambda data: jumped(data, (3.0, 600.0), (9.0, -605.0))
    ),
    "jumps_back_encoded": SampleFile(  # neither 4:2:2 nor PCM is copied
        "flv",
        made_of="high_flv",
        change=lambda data: jumped(data, (6.0, -5.0)),
        encodes=BOTH,
    ),
    "high_flv": SampleFile(
        "flv", f"-i {{base}} {X264} -pix_fmt yuv422p -c:a pcm_s16le -ar 44100 -ac 1", encodes=BOTH
    ),
    "jumps_back_fragmented": SampleFile(
        "mp4", made_of="movable", change=lambda data: fragments_set_back(data, 6.0, 5.0)
    ),
    "jumps_back_matroska": SampleFile(
        "mkv",
        made_of="short_clusters",
        change=lambda data: clusters_set_back(data, 5.5, 5.0),
        encodes=VIDEO,  # its pictures are reordered, and Matroska does not say how
    ),
    "below_0_matroska": SampleFile(  # reordered pictures; those below 0 tell no time
        "mkv", "-i {base} -c copy -output_ts_offset -1 -avoid_negative_ts disabled", encodes=VIDEO
    ),
    "below_0_sound": SampleFile(  # of it ffmpeg tells that it goes back to 0 after a second
        "webm",
        "-i {audio_only_webm} -c copy -output_ts_offset -1 -avoid_negative_ts disabled",
        made_of="audio_only_webm",
    ),
    "below_0_flv": SampleFile("flv", made_of="flv", change=begun_below_0),
    "short_clusters": SampleFile("mkv", "-i {base} -c copy -cluster_time_limit 900"),
    "transport_6s": SampleFile("ts", "-i {base} -t 6 -c copy", seconds=6.0),
    "parts_renumbered": SampleFile(  # the list of tracks says so, under a new version
        "ts", "-i {base} -t 6 -c copy -mpegts_start_pid 0x300 -tables_version 1", seconds=6.0
    ),
    "parts_elsewhere": SampleFile(
        "ts",
        "-i {base} -t 6 -c copy -mpegts_start_pid 0x300 -mpegts_pmt_start_pid 0x200",
        seconds=6.0,
    ),
    "parts_of_another_codec": SampleFile(
        "ts", "-i {base} -t 6 -c:v mpeg2video -q:v 6 -c:a copy", seconds=6.0, encodes=VIDEO
    ),
    "pictures_in_avi": SampleFile(  # reordered, and no packet says when it is shown
        "avi", "-i {base} -t 6 -c:v copy -c:a libmp3lame", seconds=6.0, encodes=VIDEO
    ),
    "jumps_back_transport": SampleFile(  # two recordings, one behind the other
        "ts", made_of="transport_6s", change=lambda data: data + data
    ),
    **{
        f"{name}_{track}_track": SampleFile(
            "flv",
            made_of="flv",
            change=one_track_jumped(far, kind),
        )
        for name, far in (("jumps", 36_000.0), ("jumps_back", -5.0))
        for track, kind in (("sound", b"\x08"), ("picture", b"\x09"))
    },
    "jumps_sound_alone": SampleFile("m4a", "-i {jumps} -vn -c copy"),
    "jumps_by_half_a_minute": SampleFile(
        "flv", made_of="flv", change=lambda data: jumped(data, (6.0, 30.0))
    ),
    "jumps_thrice": SampleFile(
        "flv",
        made_of="flv",
        change=lambda data: jumped(data, (2.0, 20.0), (3.0, 3_600.0), (9.0, 36_000.0)),
    ),
    # As encoders write it: decoded before a jump, shown behind it; a key frame, then another.
    "jumps_encoded": SampleFile("mp4", jumping(f"{X264} -force_key_frames 23")),
    "jumps_encoded_mov": SampleFile("mov", "-i {jumps_encoded} -c copy"),
    "jumps_encoded_hevc": SampleFile(
        "ts",
        jumping("-c:v libx265 -preset ultrafast -x265-params log-level=none:bframes=2:pools=1"),
    ),
    "jumps_while_it_stays": SampleFile(
        "flv", made_of="stays_flv", change=lambda data: jumped(data, (30.0, 36_000.0)), seconds=75.0
    ),
    "stays_flv": SampleFile("flv", "-i {stays} -c copy", seconds=75.0),
    "slideshow": SampleFile(
        "mp4",
        "-i {larger} -vf select='not(mod(n\\,100))' -fps_mode vfr -c:v libx264 -g 9999 -c:a copy",
        whole_of=12.0,
        slack_seconds=0.4,
    ),
    "edit_list": SampleFile(
        "mp4", "-ss 1.5 -i {base} -c copy", seconds=10.5, hides=BOTH, slack_seconds=0.15
    ),
    "trimmed_end": SampleFile(
        "mp4",
        made_of="gop_2s",
        change=lambda data: edited(data, (5.2, 0.067)),
        seconds=5.2,
        hides=BOTH,
    ),
    "cut_in_the_middle": SampleFile(
        "mp4",
        made_of="gop_2s",
        change=lambda data: edited(data, (3.0, 0.067), (3.0, 6.5)),
        seconds=6.0,
        hides=BOTH,
    ),
    "short_2s": SampleFile("mp4", "-i {base} -t 2 -c copy", seconds=2.07, ends="too_short"),
    "tail_11s": SampleFile("mp4", "-i {gop_2s} -t 11 -c copy", seconds=11.07),
    "gop_2s": SampleFile("mp4", lavfi(12, f"{X264} -g 60 -keyint_min 60 {AAC}")),
    "gop_whole": SampleFile(
        "mp4", lavfi(12, f"{X264} -g 9999 -keyint_min 9999 {AAC}"), whole_of=12.0
    ),
    "long_gop_later": SampleFile(
        "mp4",
        lavfi(
            12,
            "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -bf 2 -g 9999 -keyint_min 9999 "
            f"-sc_threshold 0 -force_key_frames expr:lt(t,6)*gte(t,n_forced) {AAC}",
        ),
        whole_of=12.0,
    ),
    "open_gop": SampleFile(
        "mp4",
        f"-i {{base}} {X264} -preset veryfast -x264-params "
        "open-gop=1:keyint=30:min-keyint=30:scenecut=0:bframes=3:b-adapt=0 -c:a copy",
        whole_of=12.0,
    ),
    "intra_refresh": SampleFile(  # renewed bit by bit: no picture but the first is whole at once
        "mp4",
        "-i {base} -c:v libx264 -preset ultrafast -pix_fmt yuv420p "
        "-x264-params intra-refresh=1:keyint=60:bframes=0 -c:a copy",
        whole_of=12.0,
    ),
    "open_gop_later_idr": SampleFile(
        "mp4",
        "-i {larger} -c:v libx264 -preset veryfast -pix_fmt yuv420p -force_key_frames 6.5 "
        "-forced-idr 1 -x264-params open-gop=1:keyint=60:min-keyint=60:scenecut=0:bframes=3 "
        "-c:a copy",
        whole_of=12.0,
    ),
    "begins_unmarked": SampleFile(  # without recovery points; an IDR comes at 4.5 s
        "mkv",
        "-ss 2.0 -i {open_gop_later_idr} -t 6 -c copy -bsf:v filter_units=remove_types=6",
        seconds=6.0,
        encodes=VIDEO,
        slack_seconds=0.15,
    ),
    "begins_unmarked_fragmented": SampleFile(
        "mp4",
        "-i {begins_unmarked} -c copy -copyinkf -movflags +frag_keyframe+empty_moov",
        seconds=6.0,
        encodes=VIDEO,
        slack_seconds=0.15,
    ),
    "joined_in_a_gop": SampleFile(
        "ts", seconds=9.6, made_of="transport_2s", change=joined_late, is_damaged=True
    ),
    "transport_2s": SampleFile("ts", "-i {gop_2s} -c copy"),
    "late_picture": SampleFile(
        "mp4", "-itsoffset 3 -i {base} -i {base} -map 0:v -map 1:a -c copy", seconds=15.0
    ),
    "never_marked": SampleFile(
        "mkv", "-i {begins_unmarked} -t 4 -c copy -copyinkf", seconds=4.0, encodes=VIDEO
    ),
    "never_marked_silent": SampleFile(
        "mkv", "-i {never_marked} -an -c copy -copyinkf", seconds=4.0, encodes=VIDEO
    ),
    "torn_in_its_first_picture": SampleFile(
        "webm",
        made_of="vp9",
        change=lambda data: data[: data.index(b"\x1f\x43\xb6\x75") + 2_000],
        is_media=False,
    ),
    "picture_announced_but_empty": SampleFile("ts", made_of="transport", change=without_pictures),
    "transport": SampleFile("ts", "-i {base} -c copy"),
    "transport_wrapped": SampleFile("ts", "-i {base} -c copy -output_ts_offset 95437"),
    "transport_joined": SampleFile(
        "ts", made_of="transport", change=lambda data: data + data, seconds=24.0
    ),
    "matroska_joined": SampleFile("mkv", "-stream_loop 1 -i {base} -c copy", seconds=24.0),
    # phones
    "rotated": SampleFile(
        "mov",
        "-display_rotation:v:0 -90 -i {base} -c copy -metadata location=+55.6761+012.5683/",
    ),
    "hevc": SampleFile(
        "mov",
        "-i {base} -c:v libx265 -preset ultrafast -x265-params "
        "log-level=error:keyint=30:min-keyint=30:scenecut=0:open-gop=0 -tag:v hvc1 -c:a copy",
    ),
    "hevc_open_gop": SampleFile(  # as x265 makes it when nothing else is asked
        "mp4",
        "-i {base} -t 9 -c:v libx265 -preset ultrafast -x265-params "
        "log-level=error:keyint=30:min-keyint=30:scenecut=0:open-gop=1:bframes=3 -tag:v hvc1 "
        "-c:a copy",
        seconds=9.0,
        whole_of=9.0,
    ),
    "hevc_10_hdr": SampleFile(
        "mkv",
        "-i {base} -pix_fmt yuv420p10le -c:v libx265 -preset ultrafast -x265-params "
        "log-level=error:keyint=30:open-gop=0:colorprim=bt2020:transfer=smpte2084:"
        "colormatrix=bt2020nc -c:a copy",
    ),
    # the web
    "av1": SampleFile("mp4", f"-i {{base}} -c:v libsvtav1 -preset 12 -g 30 {OPUS}"),
    "vp9": SampleFile(
        "webm",
        f"-i {{base}} {VP9} -cpu-used 8 -b:v 300k -g 30 {OPUS}",
    ),
    "vp8": SampleFile(
        "webm",
        f"-i {{base}} {VP8} -cpu-used 16 -b:v 300k -g 30 -c:a libvorbis",
    ),
    # the old world
    "h264_in_avi": SampleFile("avi", f"-i {{base}} {X264} -bf 0 -c:a libmp3lame", encodes=VIDEO),
    "mpeg4_in_avi": SampleFile(
        "avi", "-i {base} -c:v mpeg4 -q:v 5 -g 30 -bf 0 -c:a libmp3lame", encodes=VIDEO
    ),
    "packed_b_in_avi": SampleFile(
        "avi",
        "-i {base} -t 6 -c:v mpeg4 -vtag XVID -q:v 5 -g 30 -bf 2 -c:a libmp3lame",
        encodes=VIDEO,
        seconds=6.0,
    ),
    "mjpeg": SampleFile(
        "avi", "-i {base} -t 5 -c:v mjpeg -q:v 8 -c:a pcm_s16le", encodes=BOTH, seconds=5.0
    ),
    "wmv": SampleFile("wmv", "-i {base} -c:v wmv2 -b:v 400k -c:a wmav2", encodes=BOTH),
    "mpeg2": SampleFile(
        "mpg", "-i {base} -c:v mpeg2video -b:v 800k -g 30 -bf 2 -c:a mp2", encodes=BOTH
    ),
    "interlaced": SampleFile(
        "mpg",
        "-i {base} -vf interlace,setfield=tff -r 15 -c:v mpeg2video -flags +ildct+ilme "
        "-b:v 800k -g 15 -c:a mp2",
        encodes=BOTH,
    ),
    "prores_pcm": SampleFile(
        "mov",
        "-i {base} -t 5 -c:v prores -profile:v 0 -c:a pcm_s16le",
        encodes=BOTH,
        seconds=5.0,
    ),
    "h264_pcm": SampleFile("mov", "-i {base} -c:v copy -c:a pcm_s16le", encodes=AUDIO),
    "eac3": SampleFile("mkv", "-i {base} -c:v copy -c:a eac3", encodes=AUDIO),
    "four_four_four": SampleFile(
        "mkv",
        "-i {base} -t 6 -c:v libx264 -preset ultrafast -pix_fmt yuv444p -g 30 -c:a copy",
        encodes=VIDEO,
        seconds=6.0,
    ),
    "ten_bit": SampleFile(
        "mkv",
        "-i {base} -c:v libx264 -preset ultrafast -pix_fmt yuv420p10le -g 30 -c:a copy",
        encodes=VIDEO,
    ),
    "odd_size": SampleFile(
        "mkv", "-i {base} -t 5 -vf scale=161:89 -c:v ffv1 -c:a copy", encodes=VIDEO, seconds=5.0
    ),
    # too much
    "fat": SampleFile(
        "mp4",
        "-f lavfi -i color=gray:s=224x126:r=30:d=8,noise=alls=100:allf=t -f lavfi -i "
        f"sine=440:d=8 -c:v libx264 -preset ultrafast -qp 16 -g 999 -pix_fmt yuv420p {AAC}",
        seconds=8.0,
        whole_of=8.0,
    ),
    "still": SampleFile(
        "mp4",
        f"-f lavfi -i color=black:s=320x180:r=10:d=70 {X264} -g 40 -keyint_min 40",
        seconds=70.0,
        whole_of=70.0,
    ),
    "bomb": SampleFile(
        "mp4",
        "-f lavfi -i color=black:s=8192x4352:r=1:d=1 -c:v libx264 -preset ultrafast "
        "-pix_fmt yuv420p",
        ends="picture_too_large",
    ),
    "vast": SampleFile(  # 0.1 MB of pictures that take a gigabyte to decode
        "avi",
        "-f lavfi -i color=black:s=16384x8192:r=1:d=1 -c:v mjpeg",
        ends="picture_too_large",
    ),
    "large_mjpeg": SampleFile(
        "avi",
        "-f lavfi -i testsrc2=s=3840x2160:r=1:d=4 -c:v mjpeg -q:v 20",
        encodes=VIDEO,
        seconds=4.0,
    ),
    # what is sent can be decoded
    "camera": SampleFile(
        "mov",
        f"-i {{base}} -an {X264} -t 6 -timecode 01:00:00:00",
        seconds=6.0,
        encodes=frozenset(),
    ),
    "camera_422": SampleFile(
        "mov",
        "-i {base} -t 6 -c:v libx264 -preset ultrafast -pix_fmt yuv422p10le -g 30 -c:a copy "
        "-timecode 01:00:00:00",
        seconds=6.0,
        encodes=VIDEO,
    ),
    "sound_empty": SampleFile("ts", made_of="transport", change=without_packets),
    "sound_unknown": SampleFile("mp4", made_of="base", change=unheard),
    "picture_unknown": SampleFile(
        "mp4", made_of="base", change=lambda data: data.replace(b"avc1", b"zzzz"), is_media=False
    ),
    "dolby_av1": SampleFile(
        "mp4", made_of="av1", change=lambda data: data.replace(b"av01", b"dav1"), is_media=False
    ),
    "protected": SampleFile(
        "mp4",
        "-i {base} -t 4 -c copy -encryption_scheme cenc-aes-ctr "
        "-encryption_key 00112233445566778899aabbccddeeff "
        "-encryption_kid 112233445566778899aabbccddeeff00",
        is_media=False,
    ),
    "scrambled_ts": SampleFile("ts", made_of="transport", change=scrambled, is_media=False),
    "protected_web": SampleFile("mkv", made_of="mkv", change=with_key_id, is_media=False),
    **{
        f"{name}{ending}": SampleFile(
            container,
            f"-f lavfi -i testsrc2=s={size}:r=10:d=6 -c:v libx264 -preset ultrafast -bf 0 -g 10 "
            f"-pix_fmt yuv420p -video_track_timescale 15360 {options}",
            seconds=6.0,
        )
        for name, size, offset in (("wide", "320x180", 0), ("tall", "180x320", 6))
        for ending, container, options in (
            ("", "mp4", "-movflags +frag_keyframe+default_base_moof+empty_moov"),
            ("_plain", "mp4", ""),
            ("_ts", "ts", f"-output_ts_offset {offset}"),
        )
    },
    "rate_44100": SampleFile(
        "ts",
        "-f lavfi -i testsrc2=s=160x90:r=10:d=4 -f lavfi -i sine=440:r=44100:d=4 "
        "-c:v libx264 -preset ultrafast -g 10 -c:a aac -ac 1",
        seconds=4.0,
    ),
    "rate_48000": SampleFile(
        "ts",
        "-f lavfi -i testsrc2=s=160x90:r=10:d=4 -f lavfi -i sine=440:r=48000:d=4 "
        "-c:v libx264 -preset ultrafast -g 10 -c:a aac -ac 2 -output_ts_offset 4",
        seconds=4.0,
    ),
    **{
        f"rate_{rate}_{name}": SampleFile("ts", f"-i {{rate_{rate}}} -c:v copy {how}", seconds=4.0)
        for rate in (44_100, 48_000)
        for name, how in (
            ("mp3", "-c:a libmp3lame"),
            ("ac3", "-c:a ac3"),
            ("latm", "-c:a copy -mpegts_flags +latm"),
        )
    },
    "rate_44100_sound": SampleFile("aac", "-i {rate_44100} -vn -c copy", seconds=4.0),
    "rate_48000_sound": SampleFile("aac", "-i {rate_48000} -vn -c copy", seconds=4.0),
    "rate_44100_flash": SampleFile("flv", "-i {rate_44100} -c copy", seconds=4.0),
    "rate_48000_flash": SampleFile("flv", "-i {rate_48000} -c copy", seconds=4.0),
    "header_alone": SampleFile("mp4", made_of="movable", change=header_alone, is_media=False),
    "chunk_alone": SampleFile(  # as a browser cuts it: anywhere; ffmpeg takes it for bare H.264
        "webm", made_of="short_clusters", change=lambda data: data[200_001:], is_media=False
    ),
    "fragment_alone": SampleFile("m4s", made_of="movable", change=fragment_alone, is_media=False),
    "photo": SampleFile(
        "avif",
        "-f lavfi -i testsrc2=s=320x240 -frames:v 1 -c:v libaom-av1 -cpu-used 8 -still-picture 1",
        is_media=False,
    ),
    "phone_photo": SampleFile(
        "heic",
        made_of="photo",
        change=lambda data: data.replace(b"avif", b"heic", 1),
        is_media=False,
    ),
    "tiny": SampleFile(
        "avi", "-f lavfi -i testsrc2=s=2x2:r=10:d=4 -c:v ffv1 -pix_fmt yuv444p", is_media=False
    ),
    # containers of cameras, phones and broadcasters
    "material": SampleFile(
        "mxf", "-i {base} -t 6 -c:v mpeg2video -b:v 1M -c:a pcm_s16le", encodes=BOTH, seconds=6.0
    ),
    "tape": SampleFile(
        "dv",
        "-i {base} -t 3.4 -vf scale=720:576 -r 25 -pix_fmt yuv420p -c:a pcm_s16le -ar 48000 "
        "-ac 2 -target pal-dv",
        encodes=BOTH,
        seconds=3.4,
    ),
    "bare_h264": SampleFile(
        "h264", f"-i {{base}} -t 6 -an {X264} -r 25", encodes=VIDEO, seconds=6.0
    ),
    "bare_hevc": SampleFile("hevc", "-i {hevc} -t 5 -an -c copy", encodes=VIDEO, seconds=5.07),
    "bare_vp9": SampleFile("ivf", "-i {vp9} -an -c copy"),
    "voice_note": SampleFile("aiff", "-i {base} -vn -c:a pcm_s16be", encodes=AUDIO),
    "voice_caf": SampleFile("caf", "-i {base} -vn -c:a alac", encodes=AUDIO),
    "broadcast_ac3": SampleFile("ac3", "-i {base} -vn -c:a ac3"),
    # damaged
    "torn": SampleFile(
        "mp4", made_of="base", change=torn, seconds=8.17, ends="ends_early", is_damaged=True
    ),
    "torn_index_last": SampleFile("mp4", made_of="edit_list", change=torn, ends="incomplete_file"),
    "torn_header": SampleFile(
        "mp4", made_of="base", change=lambda data: data[:4096], is_media=False
    ),
    "torn_material": SampleFile(
        "mxf", made_of="material", change=lambda data: data[:4096], is_media=False
    ),
    "torn_voice": SampleFile("caf", made_of="voice_caf", change=torn, is_media=False),
    "torn_webm": SampleFile("webm", made_of="vp9", change=torn, seconds=8.37, ends="ends_early"),
    "torn_transport": SampleFile(
        "ts", made_of="transport", change=torn, seconds=8.27, slack_seconds=0.1
    ),
    "scratched": SampleFile("mp4", made_of="base", change=scratched, is_damaged=True),
    "scratched_webm": SampleFile("webm", made_of="vp9", change=scratched, is_damaged=True),
    "scratched_transport": SampleFile("ts", made_of="transport", change=scratched, is_damaged=True),
}


@dataclass(slots=True)
class SampleFolder:
    """Makes sample files in a folder, each once; processes and runs may share the folder."""

    ffmpeg: str
    folder: Path
    made: dict[str, Path] = field(default_factory=dict)

    def __call__(self, name: str) -> Path:
        if name not in self.made:
            self.made[name] = self._make(name, SAMPLE_FILES[name])
        return self.made[name]

    def _make(self, name: str, sample_file: SampleFile) -> Path:
        path = self.folder / f"{name}.{sample_file.suffix}"
        if path.exists():
            return path
        partial = path.with_name(f"partial-{os.getpid()}-{path.name}")
        if sample_file.change:
            before = self(sample_file.made_of).read_bytes() if sample_file.made_of else b""
            partial.write_bytes(sample_file.change(before))
        else:
            self._run([self._word(word) for word in sample_file.arguments.split()], partial)
        return partial.rename(path)

    def _word(self, word: str) -> str:
        return str(self(word[1:-1])) if word.startswith("{") else word.replace("'", "")

    def _run(self, arguments: Sequence[str], path: Path) -> None:
        command = [self.ffmpeg, "-nostdin", "-v", "error", "-y", *arguments, str(path)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, env=environment(), timeout=60)


def main() -> None:
    from ih_mcp.media.ffmpeg.program import find_ffmpeg  # noqa: PLC0415

    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    sample = SampleFolder(find_ffmpeg().path, folder.resolve())
    for name in SAMPLE_FILES:
        sample(name)


if __name__ == "__main__":
    main()
