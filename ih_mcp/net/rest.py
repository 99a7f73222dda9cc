"""HTTP calls to the service: tokens, uploads, jobs. Bodies come back as they are."""

from __future__ import annotations

import io
import mimetypes
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import anyio
import anyio.to_thread
import h11
import httpx2

from ih_mcp.errors import MediaError, PathError, TransportError
from ih_mcp.files import open_file
from ih_mcp.stand_in import is_stand_in
from ih_mcp.wire.rest import MAX_VIDEO_BYTES

from .answers import HttpAnswer, error_of_answer, host_of
from .route import Route, find_route

_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 30.0
UPLOAD_SECONDS = 300.0  # sdk 1.3.4: a synchronous upload may take so long
MAX_ANSWER_BYTES = 32 * 2**20  # chosen: half an hour of windows has about one


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the service that is not a refusal."""

    status: int
    body: bytes
    is_stand_in: bool = False
    """Whether the stand-in gave it, and not the service."""


class Rest:
    """Calls below one base URL. Use `open_rest`."""

    def __init__(self, client: httpx2.AsyncClient, route: Route) -> None:
        self._client = client
        self._route = route

    async def get(self, path: str, *, bearer: str) -> Reply:
        """Read `path`.

        Raises:
            ServiceError: It was refused; the service's words are kept.
            TransportError: Nobody answered in time, or with too much.
        """
        return await self._call("GET", path, bearer=bearer)

    async def post(self, path: str, body: Mapping[str, object], *, bearer: str = "") -> Reply:
        """Send JSON to `path`. Raises as `get`."""
        return await self._call("POST", path, bearer=bearer, json=body)

    async def upload(
        self,
        path: str,
        source: Path,
        form: Sequence[tuple[str, str]],
        *,
        bearer: str,
        on_read: Callable[[int], None] | None = None,
    ) -> Reply:
        """Send a file as a multipart form, from the disk, never held whole.

        Args:
            on_read: Called with how many bytes of the file have been read so far.

        Raises as `get`, and `PathError` where it is not the file it was.
        """
        fields: dict[str, list[str]] = {}
        for name, value in form:
            fields.setdefault(name, []).append(value)
        kind, _ = await anyio.to_thread.run_sync(mimetypes.guess_type, source.name)
        with anyio.CancelScope(shield=True):  # what is opened is closed, also when cancelled
            file = await anyio.to_thread.run_sync(_open_upload, source, on_read)
        try:
            return await self._call(
                "POST",
                path,
                bearer=bearer,
                data=fields,
                files={"file": (source.name, file, kind or "application/octet-stream")},
                timeout=httpx2.Timeout(UPLOAD_SECONDS, connect=_CONNECT_SECONDS),
            )
        except h11.LocalProtocolError:
            raise PathError(
                f"{source.name!a} changed while it was sent",
                code="file_changed",
                help="Wait until nothing writes to it any more, then send it again.",
            ) from None
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(file.close)

    async def _call(self, method: str, path: str, *, bearer: str, **content: object) -> Reply:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        url = self._route.url + path
        with self._translating_errors(f"{method} {path}"):
            async with self._client.stream(
                method,
                url,
                headers=headers,
                **content,  # type: ignore[arg-type]  # the caller's keywords are the client's
            ) as response:
                with anyio.fail_after(_ANSWER_SECONDS):  # the client's hold for each piece
                    body = await _read_body(response)
        if body is None:
            raise TransportError(
                f"{host_of(url)} answered {method} {path} with more than "
                f"{MAX_ANSWER_BYTES >> 20} MiB",
                code="message_too_big",
                help="This is not an answer of this API. Check IH_MCP_ENDPOINT.",
            )
        answer = HttpAnswer.from_headers(response.status_code, response.headers.multi_items(), body)
        if response.is_success and not answer.is_page:
            return Reply(response.status_code, body, is_stand_in(response.headers))
        if response.status_code == 407:
            raise self._route.refused_by_proxy(407)
        raise error_of_answer(f"{method} {path}", url, answer)

    @contextmanager
    def _translating_errors(self, asked: str) -> Iterator[None]:
        """The library's errors become ours."""
        route = self._route
        try:
            yield
        except (httpx2.TimeoutException, TimeoutError):
            raise TransportError(
                f"{host_of(route.url)} did not answer {asked} in time{route.through}",
                code="timeout",
                help="Try again; if it stays so, check the network.",
                retry=True,
            ) from None
        except httpx2.ProxyError as exc:
            said = str(exc)
            if status := re.match(r"(\d{3}) ", said):  # of CONNECT; the rest is the proxy's own
                raise route.refused_by_proxy(int(status[1])) from None
            raise route.failed_at_proxy(said) from None
        except httpx2.HTTPError as exc:
            raise _error_of(route, asked, exc) from None
        except Exception as exc:
            if not type(exc).__module__.startswith("socksio"):  # httpx2 lets these through as is
                raise
            raise route.failed_at_proxy("") from None


def _error_of(route: Route, asked: str, exc: httpx2.HTTPError) -> TransportError:
    """What a failure of the library means: nobody there, a call cut off, or no answer of HTTP."""
    cause = _find_os_error(exc)
    if isinstance(cause, ssl.SSLError):
        return route.untrusted(cause)
    said = str(exc) or (cause and cause.strerror) or type(exc).__name__
    is_cut = isinstance(exc, httpx2.ReadError | httpx2.WriteError | httpx2.CloseError)
    if is_cut or said.startswith("peer closed connection"):  # h11's words, within a body
        return route.broken(asked, said)
    is_odd = isinstance(exc, httpx2.DecodingError | httpx2.RemoteProtocolError)
    if is_odd and not said.startswith("Server disconnected"):  # httpx2's words: nothing came
        return route.unreadable(asked, said)
    return route.unreachable(said)


def _find_os_error(exc: BaseException | None) -> OSError | None:
    """The failure of the system, or of TLS, behind an error of the library, if there is one."""
    while exc is not None and not isinstance(exc, OSError):
        exc = exc.__cause__ or exc.__context__
    return exc


async def _read_body(response: httpx2.Response) -> bytes | None:
    """All of an answer; None where it has more than we take, compressed or not."""
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            return None
    return bytes(body)


class _WatchedFile(io.FileIO):
    """A file that says how far it has been read."""

    def __init__(self, descriptor: int, on_read: Callable[[int], None] | None) -> None:
        super().__init__(descriptor)
        self._on_read = on_read

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(-1 if size is None else size)
        if self._on_read:
            self._on_read(self.tell())
        return data or b""


def _open_upload(source: Path, on_read: Callable[[int], None] | None = None) -> BinaryIO:
    """The admitted file itself, never what a link in its place leads to meanwhile.

    Raises:
        PathError: It is not there any more.
        MediaError: It has become too large.
    """
    descriptor, status = open_file(source)
    file = _WatchedFile(descriptor, on_read)
    try:
        require_uploadable(source.name, status.st_size)
    except MediaError:
        file.close()
        raise
    return file


def require_uploadable(name: str, size: int) -> None:
    """Refuse a file that is larger than an upload may be.

    Raises:
        MediaError: It is.
    """
    if size > MAX_VIDEO_BYTES:
        raise MediaError(
            f"{name} has {size:_} bytes; an upload may have {MAX_VIDEO_BYTES:_}",
            code="file_too_large",
            help="Use stream_file: it sends files of any length and size.",
            facts={"bytes": size, "max_bytes": MAX_VIDEO_BYTES},
        )


@asynccontextmanager
async def open_rest(base_url: str) -> AsyncIterator[Rest]:
    """A client for one base URL; redirects are not followed.

    Raises:
        ConfigurationError: The environment does not let a connection be made; see `find_route`.
    """
    route = await find_route(base_url.rstrip("/"))
    try:
        client = await anyio.to_thread.run_sync(_make_client, route)  # it imports on first use
    except (ImportError, OSError, ValueError) as exc:
        raise route.unusable(exc) from None
    async with client:
        yield Rest(client, route)


def _make_client(route: Route) -> httpx2.AsyncClient:
    """A client that goes this way and takes nothing from the environment."""
    proxy = route.proxy
    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
        follow_redirects=False,
        trust_env=False,
        proxy=httpx2.Proxy(proxy.url, ssl_context=route.tls if route.has_tls_to_proxy else None)
        if proxy
        else None,
        verify=route.tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # it trusts no certificate
    )
