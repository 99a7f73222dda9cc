"""Every ffmpeg command line, built by `ffmpeg-python`, which is used for nothing else.

Replacing the builder is a change of this module alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import ffmpeg as builder

from ih_mcp.media.clock_jumps import MAX_STILL_SECONDS, ClockJump, left_out

from .decoders import WHITELIST
from .devices import Input
from .recipes import RAW_PICTURES, THREADS, TRACKS, Recipe

MAX_PIXELS = 33_177_600  # chosen: 7680 x 4320; 16384 x 8192 took 1.7 GB to decode

# Without the format list ffmpeg renders a text file as video and follows playlists to other files.
# The list was made by knowledge of these demuxers, not from their source: of them mov alone follows
# names of other files, and by default does not. The protocol list allows none in any case.
FORMATS = ",".join(
    (
        *("mov", "matroska", "webm", "avi", "mpegts", "mpeg", "flv", "asf", "ogg", "wav", "mp3"),
        *("aac", "flac", "loas", "w64", "aiff", "caf", "au", "amr", "amrnb", "amrwb", "ac3"),
        *("eac3", "dts", "mxf", "dv", "dhav", "ivf", "obu", *RAW_PICTURES),
    )
)
_LONGEST_SECONDS = 86_400  # chosen: a day; times can be written to be far apart
_QUIET = ("-nostdin", "-hide_banner", "-nostats", "-v", "error")
_TALKING = ("-nostdin", "-hide_banner", "-nostats")
_ENCODING = (*_QUIET, "-filter_threads", "1")
# In MPEG-TS ffmpeg takes a picture that stays for a clock that jumps.
_STEADY = ("-dts_delta_threshold", f"{MAX_STILL_SECONDS:g}")
# A track may move to another number in the middle (ISO/IEC 13818-1, 2.4.4.9).
_DEMUXING: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {"mpegts": {"merge_pmt_versions": 1}}
)
# How far ffmpeg looks for what a track is, and in which order its pictures are shown. It stops once
# it knows, so that this counts where one begins late: by 5 s already, if it looked no further.
_LOOK: Mapping[str, object] = MappingProxyType(
    {"analyzeduration": 120_000_000, "probesize": 32_000_000}
)
_BARE = MappingProxyType({"map_metadata": "-1", "map_chapters": "-1"})  # GPS, names, chapters


def probe(
    binary: str,
    url: str,
    *,
    packets_seconds: float,
    mark: str,
    tracks: Sequence[str] = TRACKS,
    max_pixels: int = MAX_PIXELS,
) -> list[str]:
    """Facts as lines: the packets' on standard output, the file's on standard error.

    Behind the line `mark` standard error has no text of the file.
    """
    source = _input(url, max_pixels)
    output = builder.output(
        *(source[track] for track in tracks),
        "pipe:1",
        c="copy",
        t=packets_seconds,
        format="framecrc",
        metadata=f"mark={mark}",
        **_BARE,
    )
    return _compiled(binary, output, _TALKING)


def first_of(
    binary: str, url: str, track: str, *, decodes: bool, max_pixels: int = MAX_PIXELS
) -> list[str]:
    """A line for the first of a track on standard output, as it is copied or as it is decoded.

    Times are those of the file. A copy of pictures begins with the first key frame that is marked,
    a decoder with what it can decode.
    """
    more = {"threads": THREADS} if decodes else {}
    source = _input(url, max_pixels, fflags="+genpts", **more)
    how = {} if decodes else {"c": "copy"}
    output = builder.output(
        source[track], "pipe:1", format="framecrc", **how, **{f"frames:{track[0].lower()}": 1}
    )
    return _compiled(binary, output, (*_QUIET, *_STEADY, "-copyts"))


def packets(
    binary: str,
    url: str,
    tracks: Sequence[str],
    *,
    container: str = "",
    start_seconds: float = 0.0,
    max_pixels: int = MAX_PIXELS,
) -> list[str]:
    """A line for each packet of some tracks, on standard output; nothing is decoded."""
    more: dict[str, object] = {"ss": f"{start_seconds:.6f}"} if start_seconds else {}
    more |= _DEMUXING.get(container, {})
    source = _input(url, max_pixels, fflags="+genpts", **more)
    output = builder.output(
        *(source[track] for track in tracks),
        "pipe:1",
        c="copy",
        t=_LONGEST_SECONDS,
        format="framecrc",
    )
    return _compiled(binary, output, (*_QUIET, *_STEADY))


def segments(
    binary: str,
    url: str,
    recipe: Recipe,
    *,
    container: str = "",
    start_seconds: float,
    max_pixels: int = MAX_PIXELS,
    queues: bool = False,
) -> list[str]:
    """A file as one fragmented MP4 or WebM on standard output.

    Args:
        queues: Whether more packets than usual may wait to be written; see `Ffmpeg.queues`.
    """
    more: dict[str, object] = {"ss": f"{start_seconds:.6f}"} if start_seconds else {}
    more |= _DEMUXING.get(container, {})
    more |= recipe.input_options
    if recipe.encodes:
        more["threads"] = THREADS
    if "video" not in recipe.encodes:  # decoders know better where a container tells no times
        more["fflags"] = "+genpts"
    source = _input(url, max_pixels, **more)
    quiet = _ENCODING if recipe.encodes else _QUIET
    return _compiled(binary, _segments_of(source, recipe, queues=queues), (*quiet, *_STEADY))


def sound(
    binary: str,
    url: str,
    *,
    hertz: int,
    container: str = "",
    jumps: Sequence[ClockJump] = (),
    max_pixels: int = MAX_PIXELS,
) -> list[str]:
    """The sound of a file as s16le mono on standard output; silence where it has none.

    Where its clock jumps that is left out.
    """
    moved = f"asetpts='PTS-({left_out(jumps, 'T')})/TB'," if jumps else ""
    output = builder.output(
        _input(url, max_pixels, **_DEMUXING.get(container, {}))["a:0"],
        "pipe:1",
        ac=1,
        ar=hertz,
        af=f"{moved}aresample=async=1:first_pts=0",
        t=_LONGEST_SECONDS,
        format="s16le",
        **{"c:a": "pcm_s16le"},
    )
    return _compiled(binary, output, (*_QUIET, *_STEADY))


def browser_copy(
    binary: str,
    url: str,
    output_path: str,
    *,
    tracks: Sequence[str],
    copies: Collection[str],
    max_pixels: int = MAX_PIXELS,
) -> list[str]:
    """A file as MP4 that browsers play and seek in, written to a path.

    Args:
        copies: Of `video` and `audio`, those that browsers can decode as they are.
    """
    source = _input(url, max_pixels, fflags="+genpts")
    picture = {"c:v": "copy"} if "video" in copies else _BROWSER_PICTURE
    sound = {"c:a": "copy"} if "audio" in copies else {"c:a": "aac", "b:a": "128k"}
    output = builder.output(
        *(source[track] for track in tracks),
        output_path,
        format="mp4",
        movflags="+faststart",
        t=_LONGEST_SECONDS,
        progress="pipe:1",  # lines while it works, so that one that hangs is noticed
        **_BARE,
        **picture,
        **sound,
    )
    return _compiled(binary, output, (*_ENCODING, "-y"))


_BROWSER_PICTURE: Mapping[str, object] = MappingProxyType(
    {
        "c:v": "libx264",
        "threads": THREADS,
        "preset": "veryfast",
        "crf": 23,
        "pix_fmt": "yuv420p",
        "vf": "scale=trunc(min(iw\\,1280)/2)*2:-2",
        "fps_mode": "passthrough",
    }
)


def recorded(
    binary: str, inputs: Sequence[Input], *, max_seconds: float | None = None
) -> list[str]:
    """Live inputs as one fragmented MP4 on standard output, a key frame and a fragment a second.

    What the person at the machine named is opened as it is: a device, an address, a test source.
    """
    sources = [builder.input(item.url, **item.options) for item in inputs]
    length = {} if max_seconds is None else {"t": max_seconds}
    output = builder.output(
        sources[0]["v:0?"],
        sources[-1]["a:0?"],
        "pipe:1",
        format="mp4",
        **_BARE,
        **_LIVE,
        **length,
    )
    return _compiled(binary, output, _QUIET)


_LIVE: Mapping[str, object] = MappingProxyType(
    {
        "c:v": "libx264",
        "threads": THREADS,
        "preset": "ultrafast",  # with zerolatency: a second is out 0.07 s after its last picture
        "tune": "zerolatency",
        "crf": 23,
        "maxrate": 1_500_000,
        "bufsize": 3_000_000,
        "pix_fmt": "yuv420p",
        "vf": "scale=trunc(iw/2)*2:trunc(ih/2)*2",
        "force_key_frames": "expr:gte(t,n_forced)",
        "sc_threshold": 0,
        "c:a": "aac",
        "ac": 2,
        "b:a": "96k",
        "movflags": "+frag_keyframe+delay_moov+default_base_moof",
        "flush_packets": 1,
    }
)


def decoded(
    binary: str,
    *,
    pictures_per_second: float,
    width: int,
    height: int,
    hertz: int,
    keeps_aspect: bool = False,
    decoders: Sequence[str] = (),
    max_pixels: int = MAX_PIXELS,
) -> list[str]:
    """The container stream on standard input as pictures and sound in Matroska."""
    only = {"codec_whitelist": ",".join(decoders)} if decoders else {}
    # Never `-fflags nobuffer`: it drops what was read to find out what the stream is.
    source = builder.input(
        "pipe:0",
        probesize=_STREAM_PROBE_BYTES,
        analyzeduration=0,
        fpsprobesize=0,
        threads=1,  # frame threads hold back as many pictures
        **only,
        **_guards("pipe", max_pixels),
    )
    turn = f"floor(t*{pictures_per_second:g}+1e-6)"
    before = f"floor(prev_selected_t*{pictures_per_second:g}+1e-6)"
    scale = f"scale={width}:{height}"
    if keeps_aspect:  # of one size all the same: raw pictures do not tell theirs
        scale += f":force_original_aspect_ratio=decrease,pad={width}:{height}:-1:-1"
    output = builder.output(
        source["V:0?"],
        source["a:0?"],
        "pipe:1",
        vf=f"select='isnan(prev_selected_t)+gt({turn},{before})',{scale}",
        ac=1,
        ar=hertz,
        fps_mode="passthrough",
        format="matroska",
        cluster_time_limit=0,  # each packet goes out when the next comes
        flush_packets=1,
        max_interleave_delta=_INTERLEAVE_MICROSECONDS,
        **_BARE,
        **{"c:v": "rawvideo", "pix_fmt": "gray", "c:a": "pcm_s16le"},
    )
    return _compiled(binary, output, _QUIET)


_STREAM_PROBE_BYTES = 1 << 18
_INTERLEAVE_MICROSECONDS = 10_000_000


_QUEUED_PACKETS = 64  # chosen: of 8, ffmpeg's own, its threads wake each other for each packet


def _segments_of(source: builder.nodes.FilterableStream, recipe: Recipe, *, queues: bool) -> object:
    queue = {"thread_queue_size": _QUEUED_PACKETS} if queues and not recipe.encodes else {}
    return builder.output(
        *(source[track] for track in recipe.tracks),
        "pipe:1",
        format=recipe.container,
        t=_LONGEST_SECONDS,
        **queue,
        **_BARE,
        **recipe.options,
    )


def _input(url: str, max_pixels: int, **options: object) -> builder.nodes.FilterableStream:
    return builder.input(
        url, codec_whitelist=WHITELIST, **_LOOK, **_guards("file", max_pixels), **options
    )


def _guards(protocol: str, max_pixels: int) -> dict[str, object]:
    return {
        "format_whitelist": FORMATS,
        "max_pixels": max_pixels,
        "protocol_whitelist": protocol,
    }


def _compiled(binary: str, output: object, global_options: tuple[str, ...]) -> list[str]:
    stream = builder.nodes.OutputStream.global_args(output, *global_options)
    command: list[str] = builder.compile(stream, cmd=binary)
    return command
