"""`ih-mcp usage`: how much media was sent and analysed, from the journal."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from itertools import groupby

import anyio
from rich.console import Console

from ih_mcp.app.minutes import MinutesAdviser
from ih_mcp.journal import UsageRow, open_journal
from ih_mcp.settings import Settings
from ih_mcp.wire.minutes import MediaUse, sum_use, to_minutes

from .console import shown
from .options import add_local
from .progress import READING, doing
from .table import as_table

_HEAD = (
    "endpoint", "streams", "minutes delivered", "min. analysed", "min. dropped", "min. unknown",
)  # fmt: skip


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        "Show how many minutes of media all processes of the data folder sent, and what became of "
        "them. The service bills what it analysed; `unknown` minutes have no known outcome, and "
        "may be billed. Minutes of the endpoint `local` cost nothing."
    )
    add_local(parser)
    parser.add_argument(
        "--since", metavar="DATE", type=_read_day, help="from this day on: 2026-11-01"
    )
    parser.add_argument("--by-day", action="store_true", help="a line for each day (of UTC)")
    parser.add_argument("--json", action="store_true", help="one JSON object, in seconds")


def _read_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no day; give one such as 2026-11-01") from None


def run(options: Namespace, settings: Settings) -> int:
    """Print the minutes that were used."""
    print(shown(anyio.run(_run, options, settings)))
    return 0


async def _run(options: Namespace, settings: Settings) -> str:
    async with (
        doing(Console(stderr=True), READING),
        open_journal(settings.journal_place) as journal,
    ):
        since = options.since.isoformat() if options.since else ""
        rows = await journal.read_usage(lambda table: table.read_days(since))
        left = await MinutesAdviser(settings, journal).left()
    if not options.by_day:
        rows = _without_days(rows)
    return _to_json(rows, left) if options.json else _to_text(rows, left, by_day=options.by_day)


def describe_use(use: MediaUse) -> str:
    """What became of the media of one stream, as a sentence."""
    parts = [
        f"{to_minutes(seconds, up=True):g} {name}"
        for seconds, name in (
            (use.analysed_seconds, "analysed"),
            (use.dropped_seconds, "dropped"),
            (use.unknown_seconds, "unknown"),
        )
        if seconds or name == "analysed"
    ]
    return f"Minutes: {to_minutes(use.delivered_seconds, up=True):g} delivered, {', '.join(parts)}."


def _without_days(rows: Sequence[UsageRow]) -> list[UsageRow]:
    """One row for each endpoint."""

    def place(row: UsageRow) -> tuple[bool, str]:
        return row.is_free, row.endpoint

    return [
        replace(
            same[0],
            day="",
            streams=sum(row.streams for row in same),
            use=sum_use(row.use for row in same),
        )
        for _, group in groupby(sorted(rows, key=place), key=place)
        if (same := list(group))
    ]


def _to_json(rows: Sequence[UsageRow], left: float | None) -> str:
    days = [
        ({"day": row.day} if row.day else {})
        | {"endpoint": row.endpoint, "streams": row.streams, **row.use.to_json()}
        for row in rows
    ]
    return json.dumps({"usage": days, "left_today_s": None if left is None else round(left, 3)})


def _to_text(rows: Sequence[UsageRow], left: float | None, *, by_day: bool) -> str:
    head = ("day", *_HEAD) if by_day else _HEAD
    lines = [head, *(_cells(row, by_day=by_day) for row in rows)]
    text = [as_table(lines)]
    if not rows:
        text.append("nothing was sent")
    if left is not None:
        text.append(f"{to_minutes(left, up=False):g} minutes are left today (until 00:00 UTC)")
    return "\n".join(text)


def _cells(row: UsageRow, *, by_day: bool) -> tuple[str, ...]:
    use = row.use
    seconds = (
        use.delivered_seconds,
        use.analysed_seconds,
        use.dropped_seconds,
        use.unknown_seconds,
    )
    cells = (
        row.endpoint,
        str(row.streams),
        *(f"{to_minutes(each, up=True):.2f}" for each in seconds),
    )
    return (row.day, *cells) if by_day else cells
