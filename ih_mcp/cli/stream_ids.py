"""Which stream a person means on the command line."""

from __future__ import annotations

from ih_mcp.errors import UnknownStreamError
from ih_mcp.journal import Journal
from ih_mcp.streams.ids import IdKind, match_id


async def find_stream_id(journal: Journal, given: str | None) -> str:
    """The whole id of a stream or upload, by its beginning; without one, of the newest stream.

    Raises:
        UnknownStreamError: There is none.
        CallerError: Several begin so.
    """
    if given is not None:
        return match_id(given, [row.id for row in await journal.list_streams()])
    newest = await journal.list_streams(IdKind.STREAM, newest=1)
    if not newest:
        raise UnknownStreamError(
            "the journal keeps no stream", help="IH_MCP_DATA_DIR says where it is looked for."
        )
    return newest[0].id
