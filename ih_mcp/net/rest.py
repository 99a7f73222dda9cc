"""HTTP calls to the service: tokens, uploads, jobs. Bodies come back as they are."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import h11
import httpx2

from ih_mcp.errors import PathError, TransportError
from ih_mcp.wire.refusal import refusal
from ih_mcp.wire.rest import ErrorBody

_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 30.0
UPLOAD_SECONDS = 300.0  # sdk 1.3.4: a synchronous upload may take so long
MAX_ANSWER_BYTES = 32 * 2**20  # chosen: half an hour of windows has about one


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is no refusal."""

    status: int
    body: bytes


class Rest:
    """Calls below one base URL. Use `open_rest`."""

    def __init__(self, client: httpx2.AsyncClient, base_url: str) -> None:
        self._client = client
        self._base_url = base_url.rstrip("/")

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
        self, path: str, source: Path, form: Sequence[tuple[str, str]], *, bearer: str
    ) -> Reply:
        """Send a file as a multipart form, from the disk, never held whole.

        Raises as `get`, and `PathError` where it is not the file it was.
        """
        fields: dict[str, list[str]] = {}
        for name, value in form:
            fields.setdefault(name, []).append(value)
        file = await anyio.to_thread.run_sync(_open, source)
        kind, _ = await anyio.to_thread.run_sync(mimetypes.guess_type, source.name)
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
            await anyio.to_thread.run_sync(file.close)

    async def _call(self, method: str, path: str, *, bearer: str, **content: object) -> Reply:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        host = urlsplit(self._base_url).hostname
        try:
            async with self._client.stream(
                method,
                self._base_url + path,
                headers=headers,
                **content,  # type: ignore[arg-type]  # the caller's keywords are the client's
            ) as response:
                with anyio.fail_after(_ANSWER_SECONDS):  # the client's hold for each piece
                    body = await _body(response)
        except (httpx2.TimeoutException, TimeoutError):
            raise TransportError(
                f"{host} did not answer {method} {path} in time",
                code="timeout",
                help="Try again; if it stays so, check the network.",
                retry=True,
            ) from None
        except httpx2.HTTPError as exc:
            raise TransportError(
                f"{host} cannot be reached: {str(exc) or type(exc).__name__}",
                code="unreachable",
                help="Check the network and IH_MCP_ENDPOINT; the same call may work later.",
                retry=True,
            ) from None
        if body is None:
            raise TransportError(
                f"{host} answered {method} {path} with more than {MAX_ANSWER_BYTES >> 20} MiB",
                code="message_too_big",
                help="That is no answer of this API. Check IH_MCP_ENDPOINT.",
            )
        if response.is_success:
            return Reply(response.status_code, body)
        said = ErrorBody.read(body)
        raise refusal(
            f"the service refused {method} {path} with HTTP {response.status_code}",
            error_id=said.error_id,
            message=said.message,
            link=said.link,
            correlation_id=said.correlation_id or response.headers.get("x-correlation-id"),
            status=response.status_code,
            retry_after=response.headers.get("retry-after"),
        )


async def _body(response: httpx2.Response) -> bytes | None:
    """All of an answer; None where it has more than we take, compressed or not."""
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            return None
    return bytes(body)


def _open(source: Path) -> BinaryIO:
    """The admitted file itself, never what a link in its place leads to meanwhile.

    Raises:
        PathError: It is not there any more.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        file = os.fdopen(os.open(source, flags | getattr(os, "O_NONBLOCK", 0)), "rb")
    except OSError as exc:
        raise _moved(source) from exc
    told = Path("/proc/self/fd", str(file.fileno()))
    if told.exists() and told.readlink() != source:
        file.close()
        raise _moved(source)
    return file


def _moved(source: Path) -> PathError:
    return PathError(
        f"{source.name!a} is not where it was when it was allowed",
        help="Give the path of the file itself, not of a link to it, and leave it there.",
    )


@asynccontextmanager
async def open_rest(base_url: str) -> AsyncIterator[Rest]:
    """A client for one base URL; redirects are not followed."""
    timeout = httpx2.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS)
    make = partial(httpx2.AsyncClient, timeout=timeout, follow_redirects=False)
    async with await anyio.to_thread.run_sync(make) as client:  # it reads certificates from disk
        yield Rest(client, base_url)
