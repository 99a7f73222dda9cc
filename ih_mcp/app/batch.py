"""All media files of a folder, a stream each, some at a time; what is done already is not sent.

The journal is what a batch remembers. Each of its streams is kept with the fingerprint of the
file's bytes and of the options that change its readings. A file is skipped where a stream of its
fingerprint ended in order, in whichever batch; what was under way when a process was killed or
stopped has no such stream, and is sent from its beginning.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread

from ih_mcp.errors import IhMcpError, join_help
from ih_mcp.files import open_file
from ih_mcp.journal import StreamRow, follow
from ih_mcp.media.file_names import sounds_like_media
from ih_mcp.streams.ids import IdKind
from ih_mcp.streams.kept_status import kept_status, read_status
from ih_mcp.streams.pacing import PaceName
from ih_mcp.streams.status import StreamStatus
from ih_mcp.streams.stream import Stream
from ih_mcp.timeline.model import read_timeline
from ih_mcp.timeline.summary import not_analysed_seconds, summarise
from ih_mcp.wire.endings import EndReason

from .file_check import check_file
from .minutes import ConsentChannel
from .runtime import Runtime, StreamOptions

_PAGE, _PAGE_CHARS = 1000, 4_000_000
_BLOCK_BYTES = 1 << 20
_NO_MEDIA = {"not_media", "empty_file"}


class ItemState(StrEnum):
    """What became of a file."""

    WAITING = "waiting"
    SENDING = "sending"
    DONE = "done"
    SKIPPED = "skipped"
    """A stream of the same bytes and options ended in order before."""
    FAILED = "failed"
    STOPPED = "stopped"
    """Its stream was stopped before the end of the file."""


@dataclass(slots=True)
class BatchItem:
    """One file of a batch."""

    name: str
    """Its path in the folder."""
    path: Path
    seconds: float = 0.0
    fingerprint: str = ""
    state: ItemState = ItemState.WAITING
    stream_id: str = ""
    found: str = ""
    """What was found, as a sentence."""
    not_analysed_seconds: float | None = None
    """None where it is not known: nothing has looked at a stream of it."""
    notes: tuple[str, ...] = ()
    """What readers of the results should know, as sentences; of the file until it has a stream."""
    label: str = ""
    """Of its stream."""
    error: str = ""
    outputs: tuple[str, ...] = ()
    """Files that were written, as paths in the output folder."""
    stream: Stream | None = None

    @property
    def sent_seconds(self) -> float:
        """How much of it is done with."""
        if self.state is ItemState.SENDING:
            return min(self.stream.sent_seconds, self.seconds) if self.stream else 0.0
        return 0.0 if self.state is ItemState.WAITING else self.seconds


class FolderBatch:
    """The files of one folder; `prepare`, then `run`.

    Args:
        opening: How each stream is opened.
        channel: Where permissions are asked for.
        write: Called with each file that ended in order; writes its outputs and gives their names.
            It may fail with an `IhMcpError`.
        report: Called whenever a file is done with.
    """

    def __init__(
        self,
        runtime: Runtime,
        opening: StreamOptions,
        *,
        pace: PaceName,
        channel: ConsentChannel,
        write: Callable[[BatchItem], Awaitable[tuple[str, ...]]],
        report: Callable[[Sequence[BatchItem]], None],
    ) -> None:
        self._runtime = runtime
        self._opening = opening
        self._pace = pace
        self._channel = channel
        self._write = write
        self._report = report
        self.items: list[BatchItem] = []
        self.others = 0
        """How many files of the folder are no media."""
        self.is_stopping = False

    async def prepare(self, files: Sequence[tuple[str, Path]]) -> None:
        """Look at each file: its length, its fingerprint, and whether it is done already."""
        done = await self._streams_in_order()
        options = await self._options()
        for name, path in files:
            item = BatchItem(name, path)
            try:
                facts = await check_file(self._runtime, str(path))
                digest = await to_thread.run_sync(_hash_file, path)
            except IhMcpError as exc:
                if exc.code in _NO_MEDIA and not sounds_like_media(path.name):
                    self.others += 1
                    continue
                item.state, item.error = ItemState.FAILED, join_help(exc.what, exc.help)
            else:
                item.seconds = float(str(facts["duration_s"]))
                item.notes = _texts(facts["notes"])
                item.fingerprint = _fingerprint(digest, options)
                self._skip_where_done(item, done)
            self.items.append(item)

    def _skip_where_done(self, item: BatchItem, done: dict[str, str]) -> None:
        """Mark a file as skipped if its bytes were sent with these options, or will be."""
        if item.fingerprint in done:
            item.state, item.stream_id = ItemState.SKIPPED, done[item.fingerprint]
        done.setdefault(item.fingerprint, "")  # of two copies in the folder, one is sent

    async def run(self, jobs: int) -> None:
        """Send what is not done, `jobs` at a time; the failure of one stops no other."""
        limiter = anyio.CapacityLimiter(jobs)
        copies = [item for item in self.items if self._is_copy(item)]
        for item in self.items:
            if item.state is ItemState.SKIPPED and item not in copies:
                await self._conclude(item)
        async with anyio.create_task_group() as tasks:
            for item in self.items:
                if item.state is ItemState.WAITING:
                    tasks.start_soon(self._carry, item, limiter)
        sent = {item.fingerprint: item.stream_id for item in self.items if not self._is_copy(item)}
        for item in copies:
            item.stream_id = sent.get(item.fingerprint, "")
            await self._conclude(item)
        await self._tell()

    def stop(self) -> bool:
        """Begin no other file, and end the streams in order; gives False from the second time."""
        is_first, self.is_stopping = not self.is_stopping, True
        for item in self.items:
            if item.stream and not item.stream.is_over:
                item.stream.request_end()
        return is_first

    @staticmethod
    def _is_copy(item: BatchItem) -> bool:
        return item.state is ItemState.SKIPPED and not item.stream_id

    async def _carry(self, item: BatchItem, limiter: anyio.CapacityLimiter) -> None:
        async with limiter:
            if self.is_stopping:
                return
            item.state = ItemState.SENDING
            opening = replace(self._opening, fingerprint=item.fingerprint)
            try:
                stream = await self._runtime.stream_file(
                    str(item.path), opening, pace=self._pace, channel=self._channel
                )
                item.stream, item.stream_id = stream, stream.id
                self._end_if_stopping(stream)
                await self._read_to_end(stream.id)
            except IhMcpError as exc:
                item.state, item.error = ItemState.FAILED, join_help(exc.what, exc.help)
            else:
                await self._judge(item)
            await self._tell()  # before the next one begins

    def _end_if_stopping(self, stream: Stream) -> None:
        if self.is_stopping:  # it was asked for while the stream began
            stream.request_end()

    async def _read_to_end(self, stream_id: str) -> None:
        pages = follow(self._runtime.journal, stream_id, limit=_PAGE, max_chars=_PAGE_CHARS)
        async with aclosing(pages) as following:
            async for _ in following:
                pass

    async def _judge(self, item: BatchItem) -> None:
        """Say what became of a stream that is over."""
        status = await read_status(self._runtime.journal, item.stream_id)
        if _is_in_order(status):
            item.state = ItemState.DONE
        elif status.reason == EndReason.STOPPED:
            item.state = ItemState.STOPPED
        else:
            item.state = ItemState.FAILED
            error = status.error or {}
            what, helps = error.get("what", status.reason), error.get("help", "")
            item.error = join_help(str(what), str(helps))
        await self._conclude(item)

    async def _conclude(self, item: BatchItem) -> None:
        """Sum up the stream of a file and write its outputs, if it has one."""
        if not item.stream_id:
            return
        drawing = await read_timeline(self._runtime.journal, item.stream_id)
        item.found = summarise(drawing)
        item.not_analysed_seconds = not_analysed_seconds(drawing)
        item.notes, item.label = _texts(drawing["notes"]), str(drawing["label"])
        if item.state in {ItemState.DONE, ItemState.SKIPPED}:
            try:
                item.outputs = await self._write(item)
            except IhMcpError as exc:
                item.error = join_help(exc.what, exc.help)

    async def _tell(self) -> None:
        await to_thread.run_sync(self._report, tuple(self.items))

    async def _streams_in_order(self) -> dict[str, str]:
        """The newest stream that ended in order, of each fingerprint."""
        rows = await self._runtime.journal.list_streams()
        return await to_thread.run_sync(partial(_in_order_by_fingerprint, rows))

    async def _options(self) -> dict[str, object]:
        """What changes the readings of a file, besides its bytes."""
        settings, config = self._runtime.settings, self._opening.config
        scenario = settings.scenario
        return {
            "endpoint": settings.endpoint,
            "api": self._opening.api or settings.api,
            "model": config.model,
            "include": sorted(config.include or ()),
            "goals": sorted(config.goal_dimensions or ()),
            "pace": self._pace.value,
            "analyst": (await self._runtime.analyst()).name if settings.is_local else "",
            "scenario": await to_thread.run_sync(_hash_file, scenario) if scenario else "",
        }


def _texts(found: object) -> tuple[str, ...]:
    assert isinstance(found, list)
    return tuple(map(str, found))


def find_files(folder: Path, *, beside: Path) -> list[tuple[str, Path]]:
    """All files of a folder and of those in it, sorted, each with its path in the folder.

    Hidden ones and links are left out, and so is the output folder. Touches the disk.
    """
    folder = folder.absolute()  # no path of these begins like a URI, or with a user's name
    found: list[tuple[str, Path]] = []
    for place, folders, names in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and Path(place, name).resolve() != beside.resolve()
        ]
        for name in names:
            path = Path(place, name)
            if not name.startswith(".") and path.is_file() and not path.is_symlink():
                found.append((path.relative_to(folder).as_posix(), path))
    return sorted(found)


def _in_order_by_fingerprint(rows: Sequence[StreamRow]) -> dict[str, str]:
    return dict(_fingerprints(rows))


def _fingerprints(rows: Sequence[StreamRow]) -> Iterator[tuple[str, str]]:
    for row in rows:
        if not IdKind.STREAM.has(row.id):
            continue
        status = kept_status(row)
        if status.fingerprint and _is_in_order(status):
            yield status.fingerprint, row.id


def _is_in_order(status: StreamStatus) -> bool:
    """Whether all of a file was sent and answered."""
    return (
        status.state == "ended" and status.reason == EndReason.END_OF_FILE and status.lost is None
    )


def _fingerprint(digest: str, options: dict[str, object]) -> str:
    text = json.dumps([digest, options], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _hash_file(path: Path) -> str:
    descriptor, _ = open_file(path.resolve())
    with os.fdopen(descriptor, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
