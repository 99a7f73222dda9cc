"""Each stream's messages in a file as well, for agents that can watch a file.

`<stream_id>.jsonl` grows by what the journal has kept, in the framing of `jsonl`: every message
byte for byte, in order. It is a copy and follows the journal like any other reader: a full disk
stops the copy, is named in the status, and is tried again; the stream goes on. After a kill the
last messages may be missing here; the journal has them.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from ih_mcp.errors import IhMcpError
from ih_mcp.journal import Entry, Journal, follow
from ih_mcp.private_files import open_private

from .jsonl import frame_message

_PAGE = 1000
_PAGE_CHARS = 1_000_000
_GATHER_SECONDS = 0.05  # what comes together is written together
_RETRY_SECONDS = 5.0
_CLOSE_SECONDS = 0.3
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)


@dataclass(slots=True)
class _MirrorFile:
    path: Path
    cursor: int = 0
    problem: str = ""
    done: anyio.Event = field(default_factory=anyio.Event)

    def describe(self, why: str) -> str:
        return (
            f"the file has the messages to cursor {self.cursor} only ({why}); "
            "poll_events still has them all"
        )


class Mirror:
    """The copies this process writes; none where no folder is set. Use `open_mirror`."""

    def __init__(self, journal: Journal, folder: Path | None, tasks: TaskGroup) -> None:
        self._journal = journal
        self._folder = folder
        self._tasks = tasks
        self._copies: dict[str, _MirrorFile] = {}

    def follow(self, stream_id: str) -> None:
        """Copy a stream's messages from its first on, until it is over."""
        if self._folder is None:
            return
        copy = self._copies[stream_id] = _MirrorFile(self._folder / f"{stream_id}.jsonl")
        self._tasks.start_soon(self._follow, stream_id, copy)

    def status_of(self, stream_id: str) -> dict[str, object]:
        """The fields of a status about a stream's copy; empty where there is none."""
        copy = self._copies.get(stream_id)
        if copy is None:
            return {}
        problem = {"mirror_problem": copy.problem} if copy.problem else {}
        return {"mirror": str(copy.path), **problem}

    async def _follow(self, stream_id: str, copy: _MirrorFile) -> None:
        following = follow(self._journal, stream_id, 0, limit=_PAGE, max_chars=_PAGE_CHARS)
        try:
            async with aclosing(following) as pages:
                async for page in pages:
                    if page.entries:
                        await _append_or_wait(copy, page.entries)
                    await anyio.sleep(_GATHER_SECONDS)
        except IhMcpError as exc:  # removed from the journal before it was copied
            copy.problem = copy.describe(exc.what)
        finally:
            copy.done.set()

    async def finish(self) -> None:
        """Wait until every copy is complete, except those whose disk is full."""
        for copy in self._copies.values():
            if not copy.problem:
                await copy.done.wait()


async def _append_or_wait(copy: _MirrorFile, entries: Sequence[Entry]) -> None:
    """Append entries to the copy; a write that fails is tried again until it succeeds."""
    while copy.cursor < entries[-1].cursor:
        try:
            await to_thread.run_sync(_append, copy.path, entries)
        except OSError as exc:
            copy.problem = copy.describe(exc.strerror or str(exc))
            await anyio.sleep(_RETRY_SECONDS)
        else:
            copy.cursor, copy.problem = entries[-1].cursor, ""


def _append(path: Path, entries: Sequence[Entry]) -> None:
    """Add whole messages; where not all fit, none of them stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = b"".join(frame_message(entry.body) for entry in entries)
    descriptor = open_private(path, _FLAGS)
    try:
        size = os.fstat(descriptor).st_size
        try:
            while data:
                data = data[os.write(descriptor, data) :]
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


@asynccontextmanager
async def open_mirror(journal: Journal, folder: Path | None) -> AsyncIterator[Mirror]:
    """The copies of a process. Close it after its streams: then the last messages are in them."""
    async with anyio.create_task_group() as tasks:
        mirror = Mirror(journal, folder, tasks)
        try:
            yield mirror
        finally:
            with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
                await mirror.finish()
            tasks.cancel_scope.cancel()
