"""Whether the first bytes of a clip can begin one that a decoder reads as it comes.

Seen, June 2026: a message that cannot be decoded is answered at once, without another one. A
decoder does not help, because it waits for more bytes. So the first elements of Matroska and the
first boxes of MP4 are checked here. Everything else is left to the decoder.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from ih_mcp.errors import MediaError
from ih_mcp.media.containers.container import container_of
from ih_mcp.media.containers.ebml import TOP, Id, number_of
from ih_mcp.media.containers.mp4_boxes import box_headers
from ih_mcp.media.ffmpeg.decode import Picture, Sound

from .media_timeline import ClipDecoder

_MAX_LOOKED_AT_BYTES = 1 << 20  # chosen: an index that begins later is the decoder's to find
_VOID, _CRC = 0xEC, 0xBF  # RFC 8794: may stand anywhere
_IN_SEGMENT = TOP | {_VOID, _CRC}
_IN_CLUSTER = {Id.TIMESTAMP, Id.SIMPLE_BLOCK, Id.BLOCK_GROUP, _VOID, _CRC} | {
    *(0xA7, 0xAB, 0xAF, 0x5854),  # RFC 9559: Position, PrevSize, EncryptedBlock, SilentTracks
}


@dataclass(slots=True)
class CheckedDecoder:
    """A decoder that first checks that its clip begins as media can."""

    decoder: ClipDecoder
    _first: bytes = b""
    _is_checked: bool = False

    async def feed(self, data: bytes) -> None:
        """Raises `MediaError` where the clip cannot be decoded, whatever follows."""
        if not self._is_checked:
            self._first += data[:_MAX_LOOKED_AT_BYTES]
            self._is_checked = begins_well(self._first)
            self._is_checked |= len(self._first) >= _MAX_LOOKED_AT_BYTES
            self._first = b"" if self._is_checked else self._first
        await self.decoder.feed(data)

    async def finish(self) -> None:
        await self.decoder.finish()

    def __aiter__(self) -> AsyncIterator[Picture | Sound]:
        return self.decoder.__aiter__()


def begins_well(data: bytes) -> bool:
    """Whether enough is there to say so.

    Args:
        data: Of a clip, from its first byte on.

    Raises:
        MediaError: What follows cannot make it media.
    """
    match container_of(data):
        case "matroska":
            return _MatroskaOpening(data).begin_well()
        case "mp4":
            return _boxes_begin_well(data)
        case _:
            return True


class _MatroskaOpening:
    """The elements of Matroska, as far as there are bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def begin_well(self) -> bool:
        """The EBML header, Segment, and in it Tracks before the first Cluster."""
        try:
            self._pass()
            while (number := self._enter({Id.SEGMENT, _VOID, _CRC})) != Id.SEGMENT:
                self._skip()
            has_tracks = False
            while (number := self._enter(_IN_SEGMENT)) != Id.CLUSTER:
                has_tracks |= number == Id.TRACKS
                self._skip()
            if not has_tracks:
                raise MediaError("the media comes before what it is made of (Tracks)")
            self._enter(_IN_CLUSTER)
        except IndexError:  # it goes on in another message
            return False
        return True

    def _pass(self) -> None:
        self._enter({Id.EBML})
        self._skip()

    def _enter(self, known: set[int] | frozenset[int]) -> int:
        """The number of the next element; what follows is its payload."""
        start = self._at
        end = start + 9 - self._data[start].bit_length()
        number = int.from_bytes(self._data[start:end], "big")
        if end > len(self._data):
            raise IndexError(end)
        if number not in known:
            raise MediaError(
                f"byte {start} of the Matroska stream is no element that belongs there"
            )
        length = 9 - self._data[end].bit_length()
        if length > 8:
            raise MediaError(f"byte {end} of the Matroska stream is no size")
        self._at = end + length
        if self._at > len(self._data):
            raise IndexError(self._at)
        self._size = number_of(self._data[end : self._at])
        return number

    def _skip(self) -> None:
        if self._size is None:
            raise MediaError("an element of the Matroska header has no size")
        self._at += self._size


def _boxes_begin_well(data: bytes) -> bool:
    """Boxes with names, and the index before the media."""
    at = 0
    for kind, content, end in box_headers(data, 0, len(data)):
        if kind == b"moov":
            return True
        if kind in {b"mdat", b"moof"}:
            raise MediaError("the media comes before its index (moov)")
        if content > len(data):  # the rest of its header is still to come
            return False
        if end < content or not all(0x20 <= byte < 0x7F or byte == 0xA9 for byte in kind):
            raise MediaError(f"byte {at} of the MP4 stream begins no box")
        at = end
    return False
