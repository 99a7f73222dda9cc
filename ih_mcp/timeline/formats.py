"""A drawing as the bytes of a file, of whichever kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from .html import file_page
from .image import draw
from .model import Drawing


def picture(drawing: Drawing, kind: str) -> bytes:
    """The file's bytes; blocks, for about a second at most.

    Args:
        kind: One of `FORMATS`.

    Raises:
        ConfigurationError: There is nothing to draw it with.
    """
    return FORMATS[kind](drawing)


FORMATS: Mapping[str, Callable[[Drawing], bytes]] = {
    "png": partial(draw, kind="png"),
    "svg": partial(draw, kind="svg"),
    "html": lambda drawing: file_page(drawing).encode(),
}
