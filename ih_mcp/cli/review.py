"""`ih-mcp review`: a stream's timeline beside its video, in the browser."""

from __future__ import annotations

import sys
import tempfile
from argparse import ArgumentParser, Namespace
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread
from rich.console import Console

from ih_mcp.app.clean_up import retention_of
from ih_mcp.app.ffmpeg import find_configured_ffmpeg
from ih_mcp.capture.review_server import VIDEO_PATH, open_review_server
from ih_mcp.errors import unwrap_single_error
from ih_mcp.journal import Journal, open_journal
from ih_mcp.media import file_admission
from ih_mcp.media.browser_copy import browser_type, make_browser_copy
from ih_mcp.media.ffmpeg.probe import probe
from ih_mcp.redaction import redact_and_cut
from ih_mcp.settings import Settings
from ih_mcp.timeline.html import file_page
from ih_mcp.timeline.model import read_timeline

from .browser import in_browser
from .console import print_line
from .options import add_local, add_stream_id
from .progress import ProgressStep, ReadProgress, doing, showing
from .stream_ids import find_stream_id, find_stream_of_file


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        "Serve a stream's timeline with its video beside it, to this machine alone. A video that "
        "browsers cannot play (HEVC, MKV, AVI, TS) is copied into one they can; the copy is "
        "removed at the end."
    )
    add_local(parser)
    add_stream_id(parser, default="the newest stream of the file")
    parser.add_argument("file", metavar="FILE", help="the video the stream is of")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def run(options: Namespace, settings: Settings) -> int:
    """Serve the page until interrupted."""
    with unwrap_single_error():
        anyio.run(_run, settings, options)
    return 0


async def _run(settings: Settings, options: Namespace) -> None:
    console = Console(stderr=True)
    async with AsyncExitStack() as stack:
        find = partial(file_admission.find, options.file, allowed=None)
        admitted = await to_thread.run_sync(find)
        for note in admitted.notes:
            print_line(console, note)
        journal = await stack.enter_async_context(
            open_journal(settings.journal_place, retention_of(settings))
        )
        name = redact_and_cut(admitted.path.name)  # as the status names it
        stream_id = await _find_stream(console, journal, options.stream_id, name)
        reading = ReadProgress(then="drawing")
        async with showing(console, reading.step):
            drawing = await read_timeline(journal, stream_id, on_read=reading.note)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ih-mcp-review-")))
        video, mime_type = await _playable(settings, admitted, folder)
        page = await to_thread.run_sync(file_page, drawing, VIDEO_PATH, name)
        address = await stack.enter_async_context(open_review_server(page, video, mime_type))
        print(address, flush=True)
        print("Open this address on this machine. Ctrl+C ends the page.", file=sys.stderr)
        if options.open:
            await stack.enter_async_context(in_browser(address, folder=folder))
        await anyio.sleep_forever()


async def _find_stream(console: Console, journal: Journal, given: str | None, name: str) -> str:
    """The stream that is named, else the newest of the file; warns where there is none of it."""
    if given is not None:
        return await find_stream_id(journal, given)
    stream_id, warning = await find_stream_of_file(journal, name)
    if warning:
        print_line(console, warning)
    return stream_id


async def _playable(
    settings: Settings, admitted: file_admission.Admitted, folder: Path
) -> tuple[Path, str]:
    """A video that browsers play, and its type."""
    ffmpeg = await to_thread.run_sync(find_configured_ffmpeg, settings)
    async with doing(Console(stderr=True), "reading the file"):
        facts = await probe(ffmpeg, admitted.path)
    if mime_type := browser_type(facts):
        return admitted.path, mime_type
    copy, done = folder / "video.mp4", _CopyProgress(facts.duration_seconds)
    async with showing(Console(stderr=True), done.step):
        await make_browser_copy(ffmpeg, admitted.path, facts, copy, done.note)
    return copy, "video/mp4"


class _CopyProgress:
    """How much of the video has been copied."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._done = 0.0

    def note(self, seconds: float) -> None:
        self._done = seconds

    def step(self) -> ProgressStep:
        share = min(1.0, self._done / self._seconds) if self._seconds else None
        return ProgressStep("making a copy that browsers play", share)
