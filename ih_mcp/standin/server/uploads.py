"""Whole files over HTTP: v1 answers with the result, v2 with a job. docs: upload-analyze."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message

from ih_mcp.errors import MediaError, PathError
from ih_mcp.media.containers.container import container_of
from ih_mcp.standin.analysis.codecs import STRICTLY_TAKEN
from ih_mcp.standin.analysis.placeholder import Placeholder
from ih_mcp.standin.analysis.windows import WindowGrid
from ih_mcp.standin.credential_store import Grant, RefusedError
from ih_mcp.standin.faults.script import At, DelayJob, Refuse, select_actions
from ih_mcp.standin.sessions.setup import AUDIO_MODEL, AUDIO_SIGNALS
from ih_mcp.standin.uploads.files import FileAnalysis, analyse_file, temporary_folder
from ih_mcp.standin.uploads.jobs import JobError
from ih_mcp.standin.uploads.results import make_v0_upload, make_v1_upload, make_v2_upload
from ih_mcp.wire.dialects import DIALECTS
from ih_mcp.wire.rest import (
    MIN_VIDEO_SECONDS,
    UNDECODED_PICTURES,
    UPLOAD_SCOPE,
    UPLOADS,
    V0_UPLOAD,
    UploadVersion,
)

from .state import StandinState, bearer_credential, make_error_body

logger = logging.getLogger(__name__)

_UNSERVED_MODEL = "inter-2-deep"  # sdk 1.1.0: known, not served
_VIDEO_CONTAINERS = frozenset({"mov", "avi", "matroska", "mpegts"})  # docs; as ffmpeg names them
_AUDIO_CONTAINERS = frozenset({"wav", "flac", "mp3", "mov", "ogg", "matroska"})  # skill: v2 upload
_COPY_BYTES = 1 << 18
_HEAD_BYTES = 1 << 10
_FORM_BYTES = 1 << 20  # chosen: for what is around the file
_OF_THE_FILE = (MediaError, PathError)  # every way in which a file can be found bad


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReceivedUpload:
    """What one upload asks for, with its file on the disk."""

    path: Path
    grant: Grant
    model: str | None
    include: tuple[str, ...]
    goals: tuple[str, ...]
    has_context: bool
    wait_seconds: int

    @property
    def hears_only(self) -> bool:
        return self.model == AUDIO_MODEL


async def analyze_v0(request: Request) -> Response:
    """`POST /v0/upload/analyze`: answers with the signals."""
    _, seen = await _analyse_at_once(request, V0_UPLOAD)
    return JSONResponse(make_v0_upload(seen, DIALECTS["v0"]))


async def analyze_v1(request: Request) -> Response:
    """`POST /v1/upload/analyze`: answers with the result."""
    upload_request, seen = await _analyse_at_once(request, UPLOADS["v1"])
    return JSONResponse(
        make_v1_upload(
            seen,
            DIALECTS["v1"],
            include=upload_request.include,
            goals=upload_request.goals,
            has_context=upload_request.has_context,
        )
    )


async def _analyse_at_once(
    request: Request, upload: UploadVersion
) -> tuple[_ReceivedUpload, FileAnalysis]:
    """Receive a file and analyse it in the windows of a stream, while the client waits."""
    state: StandinState = request.app.state.standin
    options = state.options
    grid = WindowGrid(window_seconds=options.window_seconds, hop_seconds=options.hop_seconds)
    async with _hold_folder(state) as place:
        upload_request = await _receive_upload(request, upload, place)
        try:
            return upload_request, await _analyse(state, request, upload_request, grid)
        except _OF_THE_FILE as exc:
            raise RefusedError("ih5002", exc.what) from exc


async def analyze_v2(request: Request) -> Response:
    """`POST /v2/upload/analyze`: checks the file and answers with a job."""
    state: StandinState = request.app.state.standin
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(_hold_folder(state))
        upload_request = await _receive_upload(request, UPLOADS["v2"], place)
        held = stack.pop_all()
    actions = state.options.script.actions(At.JOB, n=state.jobs.count + 1)
    delays = next((action.answers for action in select_actions(actions, DelayJob)), 0)
    ordered = next((action.code for action in select_actions(actions, Refuse)), None)
    job = state.jobs.make(str(upload_request.model), upload_request.grant.account, delays=delays)
    run = partial(_run_job, state, request, upload_request, held, ordered)
    state.tasks.start_soon(state.jobs.work, job, run)
    if upload_request.wait_seconds:
        with anyio.move_on_after(upload_request.wait_seconds):
            await job.done.wait()
    envelope = job.envelope()
    # skill: v2 upload: 200 only where the answer was waited for and is the last word
    is_last = bool(upload_request.wait_seconds) and ("result" in envelope or "error" in envelope)
    return JSONResponse(envelope, status_code=200 if is_last else 202)


async def read_job(request: Request) -> Response:
    """`GET /v2/upload/jobs/{job_id}`: answers with the state of a job."""
    state: StandinState = request.app.state.standin
    grant = _authorize(state, request)
    return JSONResponse(state.jobs.find(request.path_params["job_id"], grant.account).envelope())


async def _run_job(
    state: StandinState,
    request: Request,
    upload_request: _ReceivedUpload,
    held: AsyncExitStack,
    ordered: str | None,
) -> Mapping[str, object]:
    try:
        if ordered is not None:
            raise JobError(make_error_body(request, ordered).body())
        seconds = state.options.upload_window_seconds
        grid = WindowGrid(window_seconds=seconds, hop_seconds=seconds)
        seen = await _analyse(state, request, upload_request, grid)
    except JobError:
        raise
    except _OF_THE_FILE as exc:
        raise JobError(make_error_body(request, "ih5002", exc.what).body()) from exc
    except Exception as exc:
        logger.exception("an upload job failed")
        raise JobError(make_error_body(request, "ih1001").body()) from exc
    finally:
        await held.aclose()
    signals = AUDIO_SIGNALS if upload_request.hears_only else DIALECTS["v2"].signals
    return make_v2_upload(
        seen, window_seconds=seconds, include=upload_request.include, signals=signals
    )


async def _analyse(
    state: StandinState, request: Request, upload_request: _ReceivedUpload, grid: WindowGrid
) -> FileAnalysis:
    async with state.files.chunks(upload_request.path) as chunks:
        seen = await analyse_file(
            chunks,
            grid=grid,
            make_analyst=state.options.analyst,
            open_decoder=state.open_decoder,
            hears_only=upload_request.hears_only,
        )
    state.recorder.keep_upload(request.url.path, request.state.correlation_id, seen.windows)
    state.billed_upload_seconds += seen.duration_seconds
    upload_request.grant.video_seconds += seen.duration_seconds
    return seen


# --- taking an upload in -------------------------------------------------------------------------


@asynccontextmanager
async def _hold_folder(state: StandinState) -> AsyncIterator[Path]:
    """A folder for one upload; raises `RefusedError` if there are too many uploads."""
    with state.hold_upload():
        async with temporary_folder() as place:
            yield place


async def _receive_upload(request: Request, upload: UploadVersion, folder: Path) -> _ReceivedUpload:
    state: StandinState = request.app.state.standin
    grant = _authorize(state, request)
    bounded = _bound_body(request, state.options.max_upload_bytes + _FORM_BYTES)
    async with _form(bounded) as form:
        model = _model(form, upload, state.options.models)
        wait_seconds = _wait_seconds(form, upload)
        path = await _save_file(form, folder / "upload", state.options.max_upload_bytes)
        upload_request = _ReceivedUpload(
            path=path,
            grant=grant,
            model=model,
            include=tuple(name for name in upload.includes if name in form.getlist("include[]")),
            goals=tuple(str(name) for name in form.getlist("goal_dimensions[]")),
            has_context="conversation_context" in form,
            wait_seconds=wait_seconds,
        )
    await _check_file(state, upload_request, upload)
    return upload_request


@asynccontextmanager
async def _form(request: Request) -> AsyncIterator[FormData]:
    """The fields of a form; raises `RefusedError` if the form cannot be read."""
    try:
        form = await request.form()
    except HTTPException as exc:
        raise RefusedError("ih4005", f"The form cannot be read: {exc.detail}") from exc
    try:
        yield form
    finally:
        await form.close()


def _bound_body(request: Request, max_bytes: int) -> Request:
    """The request, whose body is refused beyond `max_bytes`, because it goes to the disk."""
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > max_bytes:
            raise RefusedError("ih4003", "The file must not exceed 32 MB.")
        return message

    return Request(request.scope, receive)


def _authorize(state: StandinState, request: Request) -> Grant:
    grant = state.authorize(request, bearer_credential(request.headers))
    grant.allow(UPLOAD_SCOPE)
    grant.spend()
    return grant


def _model(form: FormData, upload: UploadVersion, served: tuple[str, ...]) -> str | None:
    if not upload.models:
        return None
    model = form.get("model")
    if model == _UNSERVED_MODEL:
        raise RefusedError("ih4020")
    if model not in upload.models:
        raise RefusedError("ih4005", f"model is one of {', '.join(upload.models)}.")
    if model not in served:
        raise RefusedError("ih1003")
    return str(model)


def _wait_seconds(form: FormData, upload: UploadVersion) -> int:
    said = str(form.get("wait_seconds") or 0)
    if not _NUMBER.fullmatch(said) or int(said) > upload.max_wait_seconds:
        raise RefusedError("ih4005", f"wait_seconds is 0 to {upload.max_wait_seconds}.")
    return int(said)


_NUMBER = re.compile(r"[0-9]{1,9}")  # Python refuses to read very long ones


async def _save_file(form: FormData, path: Path, max_bytes: int) -> Path:
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise RefusedError("ih4001")
    size = 0
    async with await anyio.open_file(path, "wb") as kept:
        while data := await file.read(_COPY_BYTES):
            size += len(data)
            if size > max_bytes:
                raise RefusedError("ih4003", "The file must not exceed 32 MB.")
            await kept.write(data)
    if not size:  # any 4xx would do; the nearest (chosen)
        raise RefusedError("ih4001", "The file is empty.")
    return path


async def _check_file(
    state: StandinState, upload_request: _ReceivedUpload, upload: UploadVersion
) -> None:
    """Check what the service checks before it accepts a file. skill: v2 upload."""
    try:
        facts = await state.files.facts(upload_request.path)
    except _OF_THE_FILE as exc:
        raise RefusedError(await _unreadable_code(upload_request.path), exc.what) from exc
    containers = _AUDIO_CONTAINERS if upload_request.hears_only else _VIDEO_CONTAINERS
    seconds = facts.duration_seconds
    if seconds is None:  # recordings of browsers do not declare it
        seconds = (await _measure_duration(state, upload_request)).duration_seconds
    is_job = upload.makes_job
    codec = facts.video.codec if facts.video is not None else None
    is_strange = codec in UNDECODED_PICTURES
    is_strange |= state.options.strict and codec not in {None, *STRICTLY_TAKEN}
    for is_wrong, code in (
        (facts.container_name not in containers, "ih4002"),
        (facts.video is None and not upload_request.hears_only, "ih5001"),
        (facts.audio is None and is_job, "ih5008"),
        (is_strange and not upload_request.hears_only, "ih5003"),
        (seconds < MIN_VIDEO_SECONDS, "ih4007"),
        (is_job and seconds > state.options.max_upload_seconds, "ih4004"),
    ):
        if is_wrong:
            raise RefusedError(code)


async def _unreadable_code(path: Path) -> str:
    """The error id of a file that cannot be read: its container is unknown, or it is broken."""
    async with await anyio.open_file(path, "rb") as file:
        return "ih4002" if container_of(await file.read(_HEAD_BYTES)) is None else "ih5002"


async def _measure_duration(state: StandinState, upload_request: _ReceivedUpload) -> FileAnalysis:
    """Decode a file that does not declare its duration; no analyst is used, so none can fail."""
    grid = WindowGrid(window_seconds=1e9, hop_seconds=1e9)
    try:
        async with state.files.chunks(upload_request.path) as chunks:
            return await analyse_file(
                chunks,
                grid=grid,
                make_analyst=Placeholder,
                open_decoder=state.open_decoder,
                hears_only=upload_request.hears_only,
            )
    except _OF_THE_FILE as exc:
        raise RefusedError("ih5002", exc.what) from exc
