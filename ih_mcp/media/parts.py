"""What a container stream is made of, for whoever cuts it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ih_mcp.errors import MediaError

MAX_HEADER_BYTES = 1 << 20  # chosen: one of ffmpeg or a browser has some hundred bytes
GOES_ON_SECONDS = 1.0  # chosen: sound that ends so much after the picture tells the end


@dataclass(frozen=True, slots=True)
class Stamp:
    """A place where a clock is written."""

    offset: int
    """From the start of the atom."""
    width: int
    """In bytes, big endian, unsigned."""
    ticks: int
    """What belongs there when the stream starts at 0."""
    ticks_per_second: float
    delay_seconds: float = 0.0
    """What the header adds; it shrinks before the clock does."""

    def shifted(self, seconds: float) -> bytes:
        """What belongs there when the stream starts `seconds` later; never below zero."""
        late = max(0.0, seconds - self.delay_seconds) if self.delay_seconds else seconds
        ticks = max(0, self.ticks - round(late * self.ticks_per_second))
        return ticks.to_bytes(self.width, "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Atom:
    """A fragment (`moof` and `mdat`) or a Cluster: the least that can be cut off.

    Times are presentation times in seconds of the stream: of the picture, or of the sound where
    there is no picture or where it goes on without.
    """

    offset: int
    """In the stream, in bytes."""
    size: int
    start_seconds: float
    end_seconds: float
    first_seconds: float
    """Of the earliest track in it."""
    is_key: bool
    """Whether decoding can start here. True where there is no picture."""
    has_picture: bool
    """Whether it has any; where the file has none at all, it has all there is."""
    has_leading: bool
    """Whether pictures shown before the key frame need what came before it (open GOP)."""
    stamps: tuple[Stamp, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A place where a decoder can begin that has the header."""

    offset: int
    """Of the atom, in the stream, in bytes."""
    seconds: float
    """When its key frame is shown, or its sound heard."""


JUMP_SECONDS = 0.5  # chosen: recorders' chunks are longer, and slow pictures have sound beside them


@dataclass(frozen=True, slots=True)
class Jump:
    """A place where the media does not go on at the time where it was."""

    from_seconds: float
    """Where it was expected to go on."""
    to_seconds: float
    """Where it goes on; earlier where it goes back."""


@dataclass(slots=True)
class Times:
    """The times of a stream as its media comes: how far they reach, and where they jump."""

    reached_seconds: float = 0.0
    """The latest time so far."""
    jump: Jump | None = None
    """The first one since this was set to None."""
    ends: dict[int, float] = field(default_factory=dict)
    """Of each track, as far as it came."""

    def copy(self) -> Times:
        return replace(self, ends=dict(self.ends))

    def take(self, track: int, start_seconds: float, end_seconds: float) -> None:
        """Media of a track: a jump is forward of all there is, or back behind its own."""
        expected = self.reached_seconds
        if start_seconds < expected:
            expected = min(expected, self.ends.get(track, start_seconds))
        if self.jump is None and abs(start_seconds - expected) > JUMP_SECONDS:
            self.jump = Jump(expected, start_seconds)
        self.ends[track] = end_seconds
        self.reached_seconds = max(self.reached_seconds, end_seconds)


class Head(Protocol):
    """A header for media that begins anew: a segment that stands alone, or one and what follows."""

    @property
    def size(self) -> int:
        """In bytes; the same for each segment that stands alone."""
        ...

    def filled(self, start_seconds: float, seconds: float | None, payload_bytes: int) -> bytes:
        """For the media that begins at `start_seconds` of the stream and lasts `seconds`.

        Where the length is None the media goes on: neither length nor size is told then.
        """
        ...


class Reader(Protocol):
    """Reads one container stream, in whatever pieces it comes."""

    @property
    def header(self) -> bytes | None:
        """What stands before the first atom.

        None until it is complete, and where it is too large to be kept (`MAX_HEADER_BYTES`).
        """
        ...

    @property
    def has_media(self) -> bool:
        """Whether more than a header was seen."""
        ...

    @property
    def entries(self) -> Sequence[Entry]:
        """What the last `feed` made known to be one, often before the atom is complete."""
        ...

    @property
    def reached_seconds(self) -> float:
        """The latest time seen so far; 0 before there is any."""
        ...

    @property
    def jump(self) -> Jump | None:
        """Where the times of what was fed last do not go on from those before; the first place."""
        ...

    def copy(self) -> Reader:
        """Another one that goes on from here; what it is fed, this one has not seen."""
        ...

    def feed(self, data: bytes) -> Sequence[Atom]:
        """Take the next bytes; tells the atoms they complete.

        Raises:
            MediaError: This is not the container it was taken for (`bad_container`).
        """
        ...

    def finish(self) -> Sequence[Atom]:
        """The stream has ended; tells an atom that only its end completes, drops a torn one."""
        ...

    def head(self) -> Head:
        """For media that begins anew. Call it when there is media.

        Raises:
            MediaError: The header was too large to be kept.
        """
        ...


MAX_TRACKS = 64  # chosen: a film with many languages has some thirty


def too_many_tracks(container: str, tracks: int) -> MediaError:
    return bad_container(f"the {container} stream has {tracks} tracks")


def too_large_header(size: int) -> MediaError:
    return bad_container(
        f"the header has {size} bytes; {MAX_HEADER_BYTES} can be put before segments"
    )


def bad_container(what: str) -> MediaError:
    return MediaError(
        what,
        help="The bytes are damaged, or part of the stream is missing.",
        code="bad_container",
    )
