"""What is copied, what is encoded, and into which container: the matrix as rows.

Measured by copying each codec into each container on a pipe and decoding the result, with
ffmpeg 5.1 and 9.0. What has no row is encoded to H.264 or AAC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from ih_mcp.media.clock_jumps import ClockJump, left_out
from ih_mcp.wire.dialects import Framing

from .facts import AudioTrack, Facts, VideoTrack


@dataclass(frozen=True, slots=True)
class CodecRow:
    """Where a codec can be copied to so that everybody can read it."""

    containers: frozenset[str]
    pixel_formats: frozenset[str] | None = None
    """None: all of them."""
    options: Mapping[str, object] = field(default_factory=dict)
    """What copying it needs."""


_MP4 = frozenset({"mp4"})
_WEBM = frozenset({"webm"})
_BOTH = _MP4 | _WEBM
_FOUR_TWO_ZERO = frozenset({"yuv420p", "yuvj420p"})
_TEN_BIT = _FOUR_TWO_ZERO | {"yuv420p10le"}

VIDEO: Mapping[str, CodecRow] = MappingProxyType(
    {
        "h264": CodecRow(_MP4, _FOUR_TWO_ZERO),  # few decoders read 4:2:2, 4:4:4 or 10 bit
        "hevc": CodecRow(_MP4, _TEN_BIT, {"tag:v": "hvc1"}),  # chosen: copied until refused
        "av1": CodecRow(_BOTH, _TEN_BIT),
        "vp9": CodecRow(_BOTH, _TEN_BIT),
        "vp8": CodecRow(_WEBM),
        # MPEG-4 Part 2 has no row: one client reports that the API refuses it.
    }
)
AUDIO: Mapping[str, CodecRow] = MappingProxyType(
    {
        # MPEG-TS carries AAC in ADTS frames; without the filter ffmpeg gives up after 0.2 s.
        "aac": CodecRow(_MP4, options={"bsf:a": "aac_adtstoasc"}),
        "mp3": CodecRow(_MP4),
        "ac3": CodecRow(_MP4),  # E-AC-3 has no row: with delay_moov nobody can read it
        "opus": CodecRow(_BOTH),
        "vorbis": CodecRow(_WEBM),
    }
)
RAW_PICTURES = ("h264", "hevc", "vvc", "m4v", "mpegvideo", "h263")
"""Containers that are none: pictures of one codec, one behind the other."""
UNTIMED = frozenset({"avi", "mpeg", "dv", "obu", *RAW_PICTURES})
"""Containers without presentation times for every picture; copies lose or shift some."""

TRACKS = ("V:0?", "a:0?")
"""The first picture that is no cover and the first sound, as ffmpeg names them."""
_LEAST_BACK_SECONDS = 1.0  # chosen: media that overlaps by less is left as it is
_LEAST_BELOW_SECONDS = 0.1  # chosen: of a clock that begins below 0; packets are shorter
MAX_REPEATED_SECONDS = 14_400  # chosen: a talk over one picture; longer is no media
MAX_ENCODED_SIDE = 1_920  # chosen: 3.3 processor seconds for one of 4K, 0.7 scaled down
THREADS = 2  # chosen: each keeps pictures, so that more take more memory on larger machines
FRAGMENT_BYTES = 1 << 21  # chosen: keeps ffmpeg and us small when a GOP is fat
FRAGMENT_SECONDS = 0.5  # chosen: how finely a continued stream can be cut
_CONTINUED_MICROSECONDS = round(1_000_000 * FRAGMENT_SECONDS)
_WHOLE_MICROSECONDS = 5_000_000  # chosen: sound that goes on without a picture can be cut
_SOUND_MICROSECONDS = 500_000
_ENCODED_INTERLEAVE_MICROSECONDS = 60_000_000  # chosen: encoders hold some 20 pictures back
_HERTZ = 48_000
_BITS_PER_SECOND = 4_000_000
_ROUNDED_SECONDS = 0.005  # chosen: packets of sound are longer; clocks of Matroska count 0.001

_MUXING: Mapping[tuple[str, Framing], Mapping[str, object]] = MappingProxyType(
    {
        # delay_moov, not empty_moov: that one displaces the first AAC packet by 45 ms and more.
        ("mp4", Framing.WHOLE): {
            "movflags": "+frag_keyframe+delay_moov+default_base_moof",
            "frag_duration": _WHOLE_MICROSECONDS,
            "frag_size": FRAGMENT_BYTES,
        },
        ("mp4", Framing.CONTINUED): {  # a key frame begins a fragment, so that a stream can too
            "movflags": "+frag_keyframe+delay_moov+default_base_moof",
            "frag_duration": _CONTINUED_MICROSECONDS,
            "frag_size": FRAGMENT_BYTES,
        },
        # Clusters start at key frames too.
        ("webm", Framing.WHOLE): {
            "cluster_time_limit": _WHOLE_MICROSECONDS // 1_000,
            "cluster_size_limit": 100_000_000,
        },
        ("webm", Framing.CONTINUED): {
            "cluster_time_limit": _CONTINUED_MICROSECONDS // 1_000,
            "cluster_size_limit": FRAGMENT_BYTES,
        },
    }
)


_AT_ONCE: Mapping[str, object] = MappingProxyType(
    {
        "movflags": "+frag_keyframe+empty_moov+frag_discont+default_base_moof",
        "use_editlist": 1,
        "avoid_negative_ts": "make_non_negative",
    }
)
"""MP4 where a track begins late: else ffmpeg writes nothing before it has media of each. There is
no edit list then, without which pictures that are reordered would be shown late."""
_HEADED_LATE = frozenset({"mpegts", "aac", "loas"})
"""Containers of which the first sound alone tells what a header has to."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one file becomes one container stream."""

    container: str
    """`mp4` or `webm`."""
    options: Mapping[str, object]
    """For ffmpeg, after the input."""
    encodes: tuple[str, ...]
    """`video`, `audio`, both or neither."""
    encoder: str = ""
    """Of the picture, of `ENCODERS`; nothing where it is not encoded."""
    tracks: tuple[str, ...] = TRACKS
    """Those of `TRACKS` that are sent."""
    input_options: Mapping[str, object] = field(default_factory=dict)
    """For ffmpeg, before the input."""


def recipe(
    facts: Facts,
    framing: Framing,
    *,
    target_seconds: float,
    max_bytes: int,
    encode: frozenset[str] = frozenset(),
    encoder: str = "libx264",
    jumps: Sequence[ClockJump] = (),
    repeats: bool = False,
    sound_seconds: float | None = None,
) -> Recipe:
    """Decide per track between copying and encoding.

    Args:
        facts: Of the source.
        framing: What the segments are to each other.
        target_seconds: Where encoded pictures get their key frames.
        max_bytes: Of a segment; encoded ones aim at half of it.
        encode: Tracks to encode even where they could be copied.
        encoder: For pictures, of `ENCODERS`.
        jumps: Of the clock, where it begins to run; they are left out where pictures are encoded.
        repeats: Whether a picture that stays is shown again each second, where it is encoded.
        sound_seconds: Where sound that is copied begins; a reader that seeks can go back further.
    """
    encode |= facts.hidden | facts.changing | facts.unmarked | facts.untimed | _disordered(facts)
    container = _container(facts, encode)
    is_at_once = bool(facts.late) and container == "mp4"
    if is_at_once:
        encode |= _unfit_at_once(facts)
    copies_video = (
        facts.video is not None
        and "video" not in encode
        and (facts.container_name not in UNTIMED and _copies_video(facts.video, container))
    )
    copies_audio = (
        facts.audio is not None
        and "audio" not in encode
        and (_copies_audio(facts.audio, container))
    )
    options: dict[str, object] = dict(_MUXING[container, framing])
    if facts.video:
        bits = min(_BITS_PER_SECOND, max_bytes * 8 / 2 / target_seconds)
        options |= (
            {"c:v": "copy", **VIDEO[facts.video.codec].options}
            if copies_video
            else _h264(encoder, target_seconds, int(bits))
        )
        if "video" in facts.changing:
            options["vf"] = _one_size(facts.video)
        if repeats and not copies_video and "video" not in facts.changing:
            options |= _repeating(options, encoder, has_sound=facts.audio is not None)
    elif container == "mp4":
        options["frag_duration"] = _SOUND_MICROSECONDS
    else:
        options["cluster_time_limit"] = _SOUND_MICROSECONDS // 1_000
    if facts.audio:
        options |= (
            {"c:a": "copy", **_begun(AUDIO[facts.audio.codec].options, sound_seconds)}
            if copies_audio
            else _aac(facts)
        )
    if is_at_once:
        options |= _AT_ONCE if copies_video else {**_AT_ONCE, "bf": 0}
    goes_back = facts.set_backs or facts.below_seconds
    if goes_back and facts.container_name != "mpegts":  # of that ffmpeg knows it
        least = _LEAST_BACK_SECONDS if facts.set_backs else _LEAST_BELOW_SECONDS
        options |= _rising(options, least)
    if jumps and not copies_video:
        options |= _in_step(options, jumps, copies_audio=copies_audio)
    made = (("video", facts.video, copies_video), ("audio", facts.audio, copies_audio))
    encodes = tuple(name for name, track, copied in made if track and not copied)
    tracks = tuple(name for name, (_, sent, _) in zip(TRACKS, made, strict=True) if sent)
    is_far = any(each.seconds > _FAR_SECONDS for each in facts.set_backs)
    return Recipe(
        container,
        options,
        encodes,
        encoder if "video" in encodes else "",
        tracks,
        _FAR_BACK if is_far and facts.container_name != "mpegts" else {},
    )


# A time that is 30 hours away ffmpeg takes for an error, and then adds up durations, which FLV
# rounds. Times of FLV that begin below 0 are written as such of 2^31 ms; behind them, ffmpeg would
# take 0 for an overflow at 2^32 ms.
_FAR_SECONDS = 100_000.0
_FAR_BACK: Mapping[str, object] = MappingProxyType(
    {"dts_error_threshold": "4e9", "correct_ts_overflow": 0}
)


def _unfit_at_once(facts: Facts) -> frozenset[str]:
    """Tracks that cannot be copied where the header is written at once."""
    is_ac3 = facts.audio is not None and facts.audio.codec == "ac3"
    is_headless = is_ac3 or facts.container_name in _HEADED_LATE
    unfit = (("audio", is_headless), ("video", facts.is_reordered))
    return frozenset(name for name, is_so in unfit if is_so)


def _disordered(facts: Facts) -> frozenset[str]:
    """`video` where pictures are shown in another order than they come, and the clock goes back.

    Matroska tells no time of decoding; what ffmpeg computes is wrong from there on.
    """
    if facts.container_name != "matroska" or not facts.set_backs or facts.video is None:
        return frozenset()
    return frozenset({"video"} if facts.video.codec in _REORDERING else ())


_REORDERING = frozenset({"h264", "hevc"})


def _even(side: str) -> str:
    return f"'trunc({side}*min(1,{MAX_ENCODED_SIDE}/max(iw,ih))/2)*2'"


def _one_size(track: VideoTrack) -> str:
    """Pictures of any size fitted into that of the first.

    Without deinterlacing: ffmpeg makes its filters anew at a change, and that one holds a picture.
    """
    width, height = track.width, track.height
    if abs(track.rotation_degrees) % 180 == 90:
        width, height = height, width
    share = min(1.0, MAX_ENCODED_SIDE / max(width, height))
    size = ":".join(str(int(side * share / 2) * 2) for side in (width, height))
    return f"scale={size}:force_original_aspect_ratio=decrease:out_range=limited,pad={size}:-1:-1"


def _aac(facts: Facts) -> Mapping[str, object]:
    one_rate = {"ar": _HERTZ} if "audio" in facts.changing else {}  # else what follows is too slow
    return {"c:a": "aac", "ac": 2, "b:a": "96k", **one_rate}


ENCODERS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "libx264": {"preset": "veryfast", "crf": 23, "sc_threshold": 0},
        # What builds without GPL parts have, as of Fedora; it knows no quality, only a bit rate.
        "libopenh264": {"b:v": "2M", "allow_skip_frames": 0},
    }
)
"""Of H.264, in the order they are tried."""


def next_encoder(encoder: str) -> str | None:
    """The one to try where an ffmpeg lacks `encoder`."""
    names = list(ENCODERS)
    return next(iter(names[names.index(encoder) + 1 :]), None)


def _begun(options: Mapping[str, object], seconds: float | None) -> Mapping[str, object]:
    """The options of sound that is copied, from there on alone."""
    if seconds is None:
        return options
    earlier = f"noise=drop='lt(pts*tb,{seconds - _ROUNDED_SECONDS:.6f})'"
    return {**options, "bsf:a": _chained(options, "bsf:a", earlier)}


def _going_on(least_seconds: float) -> str:
    """Lets the times of packets go on where they step back by more than that."""
    later = (
        "if(eq(N,0)+eq(DTS,NOPTS)+eq(PREV_INDTS,NOPTS),0,"
        f"if(lt(DTS,PREV_INDTS-{least_seconds:g}/TB),"
        "PREV_OUTDTS+max(1,PREV_INDURATION)-DTS,PREV_OUTDTS-PREV_INDTS))"
    )
    return f"setts=pts='if(eq(PTS,NOPTS),NOPTS,PTS+{later})':dts='DTS+{later}'"


def _shown_on(least_seconds: float) -> str:
    """The same for what is decoded; a step back becomes one as long as the step before."""
    return (
        f"setpts='if(eq(N,0),PTS,if(lt(PTS,PREV_INPTS-{least_seconds:g}/TB),PREV_OUTPTS+ld(0),"
        "PREV_OUTPTS+st(0,PTS-PREV_INPTS)))'"
    )


def _rising(options: Mapping[str, object], least_seconds: float) -> Mapping[str, object]:
    """The options that let times go on where the clock of a track was set back.

    Else ffmpeg writes all that follows at one moment, until the clock is where it was before. Not
    for files without: the filter holds back a picture, and with it the sound beside slides.
    """
    changed: dict[str, object] = {}
    for kind in ("v", "a"):
        if options.get(f"c:{kind}") == "copy":
            going_on = _going_on(least_seconds)
            changed[f"bsf:{kind}"] = _chained(options, f"bsf:{kind}", going_on)
    if options.get("c:v", "copy") != "copy":
        changed["vf"] = f"{_shown_on(least_seconds)},{options['vf']}"
    if options.get("c:a", "copy") != "copy":
        changed["af"] = f"a{_shown_on(least_seconds)}"
    return changed


def _chained(options: Mapping[str, object], name: str, text: str) -> str:
    return f"{options[name]},{text}" if name in options else text


def _in_step(
    options: Mapping[str, object], jumps: Sequence[ClockJump], *, copies_audio: bool
) -> Mapping[str, object]:
    """The options that leave out where the clock jumps, of both tracks alike.

    Else the picture before a jump would be repeated for as long as that is.
    """
    late = left_out(jumps, "T")
    changed = {"vf": f"setpts='PTS-({late})/TB',{options['vf']}"}
    if copies_audio:
        moved = f"setts=ts='TS-({left_out(jumps, 'TS*TB')})/TB'"
        return changed | {"bsf:a": _chained(options, "bsf:a", moved)}
    return changed | {"af": _chained(options, "af", f"asetpts='PTS-({late})/TB'")}


def _repeating(
    options: Mapping[str, object], encoder: str, *, has_sound: bool
) -> Mapping[str, object]:
    """The options that change where a picture that stays is shown again each second.

    So a segment can begin anywhere in it. Not for pictures that change their size: ffmpeg makes its
    filters anew at a change, and these hold a second of pictures. Repeated pictures are marked as
    interlaced, which after `yadif` no other is, and left out where the newest picture is not a
    second old.
    """
    # The last one stays as long as its file says; beside sound that is often what the one before
    # it did. `interleave` does not hand on how long its input is.
    ends = "interleave=nb_inputs=1," if has_sound else ""
    is_due = f"gte(t-prev_selected_t,0.999)*lt(t-ld(0),{MAX_REPEATED_SECONDS})"
    repeated = (
        f"setfield=prog,split[once][more];[more]{ends}fps=fps=1:round=up,setfield=tff[again];"
        f"[once][again]interleave,select='if(eq(interlace_type,TOPFIRST),{is_due},1+0*st(0,t))',"
        "setfield=prog"
    )
    return {
        "vf": f"{options['vf']},{repeated}",
        # Repeated pictures come when the next one does; sound waits for them.
        "max_interleave_delta": 0,
        # Else sound would begin as much earlier than a segment's picture as two pictures last.
        "bf": 0,
        # For the level alone: of what `interleave` gives no rate is known.
        **({"x264-params": "fps=60"} if encoder == "libx264" else {}),
    }


def _h264(encoder: str, target_seconds: float, bits_per_second: int) -> Mapping[str, object]:
    return {
        "c:v": encoder,
        **ENCODERS[encoder],
        "threads": THREADS,
        "maxrate": bits_per_second,
        "bufsize": bits_per_second * 2,
        "pix_fmt": "yuv420p",
        # Interlaced pictures, and only those, become progressive ones; even sizes for 4:2:0, and
        # not larger than can be encoded as fast as it is sent; the range of levels that every
        # decoder shows right.
        "vf": f"yadif=deint=interlaced,scale={_even('iw')}:{_even('ih')}:out_range=limited",
        "force_key_frames": f"expr:gte(t,n_forced*{target_seconds:g})",
        "g": 100_000,
        "fps_mode": "passthrough",  # 5.1 repeats a picture of AVI input otherwise
        # Else times are rounded to a guessed rate, and pictures of a variable one share a time.
        "enc_time_base": "1:90000",
        # Sound waits for pictures that the encoder holds back, also for one picture a second.
        "max_interleave_delta": _ENCODED_INTERLEAVE_MICROSECONDS,
    }


def _container(facts: Facts, encode: frozenset[str]) -> str:
    """WebM for VP8, and for what is WebM already; else MP4."""
    video, audio = facts.video, facts.audio
    if "video" in encode or (audio and not _copies_audio(audio, "webm")):
        return "mp4"
    if video is None:
        return "webm" if facts.container_name == "matroska" else "mp4"
    if not _copies_video(video, "webm"):
        return "mp4"
    return "webm" if facts.container_name == "matroska" or video.codec == "vp8" else "mp4"


def _copies_video(track: VideoTrack, container: str) -> bool:
    row = VIDEO.get(track.codec)
    return (
        row is not None
        and container in row.containers
        and (row.pixel_formats is None or track.pixel_format in row.pixel_formats)
    )


def _copies_audio(track: AudioTrack, container: str) -> bool:
    row = AUDIO.get(track.codec)
    return row is not None and container in row.containers
