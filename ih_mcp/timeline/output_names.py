"""The names of files that are written of streams, so that a person knows them again."""

from __future__ import annotations

import re
from pathlib import PurePath

_OTHERS = re.compile(r"[^\w.-]+")  # what some file system or shell reads as something else
_MAX_CHARS = 60  # chosen: of a label, and of a source; file systems take 255 bytes in all


def output_stem(*, label: str, source: str, short_id: str) -> str:
    """A file's name without its ending: label, source, and the id that is its own.

    Such as `P07-talk-st_3f9a2c71`.
    """
    parts = (_plain(label), _plain(PurePath(source).stem), short_id)
    return "-".join(part for part in parts if part)


def _plain(text: str) -> str:
    return _OTHERS.sub("-", text)[:_MAX_CHARS].strip("-.")
