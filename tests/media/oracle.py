"""A second opinion on media: PyAV reads it, so that nothing is judged by the code that made it."""

from __future__ import annotations

import io
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import av.logging
import numpy as np

av.logging.set_level(av.logging.PANIC)


@dataclass(frozen=True, slots=True)
class Item:
    """A decoded picture or a packet of sound."""

    digest: bytes
    time: float
    seconds: float
    is_hidden: bool = False
    """Whether it is there to be decoded and not to be heard."""


@dataclass(slots=True)
class Media:
    """All of a file that counts."""

    pictures: list[Item] = field(default_factory=list)
    sound: list[Item] = field(default_factory=list)
    codecs: dict[str, str] = field(default_factory=dict)
    pixel_format: str = ""
    width: int = 0
    height: int = 0
    declared_seconds: float = 0.0
    errors: list[str] = field(default_factory=list)

    @property
    def start(self) -> float:
        return min(item.time for item in (*self.pictures, *self.sound))

    @property
    def end(self) -> float:
        return max(item.time + item.seconds for item in (*self.pictures, *self.sound))

    @property
    def picture_end(self) -> float:
        return max(item.time + item.seconds for item in self.pictures or self.sound)


_RENUMBERED = {"merge_pmt_versions": "1"}  # tracks of MPEG-TS go on under other numbers


@lru_cache(maxsize=64)  # several tests ask of the same recording
def read(source: bytes | Path) -> Media:
    """Every picture decoded, every packet of sound, in the order of the file."""
    media = Media()
    with av.open(
        io.BytesIO(source) if isinstance(source, bytes) else str(source),
        "r",
        options=_RENUMBERED if isinstance(source, Path) and source.suffix == ".ts" else {},
    ) as container:
        video = next((s for s in container.streams.video if not s.disposition & 0x400), None)
        audio = next((s for s in container.streams.audio if hasattr(s, "codec")), None)
        media.declared_seconds = (container.duration or 0) / 1e6
        if video:
            media.codecs["video"] = video.codec.canonical_name
            media.pixel_format = video.codec_context.pix_fmt or ""
            media.width, media.height = video.codec_context.width, video.codec_context.height
        if audio:
            media.codecs["audio"] = audio.codec.canonical_name
        for packet in container.demux([s for s in (video, audio) if s]):
            if packet.stream is audio:
                _take_sound(packet, media)
            else:
                _take_picture(packet, media)
    return media


def last_start(source: bytes) -> float:
    """When the last picture or packet of sound begins; nothing is decoded."""
    with av.open(io.BytesIO(source), "r") as container:
        return max(
            float(packet.pts * (packet.time_base or 0))
            for packet in container.demux()
            if packet.pts is not None
        )


def count_pictures(source: bytes) -> int:
    """How many there are, where each packet is one that is shown; nothing is decoded."""
    with av.open(io.BytesIO(source), "r") as container:
        return sum(packet.size > 0 for packet in container.demux(video=0))


def _take_sound(packet: av.Packet[Any], media: Media) -> None:
    if packet.size:
        time = packet.pts if packet.pts is not None else packet.dts or 0
        base = packet.time_base
        assert base is not None
        seconds = float((packet.duration or 0) * base)
        digest = _digest(_bare(bytes(packet)))
        media.sound.append(Item(digest, float(time * base), seconds, packet.is_discard))


def _take_picture(packet: av.Packet[Any], media: Media) -> None:
    try:
        frames = packet.decode()
    except av.FFmpegError as error:
        media.errors.append(str(error))
        return
    for frame in frames:
        assert isinstance(frame, av.VideoFrame)
        assert frame.time_base is not None
        time = float((frame.pts or 0) * frame.time_base)
        seconds = float((frame.duration or 0) * frame.time_base)
        digest = _digest(*(_rows(plane) for plane in frame.planes))
        media.pictures.append(Item(digest, time, seconds))


def _rows(plane: av.video.plane.VideoPlane) -> memoryview[int]:
    """Without what stands between the rows, which is no picture."""
    used = plane.buffer_size // plane.height
    width = plane.width * (2 if used >= 2 * plane.width else 1)  # 10 bit takes two bytes
    size = plane.height * plane.line_size
    rows = np.frombuffer(memoryview(plane)[:size], np.uint8).reshape(plane.height, plane.line_size)
    return np.ascontiguousarray(rows[:, :width]).data


def _bare(packet: bytes) -> bytes:
    """Without the ADTS header that MPEG-TS and `.aac` files repeat before each frame."""
    is_adts = len(packet) > 7 and packet[0] == 0xFF and packet[1] & 0xF6 == 0xF0
    return packet[7:] if is_adts else packet


def _digest(*parts: bytes | memoryview[int]) -> bytes:
    """Two checksums, each the fastest there is, that no two pictures of a test share by chance."""
    first, second = 0, 1
    for part in parts:
        first, second = zlib.crc32(part, first), zlib.adler32(part, second)
    return first.to_bytes(4, "big") + second.to_bytes(4, "big")


def digests(items: Sequence[Item]) -> list[bytes]:
    return [item.digest for item in items]


def shift_seconds(source: Media, pieces: Sequence[Media]) -> float:
    """The largest change of sound against picture, over all pieces.

    Compared are the first picture and the first packet of each piece that occur once in the
    source.
    """
    pictures, sound = _once(source.pictures), _once(source.sound)
    shifts = [0.0]
    for piece in pieces:
        seen = next((item for item in piece.pictures if item.digest in pictures), None)
        heard = next((item for item in piece.sound if item.digest in sound), None)
        if seen and heard:
            before = sound[heard.digest] - pictures[seen.digest]
            shifts.append(abs(heard.time - seen.time - before))
    return max(shifts)


def _once(items: Sequence[Item]) -> dict[bytes, float]:
    counted = Counter(digests(items))
    return {item.digest: item.time for item in items if counted[item.digest] == 1}
