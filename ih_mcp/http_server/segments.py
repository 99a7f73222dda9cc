"""`PUT /streams/{id}/segments/{seq}`: the bytes of a segment as they are, for programs.

The answer is what the tool `push_segment` says in its first block. Base64 in a call costs some
fourteen times the CPU.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from io import BytesIO

from mcp_types import TextContent
from starlette.requests import Request
from starlette.responses import Response

from ih_mcp.errors import CallerError, MediaError
from ih_mcp.mcp_server.push_tools import push

from .callers import Caller
from .forward import CALLER, say_who_has_it
from .tenant import Tenant


async def put_segment(request: Request, tenant: Tenant) -> Response:
    """Push one segment; a repeat of the same number and bytes is harmless.

    Raises:
        IhMcpError: As `push_segment`; nothing was kept then.
    """
    _, stream_id, _, number = request.url.path.strip("/").split("/")
    if not (number.isascii() and number.isdigit() and 0 < int(number[:10]) < 10**9):
        raise CallerError(
            f"{number!r} is no number of a segment",
            help="Count the segments of a stream from 1: PUT /streams/{id}/segments/1.",
        )
    most, forwarder = tenant.runtime.settings.max_segment_bytes, tenant.forwarder
    caller: Caller = request.scope[CALLER]

    async def read_request() -> bytes:
        return await read_body(request, most)

    address = forwarder.known_address(caller, stream_id) if forwarder else None
    if address is None:
        try:
            return await _push(tenant, stream_id, int(number), read_request)
        except CallerError as exc:  # before the body is read, where it is of another replica
            if forwarder:
                address = await forwarder.find_address(tenant.runtime, exc, stream_id)
            if address is None:
                raise say_who_has_it(exc) from None
    assert forwarder
    data = await read_request()
    return await forwarder.put_segment(address, caller, stream_id, int(number), data)


async def push_body(tenant: Tenant, stream_id: str, number: int, data: bytes) -> Response:
    """Push a segment that another replica has passed on.

    Raises:
        IhMcpError: As `put_segment`.
    """

    async def give_data() -> bytes:
        return data

    return await _push(tenant, stream_id, number, give_data)


async def _push(
    tenant: Tenant, stream_id: str, number: int, read_data: Callable[[], Awaitable[bytes]]
) -> Response:
    async def read_segment() -> tuple[bytes, tuple[str, ...]]:
        return await read_data(), ()

    answer = await push(tenant.runtime, stream_id, number, read_segment)
    status = answer.content[0]
    assert isinstance(status, TextContent)
    return Response(status.text, media_type="application/json")


async def read_body(request: Request, most: int) -> bytes:
    """The body, which may have `most` bytes.

    Raises:
        MediaError: It has more; the rest is not read.
    """
    body = BytesIO()  # gives what it has without a copy, and holds many small pieces as one
    async for piece in request.stream():
        body.write(piece)
        if body.tell() > most:
            raise MediaError(
                f"the segment has more than {most:_} bytes",
                code="segment_too_large",
                help="Send smaller segments; IH_MCP_MAX_SEGMENT_BYTES is the bound.",
            )
    return body.getvalue()
