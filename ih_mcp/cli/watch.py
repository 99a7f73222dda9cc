"""`ih-mcp watch`: the live timeline in a terminal, or its page in a browser."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from contextlib import aclosing

import anyio
from rich.console import Console
from rich.live import Live

from ih_mcp.app.clean_up import retention_of
from ih_mcp.capture.serve import open_page_server
from ih_mcp.errors import unwrap_single_error
from ih_mcp.garbage_collector import leave_out_all
from ih_mcp.journal import Journal, open_journal
from ih_mcp.settings import Settings
from ih_mcp.timeline.model import follow_timeline
from ih_mcp.timeline.terminal import TerminalTimeline

from .options import add_local, add_stream_id
from .progress import doing
from .stream_ids import find_stream_id


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        "Show a stream's timeline, live or kept, of this or another process, until the stream is "
        "over."
    )
    add_local(parser)
    add_stream_id(parser)
    parser.add_argument(
        "--page", action="store_true", help="serve the page instead of drawing here"
    )


def run(options: Namespace, settings: Settings) -> int:
    """Show a stream of this or another process until it is over."""
    anyio.run(_run, settings, options.stream_id, options.page)
    return 0


async def _run(settings: Settings, stream_id: str | None, page: bool) -> None:
    with unwrap_single_error():
        async with open_journal(settings.journal_place, retention_of(settings)) as journal:
            stream_id = await find_stream_id(journal, stream_id)
            await journal.find_stream(
                stream_id
            )  # an unknown stream is an error before anything is shown
            if page:
                await _serve(settings, journal, stream_id)
            else:
                await _show(journal, stream_id)


async def _show(journal: Journal, stream_id: str) -> None:
    """On a terminal the picture moves; else the last one is printed."""
    console = Console()
    async with aclosing(follow_timeline(journal, stream_id)) as drawings:
        if console.is_terminal:
            with Live(console=console, auto_refresh=False) as live:
                async for drawing in drawings:
                    live.update(TerminalTimeline(drawing), refresh=True)
        else:
            async with doing(Console(stderr=True), "waiting for the end of the stream"):
                last = [drawing async for drawing in drawings if drawing["ended"]]
            for drawing in last:
                console.print(TerminalTimeline(drawing))


async def _serve(settings: Settings, journal: Journal, stream_id: str) -> None:
    async with open_page_server(
        journal,
        None,
        host=settings.capture_host,
        port=settings.capture_port,
        origin=settings.capture_origin,
    ) as server:
        leave_out_all()
        print(server.link(stream_id), flush=True)
        print("Open this link; it works once. Ctrl+C ends the page.", file=sys.stderr)
        await anyio.sleep_forever()
