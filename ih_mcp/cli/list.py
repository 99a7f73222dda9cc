"""`ih-mcp list`: the streams and uploads that are kept."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from datetime import UTC, datetime

import anyio
from rich.console import Console

from ih_mcp.app.clean_up import retention_of
from ih_mcp.journal import StreamRow, open_journal
from ih_mcp.settings import Settings
from ih_mcp.streams.ids import shorten_ids
from ih_mcp.streams.status import shown_state
from ih_mcp.wire.minutes import MediaUse, to_minutes

from .console import shown
from .options import add_local
from .progress import READING, doing
from .table import as_table

_HEAD = ("id", "started (UTC)", "state", "minutes", "endpoint", "source", "label")
_KNOWN = ("state", "reason", "endpoint", "source", "label")


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        "Show the streams and uploads that are kept, the newest first. Every command takes these "
        "short ids, or any other beginning that only one id has."
    )
    add_local(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line, whole ids")


def run(options: Namespace, settings: Settings) -> int:
    """Print one line for each stream and upload."""
    print(shown(anyio.run(_run, settings, options.json)))
    return 0


async def _run(settings: Settings, is_json: bool) -> str:
    async with (
        doing(Console(stderr=True), READING),
        open_journal(settings.journal_place, retention_of(settings)) as journal,
    ):
        rows = (await journal.list_streams())[::-1]
        uses = await journal.read_usage(lambda table: table.find_uses(row.id for row in rows))
    if is_json:
        return "\n".join(json.dumps(_to_json(row, uses.get(row.id))) for row in rows)
    if not rows:
        return "nothing is kept"
    short = shorten_ids(row.id for row in rows)
    lines = [_cells(short[row.id], _to_json(row, uses.get(row.id))) for row in rows]
    return as_table([_HEAD, *lines])


def _to_json(row: StreamRow, use: MediaUse | None) -> dict[str, object]:
    record: dict[str, object] = json.loads(row.record)
    known = {name: record.get(name, "") for name in _KNOWN}
    started = datetime.fromtimestamp(row.created_at, UTC).isoformat(timespec="seconds")
    usage = {"usage": use.to_json()} if use else {}
    return {"id": row.id, "started_at": started, **known, "messages": row.last, **usage}


def _cells(short: str, known: Mapping[str, object]) -> tuple[str, ...]:
    usage = known.get("usage")
    seconds = usage.get("delivered_s") if isinstance(usage, Mapping) else None
    return (
        short,
        str(known["started_at"])[:16].replace("T", " "),
        shown_state(known),
        f"{to_minutes(seconds, up=True):.2f}" if isinstance(seconds, int | float) else "",
        str(known["endpoint"]),
        str(known["source"]),
        str(known["label"]),
    )
