"""`ih-mcp standin`: the stand-in alone."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread

from ih_mcp.app.ffmpeg import find_configured_ffmpeg
from ih_mcp.errors import ConfigurationError
from ih_mcp.settings import Settings
from ih_mcp.standin.analyst_selection import choose_analyst
from ih_mcp.standin.faults.script import Script
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import serve


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        "Run a local server that speaks the API. Its readings do not come from Interhuman, and "
        "each of them says so."
    )
    parser.add_argument("--port", type=_port, default=0, help="default: any free port")
    parser.add_argument(
        "--record", metavar="FILE", help="append every text frame it sends to this file"
    )
    parser.add_argument("--script", metavar="FILE", help="faults to play, and when, as JSON")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="accept only what the API's newest documentation allows",
    )
    parser.add_argument("--feedback", action="store_true", help="accept goals on v1 and v2 streams")
    parser.add_argument(
        "--analysis-speed",
        type=_speed,
        metavar="X",
        help="analyse X seconds of video a second, and drop what is too far behind",
    )
    parser.add_argument(
        "--analyst", help="who makes the readings: cues, placeholder, replay, or an installed one"
    )
    parser.add_argument(
        "--scenario",
        metavar="FILE",
        help="what the analyst `replay` plays: JSON lines, or YAML where its name ends in "
        ".yaml or .yml",
    )


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise ArgumentTypeError(f"{text!r} is no number above 0")
    return speed


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) <= 65_535):
        raise ArgumentTypeError(f"{text!r} is no port: 0 to 65535")
    return int(text)


def run(options: Namespace, settings: Settings) -> int:
    """Serve until interrupted; the first line on stdout is the base URL.

    Raises:
        ConfigurationError: It cannot listen there, or cannot write its record.
    """
    standin = Options(
        strict=options.strict,
        has_feedback=options.feedback,
        analysis_speed=options.analysis_speed,
        sheds=options.analysis_speed is not None,
        record_path=Path(options.record) if options.record else None,
        script=Script.load(Path(options.script)) if options.script else Script(),
    )
    try:
        anyio.run(_serve, settings, standin, options.port)
    except BrokenPipeError:
        raise
    except OSError as exc:  # the port is taken, or the record cannot be written
        raise ConfigurationError(
            f"the stand-in cannot run: {exc}", help="Name another --port or --record."
        ) from exc
    return 0


async def _serve(settings: Settings, options: Options, port: int) -> None:
    ffmpeg = await to_thread.run_sync(find_configured_ffmpeg, settings)
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
