"""Which stream a person means on the command line."""

from __future__ import annotations

import json

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


async def find_stream_of_file(journal: Journal, name: str) -> tuple[str, str]:
    """The newest stream of a file, by its name as a status has it; else the newest of all.

    Gives its id, and a sentence where it is not known to be of that file; else an empty one.

    Raises:
        UnknownStreamError: There is none.
    """
    newest = await find_stream_id(journal, None)
    rows = await journal.list_streams(IdKind.STREAM)
    sources = {row.id: str(json.loads(row.record).get("source", "")) for row in rows}
    same = [stream_id for stream_id, source in sources.items() if source == name]
    if same:
        return same[-1], ""
    source = sources.get(newest) or "media without a name"
    return newest, (
        f"No stream that is kept is of {name}. This is the newest one, {newest}, of {source}: name "
        "another by its id, as `ih-mcp list` shows it."
    )
