"""Streams that a person names by their label on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterable

from ih_mcp.errors import CallerError
from ih_mcp.journal import StreamRow


def label_of(row: StreamRow) -> str:
    """The label of a stream; empty where it has none."""
    return str(json.loads(row.record).get("label", ""))


def require_label(label: str, rows: Iterable[StreamRow]) -> None:
    """Check that something that is kept has a label, so that a misspelt one is not taken for none.

    Raises:
        CallerError: Nothing has it; names the labels that are kept.
    """
    kept = set(map(label_of, rows))
    if label not in kept:
        known = ", ".join(sorted(repr(each) for each in kept if each)) or "none"
        raise CallerError(
            f"no stream that is kept has the label {label!r}",
            help=f"Labels that are kept: {known}.",
        )
