"""Look at a file with one run of ffmpeg, and at its bytes where that does not tell enough.

What cannot be sent is refused here, before anything is opened for it; ffprobe is not needed.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import anyio.from_thread
import anyio.to_thread

from ih_mcp.errors import MediaError
from ih_mcp.media.clock_jumps import MAX_PAUSE_SECONDS, PacketClock, max_pause_seconds
from ih_mcp.media.containers import file_signatures
from ih_mcp.media.containers.header_facts import HeaderFacts, read_header_facts
from ih_mcp.media.containers.mp4_edits import hidden_tracks, lengths_of_tracks
from ih_mcp.media.containers.parameter_changes import Changes, find_changes
from ih_mcp.media.ffmpeg.packets import look_through
from ih_mcp.media.file_admission import OpenedFile, opened

from . import commands
from .decoders import DECODERS
from .facts import LINES as LINES_OF_FACTS
from .facts import (
    AudioTrack,
    Facts,
    VideoTrack,
    first_times,
    has_packets,
    parse,
    require_tracks,
)
from .process import running
from .program import Ffmpeg
from .recipes import AUDIO, TRACKS, VIDEO

_DOUBTED_SECONDS, _DOUBTED_BYTES_PER_SECOND = 60.0, 1_000  # chosen: speech alone has some more

__all__ = ["AudioTrack", "Facts", "VideoTrack", "measure_seconds", "probe", "require_tracks"]

_LOOK_SECONDS, _LONG_LOOK_SECONDS = 1.0, 60.0
_TORN = "File ended prematurely"  # says ffmpeg of Matroska
_LATE_SECONDS = 0.2  # chosen: sound can begin a little before the first picture
_MAX_LINES_BYTES = 1 << 22  # a line a packet; a file can have millions of them in a second
_LEAST_SIDE = 3  # pixels; filters and encoders take no less


async def probe(ffmpeg: Ffmpeg, path: Path, *, packets_seconds: float = _LOOK_SECONDS) -> Facts:
    """What the file is; 20 to 70 ms, and the time it takes to read a file of MPEG-TS once.

    Args:
        ffmpeg: The binary.
        path: As `admit` gave it.
        packets_seconds: How much media to look through for key frames; it is not decoded.

    Raises:
        MediaError: It is not media, has neither picture nor sound, is protected, or cannot be
            decoded or is too large to be. The text begins with the name of the file.
        PathError: It is not the admitted file any more.
    """
    try:
        async with opened(path) as source:
            return await _probe(ffmpeg, source, packets_seconds)
    except MediaError as failure:
        raise failure.about(path.name) from None


async def measure_seconds(ffmpeg: Ffmpeg, path: Path, facts: Facts) -> float:
    """How long a file is that does not tell; reads it once, and decodes nothing.

    Raises:
        MediaError: It cannot be read to its end.
        PathError: It is not the admitted file any more.
    """
    async with opened(path) as source:
        return (await _look_through(ffmpeg, source, facts)).media_seconds


async def _probe(ffmpeg: Ffmpeg, source: OpenedFile, packets_seconds: float) -> Facts:
    return await _believed(ffmpeg, source, await _looked_at(ffmpeg, source, packets_seconds))


async def _believed(ffmpeg: Ffmpeg, source: OpenedFile, facts: Facts) -> Facts:
    """The facts, with a duration that so few bytes can have: the clock may jump in between."""
    seconds = facts.duration_seconds or 0.0
    if seconds < _DOUBTED_SECONDS or source.size >= seconds * _DOUBTED_BYTES_PER_SECOND:
        return facts
    clock = await _look_through(ffmpeg, source, facts)
    jumps_seconds = sum(jump.seconds for jump in clock.jumps)
    if not jumps_seconds:
        return facts
    return replace(facts, duration_seconds=clock.media_seconds, jumps_seconds=jumps_seconds)


async def _look_through(ffmpeg: Ffmpeg, source: OpenedFile, facts: Facts) -> PacketClock:
    return await look_through(
        PacketClock(max_pause_seconds(has_sound=facts.audio is not None)),
        ffmpeg,
        source,
        tracks=TRACKS,
        container=facts.container_name,
        means=ffmpeg.limits.to_look(source.size),
    )


async def _refuse_lost_tracks(
    ffmpeg: Ffmpeg, source: OpenedFile, facts: Facts, replaced_seconds: float
) -> None:
    """Refuse a file in which tracks are replaced by others that ffmpeg does not follow."""
    if not replaced_seconds:
        return
    clock = await _look_through(ffmpeg, source, facts)
    if clock.media_seconds < replaced_seconds - _REPLACED_SPARE_SECONDS:
        raise _not_followed(f"has other tracks from {clock.media_seconds:.1f} s on")


def _not_followed(what: str) -> MediaError:
    return MediaError(
        f"the file {what}, which ffmpeg does not follow",
        help="Give its parts as files of their own, such as the recordings it was joined from.",
        code="not_decodable",
    )


_REPLACED_SPARE_SECONDS = 1.5  # chosen: where they change, the parts need not fit closely


async def _looked_at(ffmpeg: Ffmpeg, source: OpenedFile, packets_seconds: float) -> Facts:
    entries = await anyio.to_thread.run_sync(_look, source.descriptor)
    _refuse_entries(entries)
    seen = await _seen(ffmpeg, source, packets_seconds)
    facts = seen.facts
    _refuse_bombs(facts, seen.log, ffmpeg.limits.max_pixels)
    if seen.is_protected or (facts.present and entries.encrypted >= facts.present):
        raise _encrypted()
    facts = _decodable(facts, entries.encrypted)
    changes = await anyio.to_thread.run_sync(_changes, source.descriptor, facts.container_name)
    facts = _with_changes(facts, changes)
    if changes.changes_codec:
        raise _not_followed("changes its codec in the middle")
    await _refuse_lost_tracks(ffmpeg, source, facts, changes.replaced_seconds)
    if facts.container_name == "mov":
        facts = replace(facts, changing=entries.changing & facts.present)
        hidden, lengths = await anyio.to_thread.run_sync(_tracks, source.descriptor)
        duration = facts.duration_seconds
        if hidden.keys() >= facts.present:  # ffmpeg 5.1 tells the length with what is hidden
            duration = max(hidden.values())
        hides = facts.hidden | hidden.keys()
        return replace(
            facts,
            hidden=hides,
            duration_seconds=duration,
            lengths=lengths,
            is_open_ended=entries.is_open_ended,
            fragments_seconds=entries.fragments_seconds,
        )
    return replace(facts, changing=changes.tracks & facts.present)


def _with_changes(facts: Facts, changes: Changes) -> Facts:
    """The facts, with how long the media is where the container counts some of it twice.

    Or never: ffmpeg writes into FLV how long the last picture would stay if none followed it.
    """
    seconds = facts.duration_seconds
    if seconds is not None and changes.end_seconds is not None:
        seconds = min(seconds, changes.end_seconds + _LAST_SECONDS)
    is_counted = facts.container_name in _COUNTS_TO_THE_END and not facts.is_estimated
    if seconds is not None and is_counted:
        seconds += sum(one.seconds for one in changes.set_backs)
    below_seconds = 0.0
    if facts.container_name == "matroska":  # whose length is counted from 0 on
        below_seconds = changes.below_seconds
        seconds = None if seconds is None else seconds + below_seconds
    return replace(
        facts, set_backs=changes.set_backs, below_seconds=below_seconds, duration_seconds=seconds
    )


_LAST_SECONDS = 0.1  # chosen: a packet
_COUNTS_TO_THE_END = frozenset({"mov", "mpegts"})
"""Containers whose length ffmpeg takes from the times in them; others declare it."""


@dataclass(frozen=True, slots=True)
class _Seen:
    facts: Facts
    log: str
    is_protected: bool


async def _seen(ffmpeg: Ffmpeg, source: OpenedFile, packets_seconds: float) -> _Seen:
    """What ffmpeg says, of both tracks or, where it fails over the sound, of the picture."""
    tracks: Sequence[str] = TRACKS
    unsent: tuple[str, ...] = ()
    try:
        packets, log, mark = await _run(ffmpeg, source, packets_seconds, tracks)
    except MediaError as failure:
        if failure.code not in {"ffmpeg_failed", "not_media"}:
            raise
        tracks, unsent = TRACKS[:1], (_NO_PACKETS,)
        try:
            packets, log, mark = await _run(ffmpeg, source, packets_seconds, tracks)
        except MediaError:
            raise failure from None
    facts = replace(parse(packets, log, mark), unsent=unsent)
    if not has_packets(packets) and packets_seconds < _LONG_LOOK_SECONDS:
        packets, _, _ = await _run(ffmpeg, source, _LONG_LOOK_SECONDS, tracks)
    facts = await _with_picture(ffmpeg, source, facts)
    facts = await _with_beginnings(ffmpeg, source, facts)
    if not facts.unmarked and not has_packets(packets):
        raise MediaError(
            "the file has a header and no media",
            help="The recording was cut off after its beginning, or the media is in other files.",
            code="no_media",
        )
    if _NO_PICTURE in facts.unsent and _TORN in log:
        raise MediaError(
            "the file is incomplete: it ends before its first picture",
            help="Wait until its recording has ended, or get the whole file.",
            code="incomplete_file",
            retry=True,
        )
    return _Seen(facts, log, _PROTECTED.search(log) is not None)


async def _with_picture(ffmpeg: Ffmpeg, source: OpenedFile, facts: Facts) -> Facts:
    """The facts, corrected where the look found no key frame at the beginning."""
    keys = facts.key_frames_seconds
    if facts.video is None or (keys and keys[0] < _LATE_SECONDS):
        return facts
    decoded = await _first_times(ffmpeg, source, decodes=True)
    marked = await _first_times(ffmpeg, source)
    if decoded is not None and (marked is None or decoded[1] < marked[1] - _LATE_SECONDS):
        return replace(facts, unmarked=frozenset({"video"}))
    if decoded is marked is None and facts.audio:
        return replace(facts, video=None, unsent=(*facts.unsent, _NO_PICTURE))
    return facts


async def _with_beginnings(ffmpeg: Ffmpeg, source: OpenedFile, facts: Facts) -> Facts:
    """The facts, with which track begins late, where one was not seen at the beginning."""
    if len(facts.present) < len(TRACKS) or len(facts.absent) != 1:
        return facts
    [name] = facts.absent
    first = await _first_times(ffmpeg, source, _TRACK_OF[name])
    if first is None or first[1] - (facts.start_seconds or 0.0) <= MAX_PAUSE_SECONDS:
        return facts
    picture = first if name == "video" else await _first_times(ffmpeg, source)
    return replace(
        facts, late=facts.absent, is_reordered=picture is None or picture[0] < picture[1]
    )


_TRACK_OF = dict(zip(("video", "audio"), TRACKS, strict=True))


async def _first_times(
    ffmpeg: Ffmpeg, source: OpenedFile, track: str = TRACKS[0], *, decodes: bool = False
) -> tuple[float, float] | None:
    """When the first of a track is decoded and shown; None where none can be read."""
    limits = ffmpeg.limits
    command = commands.first_of(
        ffmpeg.path, source.url, track, decodes=decodes, max_pixels=limits.max_pixels
    )
    means = limits.to_encode(_LOOK_SECONDS) if decodes else limits.to_look(source.size)
    lines = bytearray()
    with suppress(MediaError):  # whoever reads the media tells what is wrong
        async with running(command, descriptors=source.descriptors, means=means) as child:
            while data := await child.read():
                lines += data
            await child.finish()
    return first_times(lines.decode(errors="replace"))


async def _run(
    ffmpeg: Ffmpeg, source: OpenedFile, packets_seconds: float, tracks: Sequence[str]
) -> tuple[str, str, str]:
    """The two outputs of a run over some tracks, and the mark in the second."""
    mark = secrets.token_hex(16)
    command = commands.probe(
        ffmpeg.path,
        source.url,
        packets_seconds=packets_seconds,
        mark=mark,
        tracks=tracks,
        max_pixels=ffmpeg.limits.max_pixels,
    )
    means = ffmpeg.limits.to_look(source.size)
    async with running(
        command, descriptors=source.descriptors, means=means, keeps=LINES_OF_FACTS
    ) as child:
        lines = bytearray()
        while len(lines) < _MAX_LINES_BYTES and (data := await child.read()):
            lines += data
        if len(lines) < _MAX_LINES_BYTES:
            try:
                await child.finish()
            except MediaError as failure:
                name = await anyio.to_thread.run_sync(_named, source.descriptor)
                raise _explained(failure, child.log.text(), name) from None
    return lines.decode(errors="replace"), child.log.text(), mark


def _look(descriptor: int) -> HeaderFacts:
    with open(descriptor, "rb", buffering=0, closefd=False) as file:
        return read_header_facts(file)


def _named(descriptor: int) -> str:
    with open(descriptor, "rb", buffering=0, closefd=False) as file:
        return file_signatures.named(file)


def _tracks(descriptor: int) -> tuple[dict[str, float], dict[str, float]]:
    with open(descriptor, "rb", buffering=0, closefd=False) as file:
        return hidden_tracks(file), lengths_of_tracks(file)


def _changes(descriptor: int, container: str) -> Changes:
    with open(descriptor, "rb", buffering=0, closefd=False) as file:
        return find_changes(file, container, anyio.from_thread.check_cancelled)


def _refuse_entries(entries: HeaderFacts) -> None:
    if entries.is_photo:
        raise MediaError(
            "the file is a picture (HEIF or AVIF)",
            help="Give a video or sound file; phones keep the video of a live photo beside it.",
            code="is_picture",
        )
    if entries.changes_by_fragment:
        raise MediaError(
            "the file changes its format between fragments, which ffmpeg does not follow",
            help="Convert it where it was made, or give its parts as files of their own.",
            code="not_decodable",
        )
    if entries.is_chunk:
        raise MediaError(
            "the file is a later chunk of a recording in WebM or Matroska, without its header",
            help="Join all chunks in order, from the first on: cat CHUNK-* > WHOLE.webm",
            code="no_header",
        )
    if entries.is_fragment:
        raise MediaError(
            "the file is a fragment of MP4 without its header",
            help="Put its initialisation segment before it: cat init.mp4 FILE > WHOLE.mp4",
            code="no_header",
        )


def _encrypted() -> MediaError:
    return MediaError(
        "the file is protected: its media is encrypted and plays only with a key",
        help="Give a file without protection; a recording of your own has none.",
        code="encrypted",
    )


def _decodable(facts: Facts, encrypted: frozenset[str]) -> Facts:
    """The facts without a sound that nobody could hear.

    Raises:
        MediaError: Nobody could see the picture (`encrypted`, `not_decodable`).
    """
    video, audio = facts.video, facts.audio
    if "video" in encrypted:
        raise _encrypted()
    if video and not {video.codec} & (DECODERS.keys() | VIDEO.keys()):
        raise _not_decodable("picture", video.codec)
    if audio is None or ("audio" not in encrypted and audio.codec in DECODERS.keys() | AUDIO):
        return facts
    if video is None:
        raise _not_decodable("sound", audio.codec)
    why = "is protected" if "audio" in encrypted else "cannot be decoded"
    note = f"The sound of the file ({audio.codec}) {why}; it is not sent."
    return replace(facts, audio=None, unsent=(*facts.unsent, note))


_NO_PACKETS = "The file has no sound: nothing was found in the track of sound that it names."
_NO_PICTURE = "Nothing can be read of the track of pictures that the file names."
_PROTECTED = re.compile(
    r"^ +enc_key_id +: |^\[asf[^\]]*\] (?:Ext )?DRM protected stream", re.MULTILINE
)


def _not_decodable(track: str, codec: str) -> MediaError:
    what = f"codec {codec}" if codec != "none" else "a codec that ffmpeg does not know"
    return MediaError(
        f"the {track} of the file cannot be decoded ({what})",
        help="Convert it where it was made, to MP4 with H.264 and AAC.",
        code="not_decodable",
        facts={"codec": codec},
    )


def _refuse_bombs(facts: Facts, log: str, max_pixels: int) -> None:
    video = facts.video
    if video is None:
        return
    if video.width * video.height > max_pixels:
        raise _too_large(video.width, video.height)
    if not video.width:  # nothing of it could be decoded
        raise _explained(_no_picture(), log)
    if min(video.width, video.height) < _LEAST_SIDE:
        raise MediaError(
            f"the picture is {video.width} x {video.height}, which is too small to be a video",
            help=f"Give a video of {_LEAST_SIDE} pixels a side or more.",
            code="picture_too_small",
        )


def _explained(failure: MediaError, log: str, name: str = "") -> MediaError:
    """The failure, more exact where more is known: a size, or what else the file is."""
    refused = _REFUSED.search(log)
    if refused:
        return _too_large(int(refused[1]), int(refused[2]))
    if name and failure.code in _NO_KIND:
        return MediaError(
            f"the file is {name}, which is not read",
            help="Give a video or sound file.",
            code=failure.code,
            facts=failure.facts,
        )
    return failure


_NO_KIND = frozenset({"format_not_allowed", "not_media"})
_REFUSED = re.compile(r"^\[.*\] Picture size (\d+)x(\d+) exceeds specified max pixel", re.MULTILINE)


def _too_large(width: int, height: int) -> MediaError:
    return MediaError(
        f"the picture is {width} x {height}, which is more than is taken",
        help="Scale it down first. IH_MCP_FFMPEG_MAX_PIXELS is how many pixels are taken.",
        code="picture_too_large",
        facts={"width": width, "height": height},
    )


def _no_picture() -> MediaError:
    return MediaError(
        "the size of the picture cannot be found out",
        help="The file is damaged, or of a kind this ffmpeg does not know; convert it to MP4.",
        code="not_media",
    )
