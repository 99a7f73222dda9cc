"""What the doors share in one process: settings, journal, streams, and what is made on first use.

Nothing heavy is imported before it is needed: the WebSocket library, ffmpeg's command builder and
the stand-in's web server load with the first stream, after the first answer.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup, TaskStatus

from ih_mcp.errors import ConfigurationError, PathError
from ih_mcp.journal import Journal, Keeping, open_journal
from ih_mcp.settings import Settings
from ih_mcp.streams.registry import Feed, Registry, open_registry
from ih_mcp.streams.stream import Plan, Stream
from ih_mcp.wire.dialects import dialect
from ih_mcp.wire.messages import Config

if TYPE_CHECKING:  # loaded on first use; see the module's first lines
    from ih_mcp.media.ffmpeg import Ffmpeg
    from ih_mcp.streams.pace import PaceName

CLOSE_SECONDS = 0.7  # a host gives a server 2 s between closing its input and killing it
_LOCAL_KEY = "ih_local_stand_in"
_ORPHANED = {"state": "failed", "reason": "host_stopped"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a caller may say when a stream is opened."""

    api: str | None = None
    config: Config = field(default_factory=Config)
    label: str = ""


class Runtime:
    """The streams of one process and what they need. Use `open_runtime`."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        registry: Registry,
        tasks: TaskGroup,
        *,
        trusted: bool,
    ) -> None:
        self.settings = settings
        self.journal = journal
        self.registry = registry
        self._tasks = tasks
        self._trusted = trusted
        self._making = anyio.Lock()
        self._ffmpeg: Ffmpeg | None = None
        self._standin_url: str | None = None

    # --- streams -------------------------------------------------------------------------------

    async def start_stream(
        self, opening: Opening, *, source: str = "", feed: Feed | None = None
    ) -> Stream:
        """Open a stream on the configured endpoint.

        Raises:
            ConfigurationError: There is no key and the stand-in was not asked for.
            CallerError: The API version or model is not known, or too many streams are live.
        """
        from ih_mcp.net.opener import open_socket  # noqa: PLC0415

        chosen = dialect(opening.api or self.settings.api)
        chosen.model_or_default(opening.config.model)
        key = self.require_key()
        plan = Plan(
            dialect=chosen,
            base_url=self.settings.base_url or await self.standin(),
            endpoint=self.settings.endpoint,
            config=opening.config,
            label=opening.label,
            source=source,
        )
        opener = partial(
            open_socket,
            bearer=key,
            headers={"X-Client-Request-Id": secrets.token_hex(16)},  # docs: stored, never echoed
        )
        return await self.registry.start(plan, opener, feed=feed)

    async def stream_file(self, path: str, opening: Opening, *, pace: PaceName) -> Stream:
        """Send a media file into a new stream, in the background.

        Raises:
            PathError: It is missing, not allowed, or not a regular file.
            MediaError: It is not a video.
        """
        from ih_mcp.media.probe import probe  # noqa: PLC0415
        from ih_mcp.streams.feed import feed  # noqa: PLC0415

        self.require_key()
        source = await self.admit(path)
        ffmpeg = await self.ffmpeg()
        await probe(ffmpeg, source)
        return await self.start_stream(
            opening,
            source=source.name,
            feed=partial(feed, source=source, ffmpeg=ffmpeg, pace=pace),
        )

    async def admit(self, path: str) -> Path:
        """The real path of a file that may be read.

        Raises:
            PathError: It may not, or is not there; says what may.
        """
        from ih_mcp.media.admit import admit  # noqa: PLC0415

        folders = self.settings.folders
        if not folders and self._trusted:  # a person named this very file on the command line
            folders = (await to_thread.run_sync(_folder_of, path),)
        if not folders:
            raise PathError(
                "no folder is allowed to read files from",
                help="Set IH_MCP_MEDIA_DIRS to the folders that hold your videos.",
                code="no_media_dirs",
            )
        return await to_thread.run_sync(partial(admit, path, allowed=folders))

    def require_key(self) -> str:
        """The credential for the endpoint.

        Raises:
            ConfigurationError: There is none; names both ways out.
        """
        if self.settings.is_local:
            return _LOCAL_KEY
        if self.settings.api_key is None:
            raise ConfigurationError(
                "there is no API key",
                code="no_api_key",
                help="Set INTERHUMAN_API_KEY in the server's environment, or try it without a key "
                "against the local stand-in: set IH_MCP_ENDPOINT=local (or start with --local).",
            )
        return self.settings.api_key.get_secret_value()

    # --- made on first use ---------------------------------------------------------------------

    async def ffmpeg(self) -> Ffmpeg:
        """The ffmpeg of this process.

        Raises:
            MediaError: There is none.
        """
        from ih_mcp.media.ffmpeg import find_ffmpeg  # noqa: PLC0415

        async with self._making:
            if self._ffmpeg is None:
                self._ffmpeg = await to_thread.run_sync(find_ffmpeg, self.settings.ffmpeg)
            return self._ffmpeg

    async def standin(self) -> str:
        """The base URL of this process's stand-in, started when first asked for."""
        ffmpeg = await self.ffmpeg()
        async with self._making:
            if self._standin_url is None:
                self._standin_url = await self._tasks.start(_run_standin, ffmpeg)
            return self._standin_url


@contextmanager
def _unwrapped() -> Iterator[None]:
    """Task groups wrap the error of the block they surround; callers want the error itself."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None


def _folder_of(path: str) -> Path:
    return Path(path).expanduser().resolve().parent


async def _run_standin(ffmpeg: Ffmpeg, *, task_status: TaskStatus[str]) -> None:
    from ih_mcp.standin.serve import serve  # noqa: PLC0415

    async with serve(ffmpeg=ffmpeg) as running:
        task_status.started(running.url)
        await anyio.sleep_forever()


@asynccontextmanager
async def open_runtime(settings: Settings, *, trusted: bool = False) -> AsyncIterator[Runtime]:
    """The runtime of a process; on leaving, streams end in order within `CLOSE_SECONDS`.

    Args:
        trusted: Whether files are named by the person at the keyboard, not by an agent.

    Raises:
        JournalError: The data folder cannot be used.
    """
    keeping = Keeping(
        max_bytes=settings.journal_max_bytes,
        max_age_seconds=settings.journal_max_days * 86_400,
        orphaned=_ORPHANED,
    )
    async with AsyncExitStack() as stack:
        stack.enter_context(_unwrapped())
        journal = await stack.enter_async_context(open_journal(settings.data_dir, keeping))
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(journal.tidy)
        async with open_registry(
            journal,
            max_streams=settings.max_streams,
            max_outbox_bytes=settings.max_outbox_bytes,
            close_seconds=CLOSE_SECONDS,
        ) as registry:
            yield Runtime(settings, journal, registry, tasks, trusted=trusted)
        tasks.cancel_scope.cancel()
