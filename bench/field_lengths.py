"""Judges how long and how large segments are, by the packets that PyAV reads in them."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import av

from ih_mcp.media.clock_jumps import MAX_PAUSE_SECONDS
from ih_mcp.media.segment_bounds import bounds
from ih_mcp.wire.dialects import Dialect, Framing

_ROUNDED_SECONDS = 0.15
"""How much a length differs by what it is taken from: packets of sound are up to 0.1 s long."""
_FINE_SECONDS = 1.0
"""How far places to cut may be apart where we make them."""
_SPARE = 2
"""How many times the fewest bytes a part should have, to be sure that it could be a segment."""


@dataclass(frozen=True, slots=True)
class Packet:
    place: int
    """In what it was read from, in bytes."""
    track: int
    is_picture: bool
    is_key: bool
    start: float
    end: float


@dataclass(slots=True)
class Piece:
    """One segment, as its packets tell."""

    data: bytes
    packets: list[Packet] = field(default_factory=list)
    seconds: float = 0.0
    rounded: float = _ROUNDED_SECONDS
    """By how much its length can differ."""

    @property
    def pictures(self) -> list[Packet]:
        return [packet for packet in self.packets if packet.is_picture]

    @property
    def start(self) -> float:
        return min(packet.start for packet in self.packets)

    @property
    def end(self) -> float:
        """Of what begins last: what began before may say that it stays for longer."""
        return max(self.packets, key=lambda packet: packet.start).end

    def begins(self, before: Piece | None) -> float:
        """When it begins: sound is often written a little before its picture."""
        goes_on = self.pictures if before and before.pictures else []
        return min((packet.start for packet in goes_on), default=self.start)

    def rounded_seconds(self, after: Piece | None) -> float:
        """How exact its length is: no more than its pictures are apart, up to the next one."""
        times = sorted(packet.start for packet in self.pictures)
        times += [packet.start for packet in after.pictures[:1]] if after else []
        return _ROUNDED_SECONDS + max((b - a for a, b in pairwise(times)), default=0.0)

    @property
    def begun_seconds(self) -> float:
        """Until when some track is awaited, since only then its header can be written."""
        firsts = {packet.track: packet.start for packet in reversed(self.packets)}
        return max(firsts.values()) - self.start

    def places(self, *, needs_key: bool) -> list[tuple[float, int]]:
        """Where it could have been cut, in seconds and bytes from its beginning.

        Args:
            needs_key: Whether only before a key frame that no picture behind it is shown before.
        """
        first, begins, earliest = self.packets[0].place, self.start, float("inf")
        found = list[tuple[float, int]]()
        for packet in reversed(self.pictures or self.packets):
            is_closed = packet.start <= earliest
            if is_closed and (not needs_key or packet.is_key or not packet.is_picture):
                found.append((packet.start - begins, packet.place - first))
            earliest = min(earliest, packet.start)
        return found[::-1]

    def is_decodable_from(self, seconds: float) -> bool:
        """Whether a decoder that begins with the key frame there shows it, as in what stands alone.

        Pictures that are renewed bit by bit are marked as keys, and shown late.
        """
        with av.open(io.BytesIO(self.data), "r") as container:
            pictures = container.streams.video[0]
            with suppress(av.FFmpegError):
                for packet in container.demux(pictures):
                    if packet.pts is None or packet.time_base is None:
                        continue
                    if float(packet.pts * packet.time_base) < self.start + seconds - 1e-3:
                        continue
                    for frame in packet.decode():
                        time = float((frame.pts or 0) * (frame.time_base or 0))
                        return abs(time - self.start - seconds) < 1e-3
        return True


def pieces_of(parts: Sequence[bytes], framing: Framing) -> list[Piece]:
    """The segments as they were sent, each with what is in it."""
    pieces = [Piece(part) for part in parts]
    if framing is Framing.WHOLE:
        for piece in pieces:
            piece.packets += _packets(piece.data)
            piece.seconds = piece.end - piece.start
        return pieces
    ends = [*accumulate(map(len, parts))]
    for packet in _packets(b"".join(parts)):
        pieces[bisect_right(ends, packet.place)].packets.append(packet)
    pieces = [piece for piece in pieces if piece.packets]
    begins = [piece.begins(before) for before, piece in zip([None, *pieces], pieces, strict=False)]
    for piece, (begin, end) in zip(pieces, pairwise([*begins, pieces[-1].end]), strict=True):
        piece.seconds = end - begin
    for piece, after in zip(pieces, [*pieces[1:], None], strict=True):
        piece.rounded = piece.rounded_seconds(after)
    return pieces


def _packets(data: bytes) -> Iterator[Packet]:
    with av.open(io.BytesIO(data), "r") as container:
        for packet in container.demux():
            if packet.size and packet.pts is not None and packet.time_base is not None:
                start = float(packet.pts * packet.time_base)
                end = start + float((packet.duration or 0) * packet.time_base)
                stream = packet.stream
                is_picture, is_key = stream.type == "video", packet.is_keyframe
                yield Packet(packet.pos or 0, stream.index, is_picture, is_key, start, end)


def complaints(pieces: Sequence[Piece], dialect: Dialect, copied: Sequence[bool]) -> list[str]:
    """What is wrong with how long and how large segments are; nothing where nothing is.

    A segment that is longer than wished is right where it could not be cut, so that both parts can
    stand; where pictures are encoded, we make the places to cut.

    Args:
        copied: Whether its pictures are those of the file, for each.
    """
    said = list[str]()
    for number, (piece, is_copied) in enumerate(zip(pieces, copied, strict=True)):
        begun = piece.begun_seconds if number == 0 else 0.0
        what = _unlike(piece, dialect, is_alone=len(pieces) == 1) or _too_long(
            piece, dialect, is_copied=is_copied, begun=begun if begun <= MAX_PAUSE_SECONDS else 0.0
        )
        if what:
            said.append(f"segment {number + 1} of {len(pieces)} {what}")
    return [f"{said[0]}, and {len(said) - 1} more"] if said[1:] else said


def _unlike(piece: Piece, dialect: Dialect, *, is_alone: bool) -> str:
    """How a segment is unlike what the version takes, and what is aimed at."""
    limits, seconds, size = dialect.limits, piece.seconds, len(piece.data)
    if not limits.min_segment_bytes <= size <= limits.max_segment_bytes:
        return f"has {size} bytes"
    limited = bounds(limits, dialect.framing, target_seconds=dialect.target_segment_seconds)
    shortest = limited.min_seconds if is_alone else limited.joined_below_seconds
    longest = limited.max_seconds
    if size <= _SPARE * limits.min_segment_bytes:  # it takes as long as it takes to fill it
        longest = float("inf")
    is_within = shortest - piece.rounded <= seconds <= longest + piece.rounded
    return "" if is_within else f"lasts {seconds:.2f} s"


def _too_long(piece: Piece, dialect: Dialect, *, is_copied: bool, begun: float) -> str:
    """Where a segment could have been cut, so that both parts are long and large enough."""
    limited = bounds(dialect.limits, dialect.framing, target_seconds=dialect.target_segment_seconds)
    least, shortest = _SPARE * limited.min_bytes, limited.joined_below_seconds
    if not limited.needs_key:  # a cut may wait for the next key frame
        earliest = limited.target_seconds + shortest + _FINE_SECONDS
    else:
        earliest = limited.target_seconds + (0.0 if is_copied else _FINE_SECONDS)
    earliest = max(earliest, begun)
    needs_key = limited.needs_key and is_copied
    latest = piece.seconds - shortest - (_ROUNDED_SECONDS if needs_key else _FINE_SECONDS)
    for at, size in piece.places(needs_key=needs_key):
        is_fit = earliest <= at <= latest and least <= size <= len(piece.data) - least
        if is_fit and (not needs_key or not piece.pictures or piece.is_decodable_from(at)):
            return f"lasts {piece.seconds:.1f} s and could be cut after {at:.1f} s"
    return ""
