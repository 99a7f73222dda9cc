"""`ih-mcp check [FILE]`: the set-up, and a file, for a person."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping

import anyio

from ih_mcp.app.runtime import Runtime, open_runtime
from ih_mcp.app.setup_check import check
from ih_mcp.errors import IhMcpError
from ih_mcp.media.ffmpeg.probe import Facts, probe
from ih_mcp.settings import Settings

from .console import shown
from .options import add_local


def add_arguments(parser: ArgumentParser) -> None:
    add_local(parser)
    parser.add_argument("file", metavar="FILE", nargs="?", help="look at this file too")
    parser.set_defaults(show_error=_show_error)


def run(options: Namespace, settings: Settings) -> int:
    """Print what was found; gives 0 if all is well, else 1."""
    return _show(anyio.run(_look, settings, options.file))


def _show(found: Mapping[str, object]) -> int:
    """Print what was found, by part, and the steps of `mend`; gives the exit code."""
    for name, value in found.items():
        if name not in {"ok", "mend"}:
            print(shown(f"{name:12} {_line(value)}"))
    mend = found["mend"]
    assert isinstance(mend, list)
    for step in mend:
        print(shown(f"  -> {step}"))
    print("all is well" if not mend else "not ready yet")
    return 0 if not mend else 1


def _show_error(error: IhMcpError) -> int:
    """Show an error that stops the check itself as one more thing that was found."""
    return _show({"setup": f"problem: {error.what}", "mend": [error.help or error.what]})


async def _look(settings: Settings, file: str | None) -> Mapping[str, object]:
    async with open_runtime(settings, trusted=True) as runtime:
        found = await check(runtime)
        return found if file is None else found | await _look_at(runtime, file, found)


async def _look_at(runtime: Runtime, file: str, setup: Mapping[str, object]) -> dict[str, object]:
    mend = setup["mend"]
    assert isinstance(mend, list)
    try:
        found = await runtime.find_file(file)
        facts = await probe(await runtime.ffmpeg(), found.path)
    except IhMcpError as exc:
        return {"file": f"problem: {exc.what}", "mend": [*mend, exc.help]}
    return {"file": " ".join([_told(facts), *found.notes])}


def _told(facts: Facts) -> str:
    """What a file is, in one line."""
    length = facts.duration_seconds
    parts = [facts.container_name, f"{length:.1f} s" if length is not None else "length unknown"]
    if facts.video:
        parts.append(f"{facts.video.codec} {facts.video.width}x{facts.video.height}")
    if facts.audio:
        parts.append(f"{facts.audio.codec}")
    return " ".join([", ".join(parts) + ".", *facts.notes()])


def _line(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
