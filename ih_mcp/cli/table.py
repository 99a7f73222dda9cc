"""Lines of cells, as a table for people."""

from __future__ import annotations

from collections.abc import Sequence


def as_table(lines: Sequence[Sequence[str]]) -> str:
    """The lines with their columns below each other; line breaks in a cell are shown."""
    plain = [[" ".join(cell.split()) for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*plain, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in plain
    )
