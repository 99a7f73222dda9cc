"""`ih-mcp standin`: the stand-in alone."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread

from ih_mcp.app.ffmpeg import the_ffmpeg
from ih_mcp.errors import ConfigurationError
from ih_mcp.settings import Settings
from ih_mcp.standin.analyst_selection import choose_analyst
from ih_mcp.standin.faults.script import Script
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import serve

from .console import HarmlessFormatter


def run(
    settings: Settings,
    *,
    port: int,
    record: str | None,
    script: str | None,
    is_strict: bool,
    has_feedback: bool,
    analysis_speed: float | None,
) -> int:
    """Serve until interrupted; the first line on stdout is the base URL.

    Raises:
        ConfigurationError: It cannot listen there, or cannot write its record.
    """
    options = Options(
        strict=is_strict,
        has_feedback=has_feedback,
        analysis_speed=analysis_speed,
        sheds=analysis_speed is not None,
        record_path=Path(record) if record else None,
        script=Script.load(Path(script)) if script else Script(),
    )
    handler = logging.StreamHandler()
    handler.setFormatter(HarmlessFormatter())
    logging.getLogger().addHandler(handler)  # what clients say stands in what is logged
    try:
        anyio.run(_serve, settings, options, port)
    except BrokenPipeError:
        raise
    except OSError as exc:  # the port is taken, or the record cannot be written
        raise ConfigurationError(
            f"the stand-in cannot run: {exc}", help="Name another --port or --record."
        ) from exc
    return 0


async def _serve(settings: Settings, options: Options, port: int) -> None:
    ffmpeg = await to_thread.run_sync(the_ffmpeg, settings)
    choose = partial(choose_analyst, settings.analyst, scenario=settings.scenario)
    analyst = await to_thread.run_sync(choose)
    options = replace(options, analyst=analyst.make)
    async with serve(options, ffmpeg=ffmpeg, port=port) as running:
        print(running.url, flush=True)
        print(
            f"ih-mcp stand-in: speaks the API of Interhuman, and is not it. {analyst.description} "
            "Ctrl+C ends it.",
            file=sys.stderr,
        )
        await anyio.sleep_forever()
