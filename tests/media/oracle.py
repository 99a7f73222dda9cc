"""A second opinion on media: PyAV reads it, so that nothing is judged by the code that made it."""

from __future__ import annotations

import io
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
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
        tracks = [s for s in (video, audio) if s]
        assert tracks, "neither pictures nor sound"
        clocks = {track.index: _Clock(track.time_base) for track in tracks}
        for packet in container.demux(tracks):
            take = _take_sound if packet.stream is audio else _take_picture
            take(packet, clocks[packet.stream_index], media)
    return media


class _Clock:
    """Ticks of a track as seconds; fractions would take ten times as long."""

    def __init__(self, base: Fraction | None) -> None:
        assert base is not None
        self._counts, self._of = base.numerator, base.denominator

    def seconds(self, ticks: int | None) -> float:
        return (ticks or 0) * self._counts / self._of


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


def _take_sound(packet: av.Packet[Any], clock: _Clock, media: Media) -> None:
    if packet.size:
        time = packet.pts if packet.pts is not None else packet.dts
        digest = _digest(_bare(bytes(packet)))
        seconds = clock.seconds(packet.duration)
        media.sound.append(Item(digest, clock.seconds(time), seconds, packet.is_discard))


def _take_picture(packet: av.Packet[Any], clock: _Clock, media: Media) -> None:
    try:
        frames = packet.decode()
    except av.FFmpegError as error:
        media.errors.append(str(error))
        return
    for frame in frames:
        assert isinstance(frame, av.VideoFrame)
        digest = _digest(b"".join(_rows(plane) for plane in frame.planes))
        seconds = clock.seconds(frame.duration)
        media.pictures.append(Item(digest, clock.seconds(frame.pts), seconds))


def _rows(plane: av.video.plane.VideoPlane) -> bytes:
    """Without what stands between the rows, which is no picture."""
    height, line = plane.height, plane.line_size
    used = plane.buffer_size // height
    width = plane.width * (2 if used >= 2 * plane.width else 1)  # 10 bit takes two bytes
    rows = np.frombuffer(memoryview(plane)[: height * line], np.uint8).reshape(height, line)
    shown: bytes = rows[:, :width].tobytes()
    return shown


def _bare(packet: bytes) -> bytes:
    """Without the ADTS header that MPEG-TS and `.aac` files repeat before each frame."""
    is_adts = len(packet) > 7 and packet[0] == 0xFF and packet[1] & 0xF6 == 0xF0
    return packet[7:] if is_adts else packet


def _digest(data: bytes) -> bytes:
    """Two checksums, each the fastest there is, that no two pictures of a test share by chance."""
    return zlib.crc32(data).to_bytes(4, "big") + zlib.adler32(data).to_bytes(4, "big")


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
