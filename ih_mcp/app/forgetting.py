"""Forgets streams and uploads: what the journal has of them, pictures, mirror files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from anyio import to_thread

from ih_mcp.errors import CallerError
from ih_mcp.journal import Journal, StreamRow
from ih_mcp.private_files import delete_half_written
from ih_mcp.settings import Settings

PICTURES = "pictures"
"""The folder of pictures and exports, in the data folder."""
_MOST_BYTES_WHILE_LIVE = 200 * 2**20  # chosen: 1 to 3 s; a commit of others waits 10 s at most
_HALF_WRITTEN_SECONDS = 60.0  # chosen: no picture takes so long


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What was removed."""

    ids: tuple[str, ...]
    files: int
    """How many pictures, exports and mirror files."""
    copy_left: str = ""
    """Why the journal's files may still hold a copy; empty where no byte is left."""
    kept_files: tuple[str, ...] = ()
    """What could not be deleted, each with the reason."""


def require_over(rows: Sequence[StreamRow], journal: Journal) -> None:
    """Check that all streams are over.

    Raises:
        CallerError: One is live (`stream_live`); names the process that has it.
    """
    live = [row for row in rows if row.ended_at is None]
    if live:
        process = journal.process_writing(live[0])
        raise CallerError(
            f"{live[0].id} is still open in {process or 'this process'}",
            code="stream_live",
            help="Nothing was forgotten. End it with end_stream, or end that process; then run "
            "the command again.",
            facts={"live": [row.id for row in live]},
        )


async def _require_quiet(journal: Journal) -> None:
    """Check that writing the file anew takes less time than live streams can wait for it.

    Raises:
        CallerError: It may not (`journal_busy`).
    """
    rows = await journal.list_streams()
    live = [row for row in rows if row.ended_at is None]
    size = sum(row.disk_bytes for row in rows)
    if live and size > _MOST_BYTES_WHILE_LIVE:
        raise CallerError(
            f"the journal holds {size / 2**20:.0f} MiB, and {len(live)} streams are live; to write "
            "it anew would hold them up for too long",
            code="journal_busy",
            retry=True,
            help="Nothing was forgotten. Run the command again when no stream is live.",
        )


async def forget(journal: Journal, settings: Settings, rows: Sequence[StreamRow]) -> Forgotten:
    """Forget streams and uploads that are over.

    Raises:
        CallerError: One of them is live, or others are and the journal is large; all are kept.
        JournalError: The disk refuses it.
    """
    require_over(rows, journal)
    await _require_quiet(journal)
    copy_left = await journal.forget(rows)
    ids = tuple(row.id for row in rows)
    files, kept = await to_thread.run_sync(partial(_delete_files, settings, ids))
    return Forgotten(ids=ids, files=files, copy_left=copy_left, kept_files=kept)


def _delete_files(settings: Settings, ids: Sequence[str]) -> tuple[int, tuple[str, ...]]:
    deleted, kept = 0, []
    for path in _files_of(settings, ids):
        try:
            path.unlink()
            deleted += 1
        except FileNotFoundError:
            continue
        except OSError as exc:
            kept.append(f"{path} ({exc.strerror})")
    with suppress(OSError):  # there may be no such folder
        delete_half_written(settings.data_dir / PICTURES, seconds=_HALF_WRITTEN_SECONDS)
    return deleted, tuple(kept)


def _files_of(settings: Settings, ids: Sequence[str]) -> Iterator[Path]:
    """What ih-mcp named by these ids: pictures and exports of each kind, and mirror files."""
    with suppress(OSError):  # there may be no such folder
        for path in list((settings.data_dir / PICTURES).iterdir()):
            if path.name.partition(".")[0] in ids:
                yield path
    if settings.mirror_dir:
        for each in ids:
            yield settings.mirror_dir / f"{each}.jsonl"
