from __future__ import annotations

import socket
from typing import Any

import anyio
import pytest
from starlette.responses import PlainTextResponse

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
