"""`ih-mcp forget`: removes streams and uploads for good."""

from __future__ import annotations

import re
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from functools import partial

import anyio
from rich.console import Console

from ih_mcp.app.clean_up import retention_of
from ih_mcp.app.forgetting import Forgotten, forget
from ih_mcp.errors import CallerError
from ih_mcp.journal import Journal, StreamRow, find_end, open_journal
from ih_mcp.settings import Settings
from ih_mcp.streams.ids import match_id

from .console import shown
from .labels import label_of, require_label
from .options import add_local
from .progress import doing

_UNITS = {"m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}
_AGE = re.compile(r"(\d{1,6}(?:\.\d+)?)([mhdw])")
_NOT_REACHED = (
    "Not reached: what the service, MCP hosts and their models received; files that you saved "
    "elsewhere; a mirror folder that IH_MCP_MIRROR_DIR does not name now; backups and snapshots "
    "of the disk."
)
_AGE_UNKNOWN = (
    "stays: it ended while this computer's clock was wrong, so its age is not known. "
    "Name it to remove it."
)
_COPY_LEFT = (
    "A copy of the messages may be left in the journal's files: {}. It is gone when all processes "
    "that use the folder have ended and `ih-mcp forget` has removed another stream."
)


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        "Remove streams and uploads for good: their messages from every file of the data folder, "
        "their pictures, exports and mirror files. Live streams are never removed. Minutes that "
        "were used stay counted, without the ids."
    )
    add_local(parser)
    parser.add_argument(
        "ids", metavar="STREAM", nargs="*", help="ids, or their beginnings, as `list` shows them"
    )
    parser.add_argument(
        "--older", metavar="AGE", type=_read_age, help="all that ended longer ago: 7d, 12h, 30m"
    )
    parser.add_argument("--label", metavar="LABEL", help="all with exactly this label")
    parser.add_argument("--dry-run", action="store_true", help="show them and remove nothing")


def run(options: Namespace, settings: Settings) -> int:
    """Forget what is named; gives 0 only if nothing of it is left here.

    Raises:
        CallerError: Nothing is named, a stream is live, or nothing has that label.
    """
    is_filtered = options.older is not None or options.label is not None
    if bool(options.ids) == is_filtered:
        raise CallerError(
            "forget needs ids, or --older and --label, and not both",
            help="`ih-mcp list` shows what is kept.",
        )
    return anyio.run(partial(_run, options, settings))


async def _run(options: Namespace, settings: Settings) -> int:
    async with open_journal(settings.journal_place, retention_of(settings)) as journal:
        rows, stay = await _find(options, journal)
        for line in stay:
            print(shown(line))
        if options.dry_run:
            print(shown("\n".join([*(row.id for row in rows), f"{len(rows)} would be forgotten"])))
            return 0
        if not rows:
            print("nothing to forget")
            return 0
        async with doing(Console(stderr=True), "removing, and writing what stays anew"):
            forgotten = await forget(journal, settings, rows)
    print(shown(_describe(forgotten)))
    return 1 if forgotten.copy_left or forgotten.kept_files else 0


async def _find(options: Namespace, journal: Journal) -> tuple[Sequence[StreamRow], Sequence[str]]:
    """What is meant, and a line for each stream that is left out."""
    known = {row.id: row for row in await journal.list_streams()}
    if options.ids:
        ids = dict.fromkeys(match_id(given, known) for given in options.ids)
        return [known[each] for each in ids], []
    if options.label is not None:
        require_label(options.label, known.values())
    asked = _filter(options.older, options.label)
    found = [row for row in known.values() if asked(row)]
    by_age = options.older is not None
    reasons = {row.id: _why_it_stays(row, by_age=by_age) for row in found}
    stay = [f"{stream_id} {reason}" for stream_id, reason in reasons.items() if reason]
    return [row for row in found if not reasons[row.id]], stay


def _why_it_stays(row: StreamRow, *, by_age: bool) -> str:
    if row.ended_at is None:
        return "is live and stays"
    if by_age and find_end(row) is None:
        return _AGE_UNKNOWN
    return ""


def _filter(older: float | None, label: str | None) -> Callable[[StreamRow], bool]:
    before = None if older is None else time.time() - older

    def asked(row: StreamRow) -> bool:
        if before is not None and (row.ended_at is None or row.ended_at > before):
            return False
        return label is None or label_of(row) == label

    return asked


def _describe(forgotten: Forgotten) -> str:
    count, files = len(forgotten.ids), forgotten.files
    lines = [
        *forgotten.ids,
        f"forgotten: {count}; pictures, exports and mirror files deleted: {files}",
        *(f"could not be deleted: {each}" for each in forgotten.kept_files),
    ]
    if forgotten.copy_left:
        lines.append(_COPY_LEFT.format(forgotten.copy_left))
    return "\n".join([*lines, _NOT_REACHED])


def _read_age(text: str) -> float:
    found = _AGE.fullmatch(text)
    if not found:
        raise ArgumentTypeError(f"{text!r} is no age; give a number with m, h, d or w, such as 7d")
    return float(found[1]) * _UNITS[found[2]]
