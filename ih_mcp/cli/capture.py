"""`ih-mcp capture`: a person in front of a camera, by a page in the browser."""

from __future__ import annotations

import webbrowser
from functools import partial

import anyio
from anyio import to_thread
from rich.console import Console

from ih_mcp.settings import Settings
from ih_mcp.tools.runtime import Opening, open_runtime

from .stream import carry


def run(settings: Settings, opening: Opening, *, opens_browser: bool) -> int:
    """Serve the page and print each message; gives 0 only if the session ended in order."""
    return anyio.run(partial(_run, settings, opening, opens_browser=opens_browser))


async def _run(settings: Settings, opening: Opening, *, opens_browser: bool) -> int:
    console = Console(stderr=True)
    async with open_runtime(settings, trusted=True) as runtime:
        house = await runtime.house()
        stream = await runtime.start_stream(opening)
        link = house.link(stream.id)
        for note in (await runtime.notes()).values():
            console.print(note, highlight=False, soft_wrap=True)
        console.print(f"Record here (the link works once): {link}", highlight=False, soft_wrap=True)
        if opens_browser:
            await to_thread.run_sync(webbrowser.open, link)
        return await carry(runtime, stream, console)
