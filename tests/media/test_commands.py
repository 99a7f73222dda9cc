"""The command lines, word by word; `ffmpeg-python` builds them, this holds it to what they mean."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ih_mcp.media.containers.clock_set_backs import SetBack
from ih_mcp.media.ffmpeg import commands
from ih_mcp.media.ffmpeg.decoders import WHITELIST
from ih_mcp.media.ffmpeg.facts import AudioTrack, Facts, VideoTrack
from ih_mcp.media.ffmpeg.recipes import Recipe, recipe
from ih_mcp.wire.dialects import Framing

FORMATS = (
    "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,wav,mp3,aac,flac,loas,w64,aiff,caf,au,amr,amrnb"
    ",amrwb,ac3,eac3,dts,mxf,dv,dhav,ivf,obu,h264,hevc,vvc,m4v,mpegvideo,h263"
)
DECODERS = ["-analyzeduration", "120000000", "-codec_whitelist", WHITELIST]
GUARDS = [
    "-format_whitelist",
    FORMATS,
    "-max_pixels",
    "33177600",
    "-probesize",
    "32000000",
    "-protocol_whitelist",
    "file",
]


def facts(video: str | None = "h264", audio: str | None = "aac", **more: str) -> Facts:
    return Facts(
        container=more.get("container", "mov,mp4,m4a,3gp,3g2,mj2"),
        duration_seconds=10.0,
        video=VideoTrack(
            codec=video, width=640, height=480, pixel_format=more.get("pixels", "yuv420p")
        )
        if video
        else None,
        audio=AudioTrack(codec=audio, hertz=48_000) if audio else None,
    )


def made(
    of: Facts, framing: Framing = Framing.WHOLE, encode: frozenset[str] = frozenset()
) -> Recipe:
    return recipe(of, framing, target_seconds=5.0, max_bytes=20 << 20, encode=encode)


def test_a_copy_is_this_command() -> None:
    command = commands.segments("ffmpeg", "file:/x.mp4", made(facts()), start_seconds=0.0)
    assert command == [
        "ffmpeg",
        *DECODERS,
        "-fflags",
        "+genpts",
        *GUARDS,
        "-i",
        "file:/x.mp4",
        "-map",
        "0:V:0?",
        "-map",
        "0:a:0?",
        "-f",
        "mp4",
        "-bsf:a",
        "aac_adtstoasc",
        "-c:a",
        "copy",
        "-c:v",
        "copy",
        "-frag_duration",
        "5000000",
        "-frag_size",
        "2097152",
        "-map_chapters",
        "-1",
        "-map_metadata",
        "-1",
        "-movflags",
        "+frag_keyframe+delay_moov+default_base_moof",
        "-t",
        "86400",
        "pipe:1",
        "-nostdin",
        "-hide_banner",
        "-nostats",
        "-v",
        "error",
        "-dts_delta_threshold",
        "600",
    ]


@pytest.mark.parametrize(
    ("container", "audio", "is_reordered", "encoded"),
    [
        ("mov,mp4", "aac", False, ()),
        ("mov,mp4", "aac", True, ("video",)),
        ("mpegts", "aac", False, ("audio",)),
        ("mov,mp4", "ac3", True, ("video", "audio")),
    ],
)
def test_where_a_track_begins_late_the_header_does_not_wait_for_it(
    container: str, audio: str, is_reordered: bool, encoded: tuple[str, ...]
) -> None:
    late = replace(
        facts(audio=audio, container=container),
        late=frozenset({"audio"}),
        is_reordered=is_reordered,
    )
    planned = made(late)
    assert planned.encodes == encoded
    assert "+empty_moov+frag_discont" in str(planned.options["movflags"])
    assert planned.options.get("bf", 1) == ("video" not in encoded)


def test_webm_never_waits_for_a_track() -> None:
    web = replace(facts("vp8", "opus", container="matroska"), late=frozenset({"audio"}))
    assert made(web).options == made(replace(web, late=frozenset())).options


def test_packets_wait_to_be_written_where_ffmpeg_can_be_told_how_many_and_none_is_large() -> None:
    def command(encode: frozenset[str], *, queues: bool) -> list[str]:
        recipe_ = made(facts(), encode=encode)
        return commands.segments("f", "file:/x", recipe_, start_seconds=0.0, queues=queues)

    copied = command(frozenset(), queues=True)
    place = copied.index("-thread_queue_size")
    assert copied[place + 1] == "64"
    assert copied.index("-i") < place < copied.index("pipe:1")  # of what is written
    assert "-thread_queue_size" not in command(frozenset(), queues=False)
    assert "-thread_queue_size" not in command(frozenset({"video"}), queues=True)


def test_what_encodes_has_two_threads_and_pictures_of_a_bounded_size() -> None:
    command = " ".join(
        commands.segments("f", "file:/x", made(facts("mpeg4")), start_seconds=0.0, max_pixels=7)
    )
    before, _, after = command.partition(" -i ")
    assert "-threads 2" in before
    assert "-threads 2" in after
    assert "-filter_threads 1" in after
    assert "-max_pixels 7 " in before
    assert "min(1,1920/max(iw,ih))" in after


def test_a_probe_is_this_command() -> None:
    command = commands.probe("ffmpeg", "file:/x.mp4", packets_seconds=0, mark="m")
    assert command == [
        "ffmpeg",
        *DECODERS,
        *GUARDS,
        "-i",
        "file:/x.mp4",
        "-map",
        "0:V:0?",
        "-map",
        "0:a:0?",
        "-f",
        "framecrc",
        "-c",
        "copy",
        "-map_chapters",
        "-1",
        "-map_metadata",
        "-1",
        "-metadata",
        "mark=m",
        "-t",
        "0",
        "pipe:1",
        "-nostdin",
        "-hide_banner",
        "-nostats",
    ]


@pytest.mark.parametrize(
    "command",
    [
        commands.probe("f", "file:/x", packets_seconds=0, mark="m"),
        commands.segments("f", "file:/x", made(facts()), start_seconds=3.0),
        commands.sound("f", "file:/x", hertz=16_000),
        commands.decoded("f", pictures_per_second=2, width=64, height=48, hertz=16_000),
    ],
)
def test_every_command_is_guarded_before_its_input(command: list[str]) -> None:
    before = command[: command.index("-i")]
    assert {"-format_whitelist", "-protocol_whitelist", "-max_pixels"} <= set(before)
    assert "-nostdin" in command
    assert "nobuffer" not in " ".join(command)
    assert all(isinstance(word, str) for word in command)


@pytest.mark.parametrize(
    ("of", "container", "encodes"),
    [
        (facts(), "mp4", ()),
        (facts("hevc"), "mp4", ()),
        (facts("av1", "opus"), "mp4", ()),
        (facts("av1", "opus", container="matroska,webm"), "webm", ()),
        (facts("vp9", "opus", container="matroska,webm"), "webm", ()),
        (facts("vp9", "aac", container="matroska,webm"), "mp4", ()),
        (facts("vp8", "vorbis", container="matroska,webm"), "webm", ()),
        (facts("vp8", "aac", container="matroska,webm"), "mp4", ("video",)),
        (facts("h264", "opus", container="matroska,webm"), "mp4", ()),
        (facts("h264", "vorbis", container="matroska,webm"), "mp4", ("audio",)),
        (facts("h264", "pcm_s16le"), "mp4", ("audio",)),
        (facts("h264", "eac3"), "mp4", ("audio",)),
        (facts("h264", "ac3"), "mp4", ()),
        (facts("mpeg4"), "mp4", ("video",)),
        (facts("wmv2", "wmav2", container="asf"), "mp4", ("video", "audio")),
        (facts("h264", "mp3", container="avi"), "mp4", ("video",)),
        (facts("h264", pixels="yuv444p"), "mp4", ("video",)),
        (facts("h264", pixels="yuv420p10le"), "mp4", ("video",)),
        (facts("hevc", pixels="yuv420p10le"), "mp4", ()),
        (facts(None), "mp4", ()),
        (facts(None, "opus", container="matroska,webm"), "webm", ()),
        (facts(None, "flac", container="flac"), "mp4", ("audio",)),
        (facts("h264", None), "mp4", ()),
    ],
)
def test_what_can_be_copied_is_copied(of: Facts, container: str, encodes: tuple[str, ...]) -> None:
    for framing in Framing:
        told = made(of, framing)
        assert (told.container, told.encodes) == (container, encodes)


def test_encoded_pictures_keep_their_number_and_stay_within_the_bytes() -> None:
    options = made(facts("mpeg4")).options
    assert options["fps_mode"] == "passthrough"
    assert options["force_key_frames"] == "expr:gte(t,n_forced*5)"
    assert options["maxrate"] == 4_000_000
    tight = recipe(facts("mpeg4"), Framing.WHOLE, target_seconds=5.0, max_bytes=500_000).options
    assert tight["maxrate"] == 400_000


def test_tracks_that_do_not_serve_are_encoded_on_demand() -> None:
    told = made(facts(), encode=frozenset({"video", "audio"}))
    assert told.encodes == ("video", "audio")
    assert "bsf:a" not in told.options


def test_times_that_begin_below_0_go_on_in_what_is_sent() -> None:
    below = replace(facts(container="matroska"), below_seconds=0.5)
    for filters in (made(below).options["bsf:v"], made(below).options["bsf:a"]):
        assert "lt(DTS,PREV_INDTS-0.1/TB)" in str(filters)
    back = replace(below, set_backs=(SetBack(3.0, 5.0),))
    assert "lt(DTS,PREV_INDTS-1/TB)" in str(made(back).options["bsf:a"])


@pytest.mark.parametrize(
    ("container", "seconds", "is_far"),
    [("flv", 2_147_483.0, True), ("flv", 3_600.0, False), ("mpegts", 2_147_483.0, False)],
)
def test_a_clock_that_is_set_back_very_far_is_no_error_in_the_file(
    container: str, seconds: float, is_far: bool
) -> None:
    back = replace(facts(container=container), set_backs=(SetBack(1.0, seconds),))
    command = commands.segments("f", "file:/x", made(back), start_seconds=0.0)
    for option, value in (("-dts_error_threshold", "4e9"), ("-correct_ts_overflow", "0")):
        assert (option in command[: command.index("-i")]) is is_far
        assert not is_far or command[command.index(option) + 1] == value
