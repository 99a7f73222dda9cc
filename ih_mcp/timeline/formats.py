"""The kinds of files a timeline can be drawn into."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Literal, get_args

from anyio import to_thread

from .html import file_page
from .model import Drawing
from .picture_process import draw_in_process

FileKind = Literal["png", "svg", "html"]
"""Kinds of pictures."""
ExportKind = Literal["csv", "parquet", "jsonl", "vtt", "srt", "eaf", "textgrid", "boris"]
"""Kinds of files that other programs read; `exports` writes them, and loads with the first one."""
EXPORT_KINDS: tuple[ExportKind, ...] = get_args(ExportKind)
_ROWS = "one row for each phase of a signal, state of engagement, score and gap"
CONTENTS: Mapping[FileKind | ExportKind, str] = {
    "png": "a picture of the whole timeline",
    "svg": "a picture of the whole timeline, for a browser or a drawing program",
    "html": "a page of the timeline for a browser; it does not hold the video: a person opens the "
    "video's file in the page, which plays it beside the timeline and sends it nowhere",
    "csv": f"a table for a spreadsheet, R or pandas: {_ROWS}",
    "parquet": f"a table for pandas, R or DuckDB: {_ROWS}",
    "jsonl": "a line with the status of the stream, then each message exactly as it came",
    "vtt": "subtitles for a video player (WebVTT): a cue for each phase, state, score and gap",
    "srt": "subtitles for a video player (SRT): the first cue names the source of the "
    "readings, then one for each phase, state, score and gap",
    "eaf": "annotations for ELAN: a tier for each signal, another for its rationales",
    "textgrid": "annotations for Praat: a tier for each signal, another for its rationales",
    "boris": "a project for BORIS: signals are behaviours, phases are state events",
}
"""What a file of each kind holds, for who asked for it."""


async def picture(drawing: Drawing, kind: FileKind) -> bytes:
    """The file's bytes.

    Args:
        kind: The kind of file.

    Raises:
        ConfigurationError: There is nothing to draw it with.
        IhMcpError: It could not be drawn.
    """
    return await FORMATS[kind](drawing)


async def _html(drawing: Drawing) -> bytes:
    return await to_thread.run_sync(lambda: file_page(drawing).encode())


FORMATS: Mapping[FileKind, Callable[[Drawing], Awaitable[bytes]]] = {
    "png": partial(draw_in_process, kind="png"),
    "svg": partial(draw_in_process, kind="svg"),
    "html": _html,
}
