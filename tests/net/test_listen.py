from __future__ import annotations

import socket
from typing import Any

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
