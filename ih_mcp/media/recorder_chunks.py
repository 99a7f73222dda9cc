"""What browser recorders hand over: chunks of one stream, cut anywhere.

Seen with Chromium 156 and Firefox 153: no WebM chunk but the first starts at a Cluster, Chromium's
all start one byte within an element, a first chunk can be one byte long, one of MP4 can be header
alone, a last one empty. So a recording is one stream of bytes that is only looked at as it passes.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

from ih_mcp.errors import MediaError

from .containers.container import (
    READERS,
    EntryPoint,
    Reader,
    TimeJump,
    bad_container,
    container_of,
    may_begin,
)

_EBML = b"\x1aE\xdf\xa3"
_SIGNATURE_BYTES = 12  # enough of a beginning to tell which container it is
_MAX_WAITING_BYTES = 1 << 24  # chosen: a browser's header has some hundred bytes
_READER_OF = {"matroska": "webm", "mp4": "mp4"}


@dataclass(frozen=True, slots=True)
class Chunk:
    """What is to be sent of a recording, as it came."""

    data: bytes
    headed: bool
    """Whether it begins with a container header."""
    start_seconds: float | None
    """Media time when it begins, by the times in the stream; never by when it arrived. None where
    the container is not one we read times of."""
    end_seconds: float | None
    key_offset: int | None
    """Where in it a Cluster or fragment begins that begins with a key frame: the recording's header
    and what stands from there on begin a stream that the next chunks continue. None where none
    begins in it, or where only the next chunk can tell."""
    key_seconds: float | None
    """Media time of that key frame."""
    jump: TimeJump | None = None
    """Where its times do not go on from those before."""

    @property
    def seconds(self) -> float | None:
        """Media it adds; None where the container is not read."""
        if self.start_seconds is None or self.end_seconds is None:
            return None
        return self.end_seconds - self.start_seconds


class Recording:
    """The chunks of one recorder, in order.

    Send what `feed` gives, then what `finish` gives; joined, that is what came, byte for byte. A
    chunk that begins a new container, as when a recorder is started anew, begins anew here too; its
    times go on from those before. A header that was followed by no media is left out then.
    """

    def __init__(self) -> None:
        self._stream = _RecorderStream()
        self._beginning = b""
        """What may begin a new container; the next chunk tells."""
        self.left_out_bytes = 0
        """Of headers that were taken and followed by no media, but by another header."""

    def copy(self) -> Recording:
        """Another one that goes on from here; what it takes, this one has not seen."""
        twin: Recording = copy(self)
        twin._stream = self._stream.copy()
        return twin

    @property
    def container(self) -> str | None:
        """As ffmpeg names it; None before there is enough of it."""
        return self._stream.container

    @property
    def header(self) -> bytes | None:
        """What stands before the first media.

        None until all of it came, and where it is too large to be kept (1 MiB).
        """
        return self._stream.reader.header if self._stream.reader else None

    def feed(self, data: bytes) -> Chunk | None:
        """The next chunk; None while there is nothing to send: it is empty, or header alone.

        Raises:
            MediaError: The recording begins without a header (`no_header`), or is damaged
                (`bad_container`).
        """
        data, self._beginning = self._beginning + data, b""
        if self._stream.may_be_followed_by(data):
            self.left_out_bytes += self._stream.waiting_bytes
            self._stream = _RecorderStream(self._stream.reached_seconds)
        elif self._stream.is_sent and data and _EBML.startswith(data):
            self._beginning = data
            return None
        return self._stream.feed(data)

    def finish(self) -> Chunk | None:
        """What was waiting for more, if anything was.

        Raises:
            MediaError: There was never enough to tell what it is (`no_header`).
        """
        rest, self._beginning = self._beginning, b""
        return self._stream.feed(rest) if rest else self._stream.finish()

    def whole(self, chunk: Chunk) -> bytes:
        """The chunk with the header before it, so that it decodes without the others.

        Raises:
            MediaError: It would not decode: it does not begin at a Cluster or fragment with a key
                frame (`not_decodable`).
        """
        if chunk.headed:
            return chunk.data
        stream = self._stream
        if stream.reader is None or stream.reader.header is None or stream.container is None:
            raise _not_decodable("the recording has no header that could be kept to go before it")
        header = stream.reader.header
        whole = header + chunk.data
        _refuse_torn(READERS[_READER_OF[stream.container]](), len(header), whole)
        return whole


class _RecorderStream:
    """One container, from its header to its end."""

    def __init__(self, begin_seconds: float = 0.0) -> None:
        """Begin.

        Args:
            begin_seconds: Of the recording; the container counts from 0.
        """
        self.container: str | None = None
        self.reader: Reader | None = None
        self.is_sent = False
        """Whether anything of it was given."""
        self._waiting = b""
        self._looked_at = 0
        self._given = 0
        """Bytes of it that were given."""
        self._entry: EntryPoint | None = None
        """The first among those waiting."""
        self._begin_seconds = self.reached_seconds = begin_seconds

    def copy(self) -> _RecorderStream:
        twin = copy(self)
        twin.reader = self.reader.copy() if self.reader else None
        return twin

    @property
    def waiting_bytes(self) -> int:
        """Of it that were taken and not given."""
        return len(self._waiting)

    def may_be_followed_by(self, data: bytes) -> bool:
        """Whether it could be over, and a new container begins with these bytes."""
        if container_of(data) not in _READER_OF:
            return False
        if self.container is None:
            beginning = self._waiting + data[:_SIGNATURE_BYTES]
            return bool(self._waiting) and container_of(beginning) is None
        is_headed = self.reader is not None and self.reader.header is not None
        return self.is_sent or is_headed or data[:4] == _EBML

    def feed(self, data: bytes) -> Chunk | None:
        if not self._waiting and self.container is None and len(data) > 1 and not any(data[:4]):
            raise _no_header(data)  # no recorder begins with so many zeros alone
        self._waiting += data
        if self.container is None and not self._begins():
            return None
        if self.reader:
            self.reader.feed(self._waiting[self._looked_at :])
            self._looked_at = len(self._waiting)
            begun = (entry for entry in self.reader.entries if entry.offset >= self._given)
            self._entry = self._entry or next(begun, None)
        is_header_alone = self.reader is not None and not self.reader.has_media
        if is_header_alone and len(self._waiting) > _MAX_WAITING_BYTES:
            raise bad_container(f"{len(self._waiting)} bytes of the recording hold no media")
        return None if is_header_alone or not self._waiting else self._give()

    def finish(self) -> Chunk | None:
        if self._waiting and self.container is None:
            raise _no_header(self._waiting)
        return self._give() if self._waiting else None

    def _begins(self) -> bool:
        """Whether there is enough to tell the container, and so where to look for times."""
        self.container = container_of(self._waiting)
        is_enough = len(self._waiting) >= _SIGNATURE_BYTES or not may_begin(self._waiting)
        if self.container is None and is_enough:
            raise _no_header(self._waiting)
        if self.container in _READER_OF:
            self.reader = READERS[_READER_OF[self.container]]()
        return self.container is not None

    def _give(self) -> Chunk:
        headed, self.is_sent = not self.is_sent, True
        data, self._waiting, self._looked_at = self._waiting, b"", 0
        if self.reader is None:
            return Chunk(data, headed, None, None, None, None)
        start = self.reached_seconds
        reached = self._begin_seconds + self.reader.reached_seconds
        self.reached_seconds = max(start, reached)
        jump = self.reader.jump
        if jump and self._begin_seconds:
            begun = self._begin_seconds
            jump = TimeJump(begun + jump.from_seconds, begun + jump.to_seconds)
        begins, self._given = self._given, self._given + len(data)
        entry, self._entry = self._entry, None
        if entry is None or self.reader.header is None:
            return Chunk(data, headed, start, self.reached_seconds, None, None, jump)
        place = entry.offset - begins
        seconds = self._begin_seconds + entry.seconds
        return Chunk(data, headed, start, self.reached_seconds, place, seconds, jump)


def _refuse_torn(reader: Reader, header_bytes: int, whole: bytes) -> None:
    """Refuse what does not begin with a unit that begins with a key frame."""
    try:
        units = [*reader.feed(whole), *reader.finish()]
    except MediaError as exc:
        raise _not_decodable("it begins within an element of the stream") from exc
    if not units or units[0].offset != header_bytes:
        raise _not_decodable("it begins within a Cluster or fragment")
    if not units[0].is_key:
        raise _not_decodable("it does not begin with a key frame")
    try:
        reader.head()
    except MediaError as exc:
        raise _not_decodable(exc.what) from exc


def _not_decodable(reason: str) -> MediaError:
    return MediaError(
        f"this chunk cannot be decoded alone: {reason}",
        help="Send the chunks of the recording in order on a version that takes continued "
        "streams, or make the recorder begin each chunk with a key frame.",
        code="not_decodable",
    )


def _no_header(data: bytes) -> MediaError:
    return MediaError(
        f"the recording begins without a container header (its first bytes: {data[:4].hex(' ')})",
        help="Send every chunk from the first on, also one of a single byte.",
        code="no_header",
    )
