"""Answers that never end, and files that change under our hands."""

from __future__ import annotations

import gzip
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from ih_mcp.errors import PathError, TransportError
from ih_mcp.net import rest as module
from ih_mcp.net.rest import MAX_ANSWER_BYTES, Rest, open_rest

Answer = Callable[[SocketStream], Awaitable[None]]


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[Rest]:
    async def handle(stream: SocketStream) -> None:
        async with stream:
            with suppress(anyio.BrokenResourceError, anyio.EndOfStream):  # it had enough
                await answer(stream)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra(SocketAttribute.local_port)
    with anyio.fail_after(15):
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, handle)
            async with open_rest(f"http://127.0.0.1:{port}") as rest:
                yield rest
            tasks.cancel_scope.cancel()


async def _inflates(stream: SocketStream) -> None:
    await stream.receive()
    body = gzip.compress(bytes(2 * MAX_ANSWER_BYTES))
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    await stream.send(head.encode() + body)


async def _goes_on(stream: SocketStream) -> None:
    await stream.receive()
    await stream.send(b"HTTP/1.1 500 No\r\nContent-Type: text/plain\r\n\r\n")
    while True:
        await stream.send(bytes(1 << 16))


@pytest.mark.parametrize("answer", [_inflates, _goes_on])
async def test_an_answer_without_measure_is_not_taken_in(answer: Answer) -> None:
    async with answering(answer) as rest:
        with pytest.raises(TransportError, match="more than 32 MiB") as caught:
            await rest.get("/v2/upload/jobs/j", bearer="k")
    assert (caught.value.code, caught.value.retry) == ("message_too_big", False)


async def test_an_answer_that_trickles_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte is in time for the client, which looks at one piece at a time."""
    monkeypatch.setattr(module, "_ANSWER_SECONDS", 0.5)

    async def trickles(stream: SocketStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            await stream.send(b" ")
            await anyio.sleep(0.05)

    async with answering(trickles) as rest:
        with pytest.raises(TransportError, match="did not answer POST /v1/auth in time") as caught:
            await rest.post("/v1/auth", {})
    assert (caught.value.code, caught.value.retry) == ("timeout", True)


@pytest.mark.parametrize("size", [1 << 20, 1 << 26])
async def test_a_file_that_changes_while_it_is_sent_is_named(size: int, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    await anyio.Path(path).write_bytes(bytes(1 << 25))

    async def slowly(stream: SocketStream) -> None:
        await stream.receive()
        os.truncate(path, size)
        while True:
            await stream.receive()

    async with answering(slowly) as rest:
        with pytest.raises(PathError, match="changed while it was sent") as caught:
            await rest.upload("/v2/upload/analyze", path, [], bearer="k")
    assert caught.value.what.startswith("'clip.mp4' ")
    assert (caught.value.code, caught.value.retry) == ("file_changed", False)
