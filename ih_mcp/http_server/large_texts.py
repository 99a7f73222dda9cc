"""Large texts of answers, encoded and sent in pieces.

The SDK encodes an answer by one call of a JSON library, on the event loop, and hands it over whole:
a message of 8 MiB would hold up all streams for 100 ms and more, and lie in memory until its client
has read it. So each large text leaves the answer before it is encoded; a mark that nobody can guess
stands in its place, and on the way out the text is written where the mark is.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio.lowlevel
from anyio import to_thread
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_REQUEST
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ih_mcp.mcp_server.stdio import MAX_VALUES, count_values

_LARGE_CHARS = 1 << 18
_PIECE_CHARS = 1 << 16
_PIECES_AT_ONCE = 16
MAX_HELD_CHARS = 1 << 26
"""Of all answers that their clients have not read yet."""
_MARK = re.compile(rb"ih-mcp-text-[0-9a-f]{32}")
_KEY = "ih_mcp.large_texts"
_FIELDS = ("text", "blob", "data")
_TOO_MUCH = "too much of earlier answers has not been read yet: read them, then ask again"
_TOO_MANY_VALUES = {
    "jsonrpc": "2.0",
    "id": None,
    "error": {"code": INVALID_REQUEST, "message": f"this body has more than {MAX_VALUES:_} values"},
}


@dataclass
class _Texts:
    """Those of one answer, by their marks."""

    by_mark: dict[bytes, str] = field(default_factory=dict)


@dataclass
class LargeTexts:
    """Takes large texts out of a server's answers, and puts them in again."""

    held_chars: int = 0
    """Of all answers that are not sent yet."""

    async def take_out(
        self,
        ctx: ServerRequestContext[Any, Any],
        call_next: CallNext,
    ) -> HandlerResult:
        """Middleware of the MCP server.

        Raises:
            MCPError: So much waits to be read that nothing may be added.
        """
        result = await call_next(ctx)
        if ctx.request is not None and isinstance(result, dict):
            texts: _Texts = ctx.request.scope[_KEY]
            for block in _blocks_of(result):
                self._take_out(block, texts)
        return result

    def _take_out(self, block: dict[str, Any], texts: _Texts) -> None:
        for name in _FIELDS:
            text = block.get(name)
            if isinstance(text, str) and len(text) > _LARGE_CHARS:
                if self.held_chars + len(text) > MAX_HELD_CHARS:
                    raise MCPError(INTERNAL_ERROR, _TOO_MUCH)
                self.held_chars += len(text)
                mark = f"ih-mcp-text-{secrets.token_hex(16)}"
                texts.by_mark[mark.encode()] = text
                block[name] = mark

    def wrap(self, app: ASGIApp, max_body_bytes: int) -> ASGIApp:
        """The application of that server, whose answers are whole again.

        Args:
            max_body_bytes: Of a request; the application refuses a larger one.
        """

        async def run(scope: Scope, receive: Receive, send: Send) -> None:
            messages = await _read_body(receive, max_body_bytes)
            if sum(count_values(each.get("body", b"")) for each in messages) > MAX_VALUES:
                answer = JSONResponse(_TOO_MANY_VALUES, status_code=400)
                await answer(scope, receive, send)
                return
            with self._texts() as texts:
                sending = _Sending(send, texts)
                await app({**scope, _KEY: texts}, _replay(messages, receive), sending.send)

        return run

    @contextmanager
    def _texts(self) -> Iterator[_Texts]:
        texts = _Texts()
        try:
            yield texts
        finally:
            self.held_chars -= sum(map(len, texts.by_mark.values()))


class _Sending:
    """Sends an answer on, with the texts at their marks."""

    def __init__(self, send: Send, texts: _Texts) -> None:
        self._send = send
        self._texts = texts

    async def send(self, message: Message) -> None:
        if self._texts.by_mark and message["type"] == "http.response.start":
            headers = message["headers"]  # without its length, an answer is sent in chunks
            message["headers"] = [each for each in headers if each[0].lower() != b"content-length"]
        if not self._texts.by_mark or message["type"] != "http.response.body":
            await self._send(message)
            return
        async for piece in self._pieces(bytes(message.get("body", b""))):
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
            await anyio.lowlevel.checkpoint()  # sending does not wait while there is room
        await self._send({**message, "body": b""})

    async def _pieces(self, body: bytes) -> AsyncIterator[bytes]:
        """The body, each mark replaced by its text as the inside of a JSON string."""
        at = 0
        for found in _MARK.finditer(body):
            text = self._texts.by_mark.get(found[0])
            if text is not None:
                yield body[at : found.start()]
                at = found.end()
                for start in range(0, len(text), _PIECE_CHARS * _PIECES_AT_ONCE):
                    for piece in await to_thread.run_sync(_encode, text, start):
                        yield piece
        yield body[at:]


def _encode(text: str, start: int) -> list[bytes]:
    """Some pieces of a text, from this place on; none takes long."""
    starts = range(start, min(len(text), start + _PIECE_CHARS * _PIECES_AT_ONCE), _PIECE_CHARS)
    return [json.dumps(text[at : at + _PIECE_CHARS])[1:-1].encode() for at in starts]


def _blocks_of(result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What can hold a large text: blocks of a tool's answer, and a resource's contents."""
    for name in ("content", "contents"):
        blocks = result.get(name)
        yield from (block for block in blocks or () if isinstance(block, dict))


async def _read_body(receive: Receive, most: int) -> list[Message]:
    """The body as it comes, at most so many bytes and a piece; the SDK refuses a larger one.

    Raises:
        ClientDisconnect: Its sender left before its end; the SDK would call that a mistake.
    """
    messages, size, more = list[Message](), 0, True
    while more and size <= most:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        messages.append(message)
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    return messages


def _replay(messages: Iterable[Message], receive: Receive) -> Receive:
    """`receive` from the beginning: what was read already, then what comes after it."""
    left = iter(messages)

    async def receive_again() -> Message:
        for message in left:
            return message
        return await receive()

    return receive_again
