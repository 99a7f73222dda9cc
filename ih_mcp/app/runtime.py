"""What the entry points share in one process: settings, journal, streams, and services.

Nothing heavy is imported before it is needed: the WebSocket library, ffmpeg's command builder and
the stand-in's web server load with the first stream, after the first answer.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
from anyio import CapacityLimiter, to_thread
from anyio.abc import TaskGroup, TaskStatus

from ih_mcp.errors import CallerError, RemoteProtocolError, unwrap_single_error
from ih_mcp.journal import Journal, JournalPlace, open_journal
from ih_mcp.settings import Settings
from ih_mcp.streams.config import CAMERA, StreamConfig
from ih_mcp.streams.registry import Feed, Registry, open_registry
from ih_mcp.streams.stream import Stream
from ih_mcp.streams.uploads import UploadAnalysis, UploadRegistry, UploadRequest, open_analyses
from ih_mcp.wire.dialects import ConfigPlace, find_dialect
from ih_mcp.wire.messages import Config, pcm_format
from ih_mcp.wire.rest import UPLOADS, Token

from .clean_up import retention_of, tidy_forever
from .credentials import LOCAL_KEY, Credentials, MintedToken
from .disk_calls import DiskCalls
from .draining import Draining
from .folders import require_folders
from .minutes import ConsentChannel, MinutesAdviser, MinutesPlan, SilentChannel
from .mirror import Mirror, open_mirror
from .summaries import Summaries
from .version_options import foresee_refusal, require_in_query, require_long, require_taken

if TYPE_CHECKING:  # loaded on first use; see the module's first lines
    from ih_mcp.media.ffmpeg.devices import Input
    from ih_mcp.media.ffmpeg.program import Ffmpeg
    from ih_mcp.media.file_admission import Admitted
    from ih_mcp.net.socket import Opener, Socket
    from ih_mcp.net.token import Credential
    from ih_mcp.standin.analyst_selection import AnalystChoice
    from ih_mcp.standin.options import Options
    from ih_mcp.streams.pacing import PaceName

CLOSE_SECONDS = 0.7  # a host gives a server 2 s between closing its input and killing it
_LOG = logging.getLogger("ih_mcp.tools")
_SILENT = SilentChannel()


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """What a caller may choose when a stream is opened."""

    api: str | None = None
    config: Config = field(default_factory=Config)
    label: str = ""
    fingerprint: str = ""
    """Of a file's bytes and options, by which a batch finds its stream again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamMedia:
    """Where the media of a stream comes from; by default its caller pushes it."""

    source: str = ""
    """The name of the file or camera."""
    seconds: float | None = None
    """The length of that file, where it is known."""
    tracks: tuple[str, ...] = ()
    """Of `audio` and `video`, those of that file."""
    pace: str = ""
    """How fast that file is sent."""
    notes: tuple[str, ...] = ()
    """What the caller should know of it, as sentences."""
    feed: Feed | None = None
    """Puts the media into the stream."""


class Runtime:
    """The streams of one process and what they need. Use `open_runtime`."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        registry: Registry,
        analyses: UploadRegistry,
        mirror: Mirror,
        tasks: TaskGroup,
        *,
        trusted: bool,
    ) -> None:
        self.settings = settings
        self.journal = journal
        self.registry = registry
        self.analyses = analyses
        self.mirror = mirror
        self.summaries = Summaries(journal)
        self._tasks = tasks
        self.is_trusted = trusted
        self._disk_calls = DiskCalls()
        self.drawing = CapacityLimiter(1)
        """For pictures: a slow one holds up no other work in threads."""
        self._making = anyio.Lock()
        self._ffmpeg: Ffmpeg | None = None
        self._standin_url: str | None = None
        self._started: dict[object, object] = {}
        self.credentials = Credentials(settings, self.base_url)
        self.minutes = MinutesAdviser(settings, journal)
        self.draining = Draining(registry, analyses)

    # --- streams -------------------------------------------------------------------------------

    async def start_stream(
        self,
        opening: StreamOptions,
        *,
        media: StreamMedia | None = None,
        channel: ConsentChannel = _SILENT,
    ) -> Stream:
        """Open a stream on the configured endpoint.

        Args:
            media: None where the caller pushes it.
            channel: Where the minutes are announced, and a permission is asked for.

        Raises:
            ConfigurationError: There is no key and the stand-in was not asked for.
            CallerError: The API version, model or a goal is not known, too many streams are live,
                or a permission is needed and was not given.
            UsedUpError: It would exceed a limit of all processes together.
        """
        self.draining.require_not_begun()
        media = media or StreamMedia()
        dialect = find_dialect(opening.api or self.settings.api)
        model = dialect.model_or_default(opening.config.model)
        if dialect.config is ConfigPlace.QUERY:
            require_in_query(dialect, opening.config)
        dialect.require_goals(opening.config.goal_dimensions or ())
        opener = self._opener(await self.credentials.get_credential(dialect.name))
        local = await self.analyst() if self.settings.is_local else None
        minutes = MinutesPlan(name=media.source or "live video", seconds=media.seconds)
        plan = StreamConfig(
            budget=await self.minutes.permit(minutes, channel),
            dialect=dialect,
            base_url=await self.base_url(),
            endpoint=self.settings.endpoint,
            analyst=local.name if local else model or "",
            config=opening.config,
            label=opening.label,
            fingerprint=opening.fingerprint,
            source=media.source,
            source_seconds=media.seconds,
            tracks=media.tracks,
            pace=media.pace,
            notes=(*([local.description] if local else []), *media.notes),
            drops_nothing=self.settings.is_local,
            reconnects=self.settings.reconnect,
            resends=self.settings.resend,
        )
        async with self.draining.starting():
            stream = await self.registry.start(plan, opener, feed=media.feed)
        self.mirror.follow(stream.id)
        return stream

    def _opener(self, credential: Credential) -> Opener:
        from ih_mcp.net.opener import open_socket  # noqa: PLC0415

        by_subprotocol = self.settings.auth == "subprotocol"

        @asynccontextmanager
        async def opener(url: str) -> AsyncIterator[Socket]:
            request_id = {"X-Client-Request-Id": secrets.token_hex(16)}  # docs: stored, not echoed
            async with open_socket(
                url,
                bearer=await credential.bearer(),
                headers=request_id,
                by_subprotocol=by_subprotocol,
                in_one_frame=self.settings.one_frame,
            ) as socket:
                yield socket

        return opener

    async def stream_file(
        self,
        path: str,
        opening: StreamOptions,
        *,
        pace: PaceName,
        channel: ConsentChannel = _SILENT,
    ) -> Stream:
        """Send a media file into a new stream, in the background; see `start_stream`.

        Raises:
            PathError: It is missing, not allowed, or not a regular file.
            MediaError: It is not a video.
        """
        from ih_mcp.media.ffmpeg.probe import probe, require_tracks  # noqa: PLC0415
        from ih_mcp.streams.sources.file import RAW_HERTZ, FileSource, send_file  # noqa: PLC0415

        self.credentials.require()
        found = await self.find_file(path)
        source, ffmpeg = found.path, await self.ffmpeg()
        facts = await probe(ffmpeg, source)
        chosen = find_dialect(opening.api or self.settings.api)
        model = chosen.model_or_default(opening.config.model)
        is_raw = model in chosen.raw_models
        require_tracks(
            facts,
            video=chosen.needs_video and not is_raw,
            audio=chosen.needs_audio,
            file_name=source.name,
            sound_models=chosen.raw_models,
        )
        if is_raw:
            sound_only = replace(opening.config, audio_format=pcm_format(RAW_HERTZ))
            opening = replace(opening, config=sound_only)
        file = FileSource(source, facts, ffmpeg, is_raw=is_raw)
        media = StreamMedia(
            source=source.name,
            seconds=await self.minutes.length_of(ffmpeg, source, facts),
            tracks=tuple(sorted(facts.present)),
            pace=pace.value,
            notes=(*found.notes, *facts.notes()),
            feed=partial(send_file, source=file, pace=pace),
        )
        return await self.start_stream(opening, media=media, channel=channel)

    async def record_camera(
        self,
        opening: StreamOptions,
        inputs: Sequence[Input],
        *,
        max_seconds: float | None = None,
        channel: ConsentChannel = _SILENT,
    ) -> Stream:
        """Record a camera and a microphone into a new stream, in the background.

        Raises:
            ConfigurationError: There is no key and the stand-in was not asked for.
            MediaError: There is no ffmpeg.
        """
        from ih_mcp.streams.sources.camera import CameraSource, send_camera  # noqa: PLC0415

        self.credentials.require()
        camera = CameraSource(inputs=inputs, ffmpeg=await self.ffmpeg(), max_seconds=max_seconds)
        media = StreamMedia(
            source=CAMERA, seconds=max_seconds, feed=partial(send_camera, camera=camera)
        )
        return await self.start_stream(opening, media=media, channel=channel)

    async def find_file(self, path: str) -> Admitted:
        """A file that may be read: of an allowed folder, or the one a person named.

        Raises:
            PathError: It may not, or is not there; says what may.
        """
        from ih_mcp.media import file_admission as admit  # noqa: PLC0415

        folders = None if self.is_trusted else self.settings.folders
        if folders is not None:
            require_folders(self.settings)
        return await self._disk_calls.call(partial(admit.find, path, allowed=folders))

    async def read_segment(self, path: str) -> tuple[bytes, tuple[str, ...]]:
        """A file's bytes as one segment, and notes about its name.

        Raises:
            PathError: As `find_file`.
            MediaError: It is larger than a segment may be, or a text.
        """
        from ih_mcp.media.file_admission import read_admitted, require_no_text  # noqa: PLC0415

        found = await self.find_file(path)
        most = self.settings.max_segment_bytes
        data = await self._disk_calls.call(partial(read_admitted, found.path, max_bytes=most))
        require_no_text(found.path.name, data)
        return data, found.notes

    # --- uploads and tokens --------------------------------------------------------------------

    async def analyze_file(
        self,
        path: str,
        *,
        api: str,
        form: Mapping[str, Any],
        channel: ConsentChannel = _SILENT,
    ) -> UploadAnalysis:
        """Upload a recorded file whole; its analysis goes on in the background.

        Raises:
            PathError: It is missing, not allowed, or not a regular file.
            MediaError: It is no media, too short or too large for an upload.
            CallerError: The version has no upload, or does not know an option; or as
                `start_stream`.
            UsedUpError: It would exceed a limit of all processes together.
        """
        from ih_mcp.media.ffmpeg.probe import probe  # noqa: PLC0415
        from ih_mcp.net.rest import require_uploadable  # noqa: PLC0415

        self.draining.require_not_begun()
        self.credentials.require()
        upload = UPLOADS.get(api)
        if upload is None:
            raise CallerError(f"{api} has no upload here", help=f"Use one of {', '.join(UPLOADS)}.")
        require_taken(upload, form)
        found = await self.find_file(path)
        source = found.path
        require_uploadable(source.name, found.size)
        ffmpeg = await self.ffmpeg()
        facts = await probe(ffmpeg, source)
        if facts.duration_seconds is not None:
            require_long(source.name, facts.duration_seconds)
        seconds = await self.minutes.length_of(ffmpeg, source, facts, must_know=True) or 0.0
        media = MinutesPlan(name=source.name, seconds=seconds)
        local = await self.analyst() if self.settings.is_local else None
        request = UploadRequest(
            seconds=seconds,
            budget=await self.minutes.permit(media, channel),
            upload=upload,
            source=source,
            endpoint=self.settings.endpoint,
            analyst=local.name if local else "",
            size=found.size,
            form=upload.form(**form),
            notes=(
                *([local.description] if local else []),
                *found.notes,
                *foresee_refusal(upload, form.get("model"), facts),
            ),
        )
        base_url = await self.base_url()
        credential = await self.credentials.get_credential(api)
        async with self.draining.starting():
            return await self.analyses.start(request, base_url=base_url, credential=credential)

    async def analysis(self, analysis_id: str) -> dict[str, object]:
        """The status of an upload; see `UploadRegistry.resume`."""

        async def find_service() -> tuple[str, Credential]:
            return await self.base_url(), await self.credentials.get_credential(self.settings.api)

        return await self.analyses.resume(analysis_id, find_service)

    @property
    def auth_path(self) -> str:
        """Where access tokens are minted.

        Raises:
            CallerError: The API version of the settings is not known.
        """
        return find_dialect(self.settings.api).auth_path

    async def mint(self, path: str, body: Mapping[str, object]) -> MintedToken:
        """Ask for a token.

        Raises:
            RemoteProtocolError: There is no token in it.
        """
        from ih_mcp.net.rest import open_rest  # noqa: PLC0415

        async with open_rest(await self.base_url()) as rest:
            reply = await rest.post(path, body)
        Token.from_body(reply.body)
        try:
            return MintedToken(reply.body.decode(), reply.is_stand_in or self.settings.is_local)
        except UnicodeDecodeError:
            raise RemoteProtocolError(
                "a token answer that is not UTF-8",
                help="This is not an answer of this API. Check IH_MCP_ENDPOINT.",
            ) from None

    # --- made on first use ---------------------------------------------------------------------

    async def ffmpeg(self) -> Ffmpeg:
        """The ffmpeg of this process.

        Raises:
            MediaError: There is none.
        """
        from .ffmpeg import find_configured_ffmpeg  # noqa: PLC0415

        async with self._making:
            if self._ffmpeg is None:
                self._ffmpeg = await to_thread.run_sync(find_configured_ffmpeg, self.settings)
            return self._ffmpeg

    async def base_url(self) -> str:
        """Of the service, or of the stand-in where that was asked for."""
        return self.settings.base_url or await self.standin()

    async def analyst(self) -> AnalystChoice:
        """The analyst of the stand-in, and its description.

        Raises:
            ConfigurationError: There is no such analyst, or something of it is missing.
        """
        from ih_mcp.standin.analyst_selection import choose_analyst  # noqa: PLC0415

        settings = self.settings
        choose = partial(choose_analyst, settings.analyst, scenario=settings.scenario)
        return await to_thread.run_sync(choose)

    async def standin(self) -> str:
        """The base URL of this process's stand-in, started when first asked for."""
        from ih_mcp.standin.options import Options  # noqa: PLC0415

        ffmpeg = await self.ffmpeg()
        analyst = await self.analyst()
        async with self._making:
            if self._standin_url is None:
                options = Options(
                    analyst=analyst.make,
                    key=LOCAL_KEY,
                    max_sessions=2 * self.settings.max_streams,  # one ends while the next begins
                )
                self._standin_url = await self._tasks.start(_run_standin, options, ffmpeg)
            return self._standin_url

    async def start_background(self, work: Callable[..., Coroutine[Any, Any, object]]) -> object:
        """Start work in the background; it is cancelled when the runtime closes.

        Gives the value that the work reports by `task_status.started`.
        """
        return await self._tasks.start(work)

    async def start_once(self, work: Callable[..., Coroutine[Any, Any, object]]) -> object:
        """Start `work(runtime)` in the background, once in a process.

        Gives every caller the value that the work reports by `task_status.started`.
        """
        async with self._making:
            if work not in self._started:
                self._started[work] = await self._tasks.start(work, self)
            return self._started[work]

    def provide(self, work: Callable[..., Coroutine[Any, Any, object]], value: object) -> None:
        """Let `start_once` give this value and start nothing."""
        self._started[work] = value


async def _run_standin(options: Options, ffmpeg: Ffmpeg, *, task_status: TaskStatus[str]) -> None:
    from ih_mcp.standin.server.serve import serve  # noqa: PLC0415

    async with serve(options, ffmpeg=ffmpeg) as running:
        task_status.started(running.url)
        await anyio.sleep_forever()


@asynccontextmanager
async def open_runtime(
    settings: Settings, *, trusted: bool = False, place: JournalPlace | None = None
) -> AsyncIterator[Runtime]:
    """The runtime of a process; on leaving, streams end in order within `CLOSE_SECONDS`.

    Args:
        trusted: Whether files are named by the person at the keyboard, not by an agent.
        place: Where the journal is kept, if not where the settings say.

    Raises:
        JournalError: The data folder cannot be used.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(unwrap_single_error())
        opened = open_journal(place or settings.journal_place, retention_of(settings))
        journal = await stack.enter_async_context(opened)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(tidy_forever, journal)
        async with (
            open_analyses(journal) as analyses,
            open_mirror(journal, settings.mirror_dir) as mirror,
            open_registry(
                journal,
                max_streams=settings.max_streams,
                max_outbox_bytes=settings.max_outbox_bytes,
                max_queued_bytes=settings.max_queued_bytes,
                close_seconds=CLOSE_SECONDS,
            ) as registry,
        ):
            yield Runtime(settings, journal, registry, analyses, mirror, tasks, trusted=trusted)
        tasks.cancel_scope.cancel()
