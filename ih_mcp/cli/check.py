"""`ih-mcp check [FILE]`: checks the set-up, and a file, for a person."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any

import anyio
from rich.console import Console

from ih_mcp.app.file_check import check_file
from ih_mcp.app.runtime import Runtime, open_runtime
from ih_mcp.app.setup_check import check
from ih_mcp.errors import IhMcpError
from ih_mcp.settings import Settings

from .console import shown
from .options import add_local
from .progress import doing


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        "Check key, endpoint, ffmpeg, folders and journal one by one, and say how to fix what is "
        "wrong. Nothing is sent to be analysed."
    )
    add_local(parser)
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        help="a file: would it work, and what is in it?",
    )
    parser.set_defaults(show_error=_show_error)


def run(options: Namespace, settings: Settings) -> int:
    """Print the state of the set-up; gives 0 if all is well, else 1."""
    return _show(anyio.run(_check, settings, options.file))


def _show(found: Mapping[str, object]) -> int:
    """Print the state of each part and the steps that help; gives the exit code."""
    for name, value in found.items():
        if name not in {"ok", "fixes", "mend"}:
            print(shown(f"{name:12} {_to_text(value)}"))
    fixes = found["fixes"]
    assert isinstance(fixes, list)
    for step in fixes:
        print(shown(f"  -> {step}"))
    print("all is well" if not fixes else "not ready yet")
    return 0 if not fixes else 1


def _show_error(error: IhMcpError) -> int:
    """Show an error that stops the check itself as one more thing that was found."""
    return _show({"setup": f"problem: {error.what}", "fixes": [error.help or error.what]})


async def _check(settings: Settings, file: str | None) -> Mapping[str, object]:
    console = Console(stderr=True)
    async with open_runtime(settings, trusted=True) as runtime:
        async with doing(console, "checking the set-up"):
            found = await check(runtime)
        if file is None:
            return found
        async with doing(console, "reading the file"):
            return found | await _check_file(runtime, file, found)


async def _check_file(
    runtime: Runtime, file: str, setup: Mapping[str, object]
) -> dict[str, object]:
    fixes = setup["fixes"]
    assert isinstance(fixes, list)
    try:
        return {"file": _describe_file(await check_file(runtime, file))}
    except IhMcpError as exc:
        return {"file": f"problem: {exc.what}", "fixes": [*fixes, exc.help]}


def _describe_file(found: Mapping[str, Any]) -> str:
    """What a file is, in one line."""
    needed = found["minutes"]["needed"]
    length = f"{found['duration_s']:.1f} s, {needed:g} minutes of media."
    judged = [
        f"{command} with {api} {verdict};"
        for command, verdicts in (
            ("stream", found["stream_file"]),
            ("analyze", found["analyze_file"]),
        )
        for api, verdict in verdicts.items()
        if verdict != "takes it"
    ]
    return " ".join([f"{found['media']}.", length, *judged, *found["notes"]])


def _to_text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_to_text(each)}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(_to_text, value))
    return f"{value:,}" if isinstance(value, int) else str(value)
