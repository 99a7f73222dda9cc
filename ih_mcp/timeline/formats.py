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
