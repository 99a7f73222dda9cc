"""Reads the entries of a stream page by page, in order, until the stream is over."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from .journal import Journal
from .page import Page


async def follow(
    journal: Journal,
    stream_id: str,
    after: int | None = None,
    *,
    limit: int,
    max_chars: int,
    waits: bool = True,
) -> AsyncGenerator[Page]:
    """Read every entry after a cursor, and wait for those that are still to come.

    There is always a first page. A page without entries comes where nothing is kept yet, and where
    the stream ends without another entry. The last page says `is_final`, unless `waits` is false.
    Use `aclosing`, as for every generator that may be left early.

    Args:
        after: The first page starts behind this cursor; None starts with the oldest entry that is
            kept.
        limit: The most entries of one page.
        max_chars: The most text of one page.
        waits: Whether to wait while the stream goes on; else the newest entry ends it.

    Raises:
        UnknownStreamError: The journal does not know the stream.
        ExpiredCursorError: The journal removed entries before they were read.
        JournalError: The journal could not keep or cannot read an entry.
    """
    cursor = (await journal.find_stream(stream_id)).oldest - 1 if after is None else after
    while True:
        page = await journal.read_page(stream_id, cursor, limit=limit, max_chars=max_chars)
        yield page
        cursor = page.cursor
        if page.is_final or (page.is_newest and not waits):
            return
        if page.is_newest:
            await journal.wait(stream_id, cursor)
