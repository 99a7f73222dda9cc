"""What all requests of one stand-in share, and how any of them is answered with a refusal."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ih_mcp.standin.analysis.media_timeline import OpenDecoder
from ih_mcp.standin.credential_store import CredentialStore, Grant, RefusedError
from ih_mcp.standin.faults.script import AnswerWith, At, select_actions
from ih_mcp.standin.options import Options
from ih_mcp.standin.recorder import Recorder
from ih_mcp.standin.uploads.files import MediaFiles
from ih_mcp.standin.uploads.jobs import Jobs
from ih_mcp.wire import error_catalog as catalog
from ih_mcp.wire.rest import ErrorBody


@dataclass(slots=True, kw_only=True)
class StandinState:
    """One stand-in."""

    options: Options
    open_decoder: OpenDecoder
    files: MediaFiles
    recorder: Recorder = field(default_factory=Recorder)
    billed_upload_seconds: float = 0.0
    credentials: CredentialStore = field(init=False)
    jobs: Jobs = field(init=False)
    tasks: TaskGroup = field(init=False)
    """Owns the work on jobs; there while `run` is open."""
    _scopes: set[anyio.CancelScope] = field(default_factory=set)
    _uploads: int = 0
    _requests: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.credentials = CredentialStore(strict=self.options.strict, key=self.options.key)
        self.jobs = Jobs(max_age_seconds=self.options.job_seconds)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Work on jobs and record while this is open; leaving cuts everything off."""
        async with (
            self.recorder.writing(self.options.record_path),
            anyio.create_task_group() as tasks,
        ):
            self.tasks = tasks
            yield
            tasks.cancel_scope.cancel()

    @contextmanager
    def hold_session(self) -> Iterator[None]:
        """A session runs inside; `stop` cuts it off."""
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                yield
            finally:
                self._scopes.discard(scope)

    def require_session_slot(self) -> None:
        """Raises `RefusedError` where there are as many sessions as may be."""
        most = self.options.max_sessions
        if len(self._scopes) >= most:
            raise RefusedError(
                "ih3002", f"This stand-in holds {most} sessions at once. End one of them first."
            )

    @contextmanager
    def hold_upload(self) -> Iterator[None]:
        """An upload is taken in or worked on inside.

        Raises:
            RefusedError: There are as many as may be.
        """
        most = self.options.max_uploads
        if self._uploads >= most:
            raise RefusedError(
                "ih1002", f"This stand-in works on {most} uploads at once. Send it again later."
            )
        self._uploads += 1
        try:
            yield
        finally:
            self._uploads -= 1

    def stop(self) -> None:
        """Cut off every session."""
        for scope in tuple(self._scopes):
            scope.cancel()

    def authorize(self, connection: HTTPConnection, credential: str | None) -> Grant:
        """What the caller may do.

        Raises:
            RefusedError: Nothing.
        """
        return self.credentials.authorize(
            credential, now=anyio.current_time(), origin=connection.headers.get("origin")
        )

    def ordered_answer(
        self, connection: HTTPConnection, *, session: int | None = None
    ) -> Response | None:
        """The answer a script orders for this request, instead of the right one.

        Args:
            session: The number of the API session a handshake asks for.
        """
        path = connection.url.path
        self._requests[path] += 1
        at = At.REQUEST if session is None else At.UPGRADE
        n = self._requests[path]
        for act in select_actions(self.options.script.acts(at, n=n, session=session), AnswerWith):
            if act.path in {None, path}:
                return _make_ordered_answer(act, connection)
        return None


def bearer_credential(headers: Headers) -> str | None:
    """The credential of an `Authorization` header."""
    scheme, _, credential = headers.get("authorization", "").partition(" ")
    return credential.strip() or None if scheme.lower() == "bearer" else None


def make_refusal(
    connection: HTTPConnection, code: str, message: str | None = None, *, status: int | None = None
) -> JSONResponse:
    """The HTTP answer that says no. docs: error-handling."""
    row = catalog.find_error(code)
    answer = JSONResponse(
        make_error_body(connection, code, message).body(), status_code=status or row.status or 400
    )
    if code in {"ih1002", "ih3001"}:
        answer.headers["Retry-After"] = "1"  # docs: these are to be respected
    if answer.status_code == 401:  # RFC 9110, 15.5.2; the service's header is not published
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def make_error_body(connection: HTTPConnection, code: str, message: str | None = None) -> ErrorBody:
    """What a refusal says."""
    row = catalog.find_error(code)
    text = message or row.meaning
    text = text[:1].upper() + text[1:]
    return ErrorBody(
        error_id=code,
        correlation_id=connection.state.correlation_id,
        link=row.link if row.slug else None,
        message=text if text.endswith(".") else f"{text}.",
    )


def _make_ordered_answer(act: AnswerWith, connection: HTTPConnection) -> Response:
    """Without an id the body is that of a proxy, no JSON."""
    answer: Response = PlainTextResponse(f"status {act.status} by script\n", status_code=act.status)
    if act.error is not None:
        answer = make_refusal(connection, act.error, status=act.status)
    if act.retry_after_seconds is not None:
        answer.headers["Retry-After"] = str(act.retry_after_seconds)
    return answer
