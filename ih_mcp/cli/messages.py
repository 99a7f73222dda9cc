"""`ih-mcp messages`: prints the kept messages of a stream."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from contextlib import aclosing
from functools import partial

import anyio
from anyio import to_thread
from rich.console import Console

from ih_mcp.journal import follow, open_journal
from ih_mcp.settings import Settings
from ih_mcp.streams.kept_status import read_status

from .console import print_line
from .options import add_local, add_raw, add_stream_id
from .progress import ReadProgress, showing
from .stream import write_messages
from .stream_ids import find_stream_id

_PAGE = 1000
_PAGE_CHARS = 10**7


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = "Print every kept message of a stream, as `ih-mcp stream` prints them."
    add_local(parser)
    add_stream_id(parser)
    add_raw(parser)


def run(options: Namespace, settings: Settings) -> int:
    """Print every kept message of a stream, in order."""
    anyio.run(partial(_run, settings, options.stream_id, is_raw=options.raw))
    return 0


async def _run(settings: Settings, stream_id: str | None, *, is_raw: bool) -> None:
    write = partial(write_messages, is_raw=is_raw)
    console, printed = Console(stderr=True), ReadProgress("printing")
    async with open_journal(settings.journal_place) as journal:
        stream_id = await find_stream_id(journal, stream_id)
        kept = follow(journal, stream_id, limit=_PAGE, max_chars=_PAGE_CHARS, waits=False)
        async with showing(console, printed.step), aclosing(kept) as pages:
            async for page in pages:
                await to_thread.run_sync(write, [entry.body for entry in page.entries])
                printed.note(page.cursor, page.last)
        if said := (await read_status(journal, stream_id)).stand_in:
            print_line(console, said)
