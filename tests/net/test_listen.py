from __future__ import annotations

import logging
import socket
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from ih_mcp.net import listen
from tests.plain_http import plain_http


async def test_an_answer_does_not_wait_until_its_beginning_was_acknowledged() -> None:
    """Small writes are not held back: else each answer on a kept connection takes 40 ms more."""
    sends_at_once: list[bool] = []

    class Http(listen._BoundedHttp):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            accepted = transport.get_extra_info("socket")
            sends_at_once.append(bool(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))

    with listen.open_listener("127.0.0.1", 0) as listener:
        async with (
            listen.serve_app(PlainTextResponse("hello"), listener, max_message_bytes=1, http=Http),
            plain_http() as client,
        ):
            assert (await client.get(listen.url_of(listener))).text == "hello"
    assert sends_at_once == [True]


async def test_a_connection_between_two_requests_is_kept_longer_than_clients_keep_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a client sends its next request while the server closes, and its call fails."""
    monkeypatch.setattr(listen, "_CHECK_SECONDS", 0.01)
    made: list[Http] = []
    checks, is_checked = 0, anyio.Event()

    class Http(listen._BoundedHttp):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            made.append(self)

        def _check_progress(self) -> None:
            nonlocal checks
            super()._check_progress()
            checks += self.timeout_keep_alive_task is not None
            if checks == 3:
                is_checked.set()

    with listen.open_listener("127.0.0.1", 0) as listener:
        async with (
            listen.serve_app(PlainTextResponse("hello"), listener, max_message_bytes=1, http=Http),
            plain_http() as client,
        ):
            for _ in range(2):
                assert (await client.get(listen.url_of(listener))).is_success
                await is_checked.wait()
    assert len(made) == 1
    assert made[0].timeout_keep_alive > 60


async def test_who_comes_when_all_connections_are_at_work_is_told_and_the_next_ones_are_not() -> (
    None
):
    """A call that waits is not cut for a newcomer; what is told is bounded too."""
    works, may_answer = list[int](), anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        works.append(1)
        await may_answer.wait()
        await PlainTextResponse("done")(scope, receive, send)

    answers = list[str]()
    with listen.open_listener("127.0.0.1", 0) as listener:
        url = listen.url_of(listener)

        async def ask() -> None:
            async with plain_http() as client:
                answers.append((await client.get(url)).text)

        async with (
            listen.serve_app(app, listener, max_message_bytes=1, max_connections=2),
            anyio.create_task_group() as tasks,
        ):
            for _ in range(2):
                tasks.start_soon(ask)
            while len(works) < 2:
                await anyio.lowlevel.checkpoint()
            for _ in range(3):  # each leaves its place to the next
                async with plain_http() as client:
                    told = await client.get(url)
                assert (told.status_code, told.headers["retry-after"]) == (503, "1")
                assert "as many connections as it takes" in told.text
            assert answers == []
            may_answer.set()
    assert answers == ["done", "done"]
    assert len(works) == 2


async def test_who_leaves_within_a_body_makes_no_mistake_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    left = anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - answers nobody
        try:
            await Request(scope, receive).body()
        finally:
            left.set()

    with listen.open_listener("127.0.0.1", 0) as listener:
        async with listen.serve_app(app, listener, max_message_bytes=1):
            async with await anyio.connect_tcp(*listener.getsockname()) as caller:
                await caller.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nbody")
            with anyio.fail_after(10):
                await left.wait()
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []
