"""Segments that a caller pushes: looked at as they pass, so that what cannot work is refused here.

A recorder hands over chunks of one container stream, cut anywhere. Where segments continue each
other they go out as they came; where each must decode alone, the header is put before them.
"""

from __future__ import annotations

from copy import copy

from ih_mcp.errors import MediaError
from ih_mcp.media.recorder_chunks import Chunk, Recording
from ih_mcp.wire.dialects import Framing

from .outbox import Entry, Outgoing


class Intake:
    """What was pushed into one stream so far."""

    def __init__(self, framing: Framing, *, is_raw: bool = False) -> None:
        """Begin.

        Args:
            is_raw: Samples without a container follow: any cut is right.
        """
        self._framing = framing
        self._is_raw = is_raw
        self._recording = Recording()

    def copy(self) -> Intake:
        """Another one that goes on from here; what it takes, this one has not seen.

        So a segment is looked at by a copy, which takes the place of the original once the
        segment is in the stream: of one that is refused, nothing is left.
        """
        twin: Intake = copy(self)
        twin._recording = self._recording.copy()
        return twin

    @property
    def left_out_bytes(self) -> int:
        """Of headers that were taken and never sent, since another header followed."""
        return self._recording.left_out_bytes

    @property
    def can_begin(self) -> bool:
        """Whether another session could go on with what is pushed next."""
        is_alone = self._is_raw or self._framing is Framing.WHOLE
        return is_alone or self._recording.header is not None

    def take(self, data: bytes) -> Outgoing | None:
        """The segment to send; None while there is nothing to send yet: header alone, or empty.

        Raises:
            MediaError: It would be refused: it begins without a header, or cannot be made to
                decode alone.
        """
        if self._is_raw:
            return Outgoing(data, entry=Entry(), counts_from_zero=True) if data else None
        chunk = self._recording.take(data)
        if chunk is None:
            return None
        if self._framing is Framing.WHOLE:
            whole = self._recording.whole(chunk)
            start, end = chunk.start_seconds, chunk.end_seconds
            return Outgoing(whole, start, end, Entry(), counts_from_zero=True, jump=chunk.jump)
        return self._continued(chunk)

    def finish(self) -> Outgoing | None:
        """What was waiting for more, where it is of use."""
        try:
            chunk = None if self._is_raw else self._recording.finish()
        except MediaError:
            return None  # too little to tell what it was
        return self._continued(chunk) if chunk else None

    def _continued(self, chunk: Chunk) -> Outgoing:
        entry = None
        header = self._recording.header
        if chunk.headed:
            entry = Entry(seconds=chunk.start_seconds)
        elif chunk.key_offset is not None and header is not None:
            entry = Entry(header, chunk.key_offset, chunk.key_seconds)
        return Outgoing(chunk.data, chunk.start_seconds, chunk.end_seconds, entry, jump=chunk.jump)
