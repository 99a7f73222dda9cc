"""`ih-mcp timeline`: draws a stream's timeline into a file."""

from __future__ import annotations

import webbrowser
from argparse import ArgumentParser, Namespace
from pathlib import Path

import anyio
from anyio import to_thread
from rich.console import Console

from ih_mcp.app.clean_up import retention_of
from ih_mcp.errors import CallerError
from ih_mcp.journal import Journal, open_journal
from ih_mcp.private_files import write_private
from ih_mcp.settings import Settings
from ih_mcp.streams.ids import shorten_ids
from ih_mcp.streams.kept_status import read_status
from ih_mcp.timeline.formats import FORMATS, picture
from ih_mcp.timeline.model import read_timeline
from ih_mcp.timeline.output_names import output_stem

from .console import print_line, shown
from .options import add_local, add_stream_id
from .progress import ReadProgress, showing
from .stream_ids import find_stream_id


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        "Draw a stream's timeline into one file that can be mailed (.html), or into a picture "
        "(.png, .svg: need ih-mcp[pictures])."
    )
    add_local(parser)
    add_stream_id(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="default: LABEL-SOURCE-STREAM.html")
    parser.add_argument("--open", action="store_true", help="open the file in the browser")


def run(options: Namespace, settings: Settings) -> int:
    """Draw a stream into a file; its ending says which kind."""
    path = anyio.run(_run, settings, options.stream_id, options.output)
    print(shown(str(path)))
    if options.open and not webbrowser.open(path.resolve().as_uri()):
        print_line(Console(stderr=True), "No browser was found to open it with.")
    return 0


async def _run(settings: Settings, stream_id: str | None, output: str | None) -> Path:
    async with open_journal(settings.journal_place, retention_of(settings)) as journal:
        stream_id = await find_stream_id(journal, stream_id)
        path = Path(output or await _default_name(journal, stream_id))
        kind = next((name for name in FORMATS if path.suffix.lower() == f".{name}"), None)
        if kind is None:
            raise CallerError(
                f"{path.name} does not say which kind of picture it is",
                help=f"Let its name end in one of {', '.join(f'.{name}' for name in FORMATS)}.",
            )
        reading = ReadProgress(then="drawing")
        async with showing(Console(stderr=True), reading.step):
            drawing = await read_timeline(journal, stream_id, on_read=reading.note)
            data = await picture(drawing, kind)
        try:
            await to_thread.run_sync(write_private, path, data)
        except OSError as exc:
            raise CallerError(f"{path} cannot be written: {exc.strerror}") from exc
        return path


async def _default_name(journal: Journal, stream_id: str) -> str:
    status, short_id = await read_status(journal, stream_id), shorten_ids([stream_id])[stream_id]
    return f"{output_stem(label=status.label, source=status.source, short_id=short_id)}.html"
