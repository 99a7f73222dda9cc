"""`ih-mcp timeline`: draws a stream's timeline into a file."""

from __future__ import annotations

import re
import webbrowser
from argparse import ArgumentParser, ArgumentTypeError, Namespace
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
from ih_mcp.timeline.model import Drawing, read_timeline
from ih_mcp.timeline.output_names import output_stem
from ih_mcp.timeline.rows import clock, part_of, shown_part

from .console import print_line, shown
from .options import add_local, add_stream_id
from .progress import ReadProgress, showing
from .stream_ids import find_stream_id


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        "Draw a stream's timeline into one file that can be mailed (.html), or into a picture "
        "(.png, .svg: need ih-mcp[pictures]). Readers can zoom a page; for a picture, --from and "
        "--to choose a part."
    )
    add_local(parser)
    add_stream_id(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="default: LABEL-SOURCE-STREAM.html")
    for name, start in (("--from", "begins"), ("--to", "ends")):
        parser.add_argument(
            name,
            dest=f"{start}_seconds",
            metavar="TIME",
            type=_read_time,
            help=f"where a picture {start}: 90, 1:30 or 1:02:30",
        )
    parser.add_argument("--open", action="store_true", help="open the file in the browser")


def run(options: Namespace, settings: Settings) -> int:
    """Draw a stream into a file; its ending says which kind."""
    part = (options.begins_seconds, options.ends_seconds)
    path = anyio.run(_run, settings, options.stream_id, options.output, part)
    print(shown(str(path)))
    if options.open and not webbrowser.open(path.resolve().as_uri()):
        print_line(Console(stderr=True), "No browser was found to open it with.")
    return 0


def _read_time(text: str) -> float:
    if not _TIME.fullmatch(text):
        raise ArgumentTypeError(f"{text!r} is no media time; give one such as 1:30 or 1:02:30")
    return sum(float(part) * 60.0**power for power, part in enumerate(reversed(text.split(":"))))


_TIME = re.compile(r"(\d{1,3}:)?(\d{1,5}:)?\d{1,6}(\.\d{1,3})?")


def _part(drawing: Drawing, start: float | None, end: float | None) -> Drawing:
    """The drawing, or the part that was asked for.

    Raises:
        CallerError: There is no such part.
    """
    if start is None and end is None:
        return drawing
    _, whole = shown_part(drawing)
    begins, ends = start or 0.0, whole if end is None else min(end, whole)
    if not begins < ends:
        raise CallerError(
            f"there is no media from {clock(begins)} to {clock(whole if end is None else end)}",
            help=f"The stream has {clock(whole)} of it; --from comes before --to.",
        )
    return part_of(drawing, begins, ends)


async def _run(
    settings: Settings,
    stream_id: str | None,
    output: str | None,
    part: tuple[float | None, float | None],
) -> Path:
    async with open_journal(settings.journal_place, retention_of(settings)) as journal:
        stream_id = await find_stream_id(journal, stream_id)
        path = Path(output or await _default_name(journal, stream_id))
        kind = next((name for name in FORMATS if path.suffix.lower() == f".{name}"), None)
        if kind is None:
            raise CallerError(
                f"{path.name} does not say which kind of picture it is",
                help=f"Let its name end in one of {', '.join(f'.{name}' for name in FORMATS)}.",
            )
        if kind == "html" and part != (None, None):
            raise CallerError(
                "--from and --to are of pictures; a page shows any part",
                help="Name a file that ends in .png or .svg, or zoom in the page.",
            )
        reading = ReadProgress(then="drawing")
        async with showing(Console(stderr=True), reading.step):
            drawing = await read_timeline(journal, stream_id, on_read=reading.note)
            data = await picture(_part(drawing, *part), kind)
        try:
            await to_thread.run_sync(write_private, path, data)
        except OSError as exc:
            raise CallerError(f"{path} cannot be written: {exc.strerror}") from exc
        return path


async def _default_name(journal: Journal, stream_id: str) -> str:
    status, short_id = await read_status(journal, stream_id), shorten_ids([stream_id])[stream_id]
    return f"{output_stem(label=status.label, source=status.source, short_id=short_id)}.html"
