"""Finds what an edit list hides: media that is in an MP4 or QuickTime file and is not shown.

A phone that trims a clip often leaves all of it in the file. A stream copy would show the trimmed
media; decoding leaves it out. Only the boxes that matter are read, however large the index is.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from .mp4_fields import LONG_HEADER_BYTES, read_box_header, read_clock, read_edit_entries

_ENTERED = {b"": {b"moov"}, b"moov": {b"trak"}, b"trak": {b"mdia", b"edts"}}
_WANTED = {b"moov": {b"mvhd", b"mvex"}, b"mdia": {b"mdhd", b"hdlr"}, b"edts": {b"elst"}}
_KINDS = {b"vide": "video", b"soun": "audio"}
_VERSION_BYTES = {b"meta": 4}  # a full box; QuickTime's, which is none, is inside `moov` or `trak`
_MAX_BOXES, _MAX_BYTES = 10_000, 1 << 16
# Encoders cut off what they pad at the end of sound, and round; 2 pictures at 30 a second.
_MAX_SLACK_SECONDS = {"video": 0.07, "audio": 0.25}


@dataclass(slots=True)
class _Track:
    kind: str = ""
    timescale: int = 0
    duration: int = 0
    edits: list[tuple[int, int]] = field(default_factory=list)
    """Of each that shows something: its duration, in the movie's timescale, and media time."""
    delay: int = 0
    """Before it begins, in the movie's timescale."""


def hidden_tracks(file: BinaryIO) -> dict[str, float]:
    """Which of `video` and `audio` has parts that are not shown, behind or between those that are.

    With how long what is shown of it lasts, in seconds.

    What no edit list can be read of hides nothing. Reads the disk: call it in a thread.

    Args:
        file: Of any kind; read from its beginning, in a few small steps.
    """
    tracks, timescale = _tracks(file)
    return {
        track.kind: sum(duration for duration, _ in track.edits) / timescale
        for track in tracks
        if timescale and _hides(track, timescale)
    }


def lengths_of_tracks(file: BinaryIO) -> dict[str, float]:
    """Until when `video` and `audio` are shown, the first of each, in seconds from 0.

    Of what tells its length; fragments do not. Reads the disk: call it in a thread.
    """
    tracks, timescale = _tracks(file)
    lengths: dict[str, float] = {}
    for track in tracks:
        shown = sum(duration for duration, _ in track.edits)
        if track.kind and timescale and track.timescale and (shown or track.duration):
            seconds = shown / timescale if shown else track.duration / track.timescale
            lengths.setdefault(track.kind, track.delay / timescale + seconds)
    return lengths


def _tracks(file: BinaryIO) -> tuple[list[_Track], int]:
    """The tracks of a movie, and its timescale; none where they cannot be read."""
    file.seek(0, 2)
    tracks, timescale = list[_Track](), 0
    try:
        for kind, box in boxes(file, file.tell()):
            if kind == b"trak":
                tracks.append(_Track())
            elif kind == b"mvhd":
                timescale = read_clock(box).timescale
            elif kind == b"mvex":
                return [], 0  # fragments come later; ffmpeg hides nothing in those
            elif tracks:
                _note(tracks[-1], kind, box)
    except (struct.error, IndexError):
        return [], 0  # damaged: ffmpeg will tell
    return tracks, timescale


def _hides(track: _Track, timescale: int) -> bool:
    if not track.edits or not track.timescale or not track.kind:
        return False
    duration, media_time = track.edits[0]
    shown_to = media_time / track.timescale + duration / timescale
    left = track.duration / track.timescale - shown_to if duration else 0.0
    return len(track.edits) > 1 or left > _MAX_SLACK_SECONDS[track.kind]


def _note(track: _Track, kind: bytes, box: bytes) -> None:
    if kind == b"hdlr":
        track.kind = track.kind or _KINDS.get(box[8:12], "")
    elif kind == b"mdhd":
        clock = read_clock(box)
        track.timescale, track.duration = clock.timescale, clock.duration
    elif kind == b"elst":
        entries = [*read_edit_entries(box, 0, len(box))]
        track.edits = [(e.duration, e.media_time) for e in entries if e.media_time >= 0]
        track.delay = sum(e.duration for e in entries if e.media_time < 0)


def boxes(
    file: BinaryIO,
    size: int,
    *,
    entered: Mapping[bytes, Collection[bytes]] = _ENTERED,
    wanted: Mapping[bytes, Collection[bytes]] = _WANTED,
) -> Iterator[tuple[bytes, bytes]]:
    """Reads the boxes of some kinds, and reports each `trak` as it begins.

    Args:
        file: Read in small steps.
        size: In bytes.
        entered: By the kind of a box (nothing: the file), the kinds in it that hold others.
        wanted: Likewise, the kinds to read, each with at most 64 KiB of its content.
    """
    inside = [(b"", 0, size)]
    for _ in range(_MAX_BOXES):
        while inside and inside[-1][1] + 8 > inside[-1][2]:
            inside.pop()
        if not inside:
            return
        parent, at, end = inside.pop()
        file.seek(at)
        header = read_box_header(file.read(LONG_HEADER_BYTES))
        if header is None:
            return  # the file was cut off there
        kind, content = header.kind, at + header.header_bytes
        over = end if header.size is None else max(content, min(at + header.size, end))
        inside.append((parent, over, end))
        if kind in wanted.get(parent, ()):
            file.seek(content)
            yield kind, file.read(min(over - content, _MAX_BYTES))
        if kind in entered.get(parent, ()):
            inside.append((kind, content + _VERSION_BYTES.get(kind, 0), over))
            if kind == b"trak":
                yield kind, b""
