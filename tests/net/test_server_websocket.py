"""What a client may send before it is admitted."""

from __future__ import annotations

from typing import Any, cast

import pytest
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from ih_mcp.net import server_websocket
from ih_mcp.net.server_websocket import KeyedWebSocket


@pytest.fixture
def happened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What reached the application, and whether the connection was cut off."""
    found = list[str]()

    class Wire:
        max_message_size = 9

        def abort(self) -> None:
            found.append("aborted")

    def begin(self: Any) -> None:
        self.conn = self.transport = Wire()

    monkeypatch.setattr(WebSocketsSansIOProtocol, "__init__", begin)
    monkeypatch.setattr(
        WebSocketsSansIOProtocol, "send_receive_event_to_app", lambda _: found.append("message")
    )
    return found


@pytest.mark.parametrize(
    ("admitted_after", "reaches"),
    [(None, ["message", "aborted"]), (1, ["message"] * 3), (0, ["message"] * 3)],
)
def test_a_second_message_ends_the_connection_of_who_is_not_admitted(
    happened: list[str], admitted_after: int | None, reaches: list[str]
) -> None:
    socket = cast("Any", KeyedWebSocket)()
    assert socket.conn.max_message_size == server_websocket._MAX_FIRST_BYTES
    for number in range(3):
        if number == admitted_after:
            socket._admit()
        if "aborted" not in happened:
            socket.send_receive_event_to_app()
    assert happened == reaches
    is_admitted = admitted_after is not None
    assert socket.conn.max_message_size == (9 if is_admitted else server_websocket._MAX_FIRST_BYTES)
