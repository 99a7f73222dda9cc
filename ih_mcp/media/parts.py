"""What a container stream is made of, for whoever cuts it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ih_mcp.errors import MediaError


@dataclass(frozen=True, slots=True)
class Stamp:
    """A place where a clock is written."""

    offset: int
    """From the start of the atom."""
    width: int
    """In bytes, big endian, unsigned."""
    ticks: int
    """What belongs there when the stream keeps its times."""
    ticks_per_second: float

    def shifted(self, seconds: float) -> bytes:
        """What belongs there when the stream starts `seconds` later; never below zero."""
        ticks = max(0, self.ticks - round(seconds * self.ticks_per_second))
        return ticks.to_bytes(self.width, "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Atom:
    """A fragment (`moof` and `mdat`) or a Cluster: the least that can be cut off.

    Times are presentation times in seconds of the stream: of the picture, or of the sound where
    there is no picture.
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
    has_leading: bool
    """Whether pictures shown before the key frame need what came before it (open GOP)."""
    stamps: tuple[Stamp, ...]


class Head(Protocol):
    """A header for segments that stand alone, with the length of each written into it."""

    @property
    def size(self) -> int:
        """In bytes; the same for each segment."""
        ...

    def filled(self, seconds: float, payload_bytes: int) -> bytes:
        """For `seconds` of media in `payload_bytes` behind it."""
        ...


class Reader(Protocol):
    """Reads one container stream, in whatever pieces it comes."""

    @property
    def header(self) -> bytes | None:
        """What stands before the first atom; None until it is complete."""
        ...

    @property
    def reached_seconds(self) -> float:
        """The latest time seen so far; 0 before there is any."""
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
        """For segments that stand alone. Call it when `header` is there."""
        ...


def bad_container(what: str) -> MediaError:
    return MediaError(
        what,
        help="The bytes are damaged, or part of the stream is missing.",
        code="bad_container",
    )
