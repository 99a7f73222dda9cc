"""The kinds of files a timeline can be drawn into."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

from .html import file_page
from .image import draw
from .model import Drawing

FileKind = Literal["png", "svg", "html"]
"""Kinds of pictures; see `exports` for those that other programs read."""


def picture(drawing: Drawing, kind: FileKind) -> bytes:
    """The file's bytes; blocks, for about a second at most.

    Args:
        kind: The kind of file.

    Raises:
        ConfigurationError: There is nothing to draw it with.
    """
    return FORMATS[kind](drawing)


FORMATS: Mapping[FileKind, Callable[[Drawing], bytes]] = {
    "png": partial(draw, kind="png"),
    "svg": partial(draw, kind="svg"),
    "html": lambda drawing: file_page(drawing).encode(),
}
