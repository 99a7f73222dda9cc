"""The page that says what the names in tables and pictures mean, from their table in the code."""

from __future__ import annotations

from itertools import groupby

from ih_mcp.wire.codebook import CODEBOOK, NameMeaning

_HEADS = {
    "signal": (
        "Signals",
        (
            "It is about the person in the picture, or the one who is heard. Its `probability` says how likely it is by a word, `low`, "
            "`medium` or `high` in that order, not a number. Its `rationale` says why, in one or two sentences about what was seen or "
            "heard. `inter-2-audio` has no confusion, disagreement, skepticism or stress. Versions before v1 have other names."
        ),
    ),
    "engagement": (
        "Engagement",
        "There is one state at a time, from its message until the next one. The column `name` has `engagement`, and `state` has the state. v1 lists `engagement` and `disengagement` as signals too.",
    ),
    "quality": (
        "Conversation quality",
        (
            "Scores from 0 to 100 over a stretch of time, if `include` asks for them. They come from the balance of signals that help and "
            "signals that do not; the weights are not published."
        ),
    ),
    "gap": (
        "Gaps",
        (
            "Seconds without readings, or with readings of a part of the media. If they have no signal, that says nothing about the people. "
            "These are words of ih-mcp, not of the service."
        ),
    ),
}


def codebook_page() -> str:
    """One table for each kind."""
    intro = """# Codebook

What the values in the columns `kind` and `name` of [an export](exports.md), and in every picture, mean. Signals, states and dimensions are
Interhuman's. They are described briefly here, following its documentation of 7 May 2026 (social signals, conversation quality); if the two
differ, that documentation counts. A service may send names that are not listed here: they are drawn and exported like the others. Readings of
the stand-in are made up or measured on this machine, whatever their names; `stand_in` and `analyst` say so.
"""
    kinds = groupby(CODEBOOK, key=lambda row: row.kind)
    return "\n".join([intro, *(_section(kind, list(rows)) for kind, rows in kinds)])


def _section(kind: str, rows: list[NameMeaning]) -> str:
    title, text = _HEADS[kind]
    lines = [f"| `{row.name}` | {row.words} |" for row in rows]
    return "\n".join([f"## {title}", "", f"`kind` is `{kind}`. {text}", "", "| name | what it means |",
        "|---|---|", *lines, ""])  # fmt: skip
