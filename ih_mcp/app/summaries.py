"""What streams that are over add up to; each is read once, for nothing changes any more."""

from __future__ import annotations

from collections.abc import Mapping

from anyio import to_thread

from ih_mcp.journal import Journal
from ih_mcp.timeline.model import Drawing, free_lists, read_timeline
from ih_mcp.timeline.summary import totals

_MAX_KEPT = 200  # chosen: some 300 bytes each


class Summaries:
    """The summaries of one journal's streams."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._kept: dict[str, Mapping[str, object]] = {}

    async def find(self, stream_id: str) -> Mapping[str, object]:
        """The summary of a stream as far as it is kept now.

        Raises:
            UnknownStreamError: There is no such stream.
        """
        if stream_id in self._kept:
            return self._kept[stream_id]
        drawing = await read_timeline(self._journal, stream_id)
        summary = await to_thread.run_sync(_add_up, drawing)
        if drawing["ended"]:
            while len(self._kept) >= _MAX_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[stream_id] = summary
        return summary


def _add_up(drawing: Drawing) -> Mapping[str, object]:
    """The totals of a drawing, which is freed; blocks."""
    found = totals(drawing)
    free_lists(drawing)
    return found
