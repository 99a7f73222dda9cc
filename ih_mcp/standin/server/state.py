"""The state that all requests of one stand-in share, and how a request is refused."""

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

from ih_mcp.errors import as_sentence
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
    """What all requests of one stand-in share: options, credentials, records, jobs."""

    options: Options
    open_decoder: OpenDecoder
    files: MediaFiles
    recorder: Recorder = field(default_factory=Recorder)
    billed_upload_seconds: float = 0.0
    credentials: CredentialStore = field(init=False)
    jobs: Jobs = field(init=False)
    tasks: TaskGroup = field(init=False)
    """Owns the work on jobs; it is set while `run` is open."""
    _scopes: set[anyio.CancelScope] = field(default_factory=set)
    _uploads: int = 0
    _requests: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.credentials = CredentialStore(strict=self.options.strict, key=self.options.key)
        self.jobs = Jobs(max_age_seconds=self.options.job_seconds)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Work on jobs and write the record while this is open; leaving cancels all of it."""
        async with (
            self.recorder.writing(self.options.record_path),
            anyio.create_task_group() as tasks,
        ):
            self.tasks = tasks
            yield
            tasks.cancel_scope.cancel()

    @contextmanager
    def hold_session(self) -> Iterator[None]:
        """Count a session while this is open; `stop` cancels what runs inside."""
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                yield
            finally:
                self._scopes.discard(scope)

    def require_session_slot(self) -> None:
        """Do nothing if one more session may start.

        Raises:
            RefusedError: The stand-in holds as many sessions as its options allow.
        """
        most = self.options.max_sessions
        if len(self._scopes) >= most:
            raise RefusedError(
                "ih3002", f"This stand-in holds {most} sessions at once. End one of them first."
            )

    @contextmanager
    def hold_upload(self) -> Iterator[None]:
        """Count an upload while this is open.

        Raises:
            RefusedError: The stand-in works on as many uploads as its options allow.
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
        """Cancel every session."""
        for scope in tuple(self._scopes):
            scope.cancel()

    def authorize(self, connection: HTTPConnection, credential: str | None) -> Grant:
        """What the caller may do.

        Raises:
            RefusedError: The credential is not accepted.
        """
        return self.credentials.authorize(
            credential, now=anyio.current_time(), origin=connection.headers.get("origin")
        )

    def ordered_answer(
        self, connection: HTTPConnection, *, session: int | None = None
    ) -> Response | None:
        """The answer that the script orders for this request instead of the right one, if any.

        Args:
            session: The number of the API session that a handshake asks for.
        """
        path = connection.url.path
        self._requests[path] += 1
        at = At.REQUEST if session is None else At.UPGRADE
        n = self._requests[path]
        for action in select_actions(
            self.options.script.actions(at, n=n, session=session), AnswerWith
        ):
            if action.path in {None, path}:
                return _make_ordered_answer(action, connection)
        return None


def bearer_credential(headers: Headers) -> str | None:
    """The credential of an `Authorization` header."""
    scheme, _, credential = headers.get("authorization", "").partition(" ")
    return credential.strip() or None if scheme.lower() == "bearer" else None


def make_refusal(
    connection: HTTPConnection, code: str, message: str | None = None, *, status: int | None = None
) -> JSONResponse:
    """The HTTP answer to a request that is refused. docs: error-handling."""
    row = catalog.find_error(code)
    answer = JSONResponse(
        make_error_body(connection, code, message).body(), status_code=status or row.status or 400
    )
    if code in {"ih1002", "ih3001"}:
        answer.headers["Retry-After"] = "1"  # docs: clients must respect it
    if answer.status_code == 401:  # RFC 9110, 15.5.2; the service's header is not published
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def make_error_body(connection: HTTPConnection, code: str, message: str | None = None) -> ErrorBody:
    """The body of a refusal."""
    row = catalog.find_error(code)
    return ErrorBody(
        error_id=code,
        correlation_id=connection.state.correlation_id,
        link=row.link if row.slug else None,
        message=as_sentence(message or row.meaning),
    )


def _make_ordered_answer(action: AnswerWith, connection: HTTPConnection) -> Response:
    """Without an error id the body is plain text, as a proxy sends it, not JSON."""
    answer: Response = PlainTextResponse(
        f"status {action.status} by script\n", status_code=action.status
    )
    if action.error is not None:
        answer = make_refusal(connection, action.error, status=action.status)
    if action.retry_after_seconds is not None:
        answer.headers["Retry-After"] = str(action.retry_after_seconds)
    return answer
