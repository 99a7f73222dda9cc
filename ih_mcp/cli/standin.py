"""`ih-mcp standin`: the stand-in alone."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
from anyio import to_thread

from ih_mcp.media.ffmpeg import find_ffmpeg
from ih_mcp.settings import Settings
from ih_mcp.standin.options import Options
from ih_mcp.standin.script import Script
from ih_mcp.standin.serve import serve


def run(settings: Settings, *, port: int, record: str | None, script: str | None) -> int:
    """Serve until interrupted; the first line on stdout is the base URL."""
    anyio.run(_serve, settings, port, record, script)
    return 0


async def _serve(settings: Settings, port: int, record: str | None, script: str | None) -> None:
    ffmpeg = await to_thread.run_sync(find_ffmpeg, settings.ffmpeg)
    options = Options(
        record_path=Path(record) if record else None,
        script=await to_thread.run_sync(Script.load, Path(script)) if script else Script(),
    )
    async with serve(options, ffmpeg=ffmpeg, port=port) as running:
        print(running.url, flush=True)
        print(
            "ih-mcp stand-in: speaks the API of Interhuman and measures nothing. Ctrl+C ends it.",
            file=sys.stderr,
        )
        await anyio.sleep_forever()
