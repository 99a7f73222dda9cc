"""A service that always has another message: everything else of the process gets its turns."""

from __future__ import annotations

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from ih_mcp.journal import open_journal
from ih_mcp.net.socket import SocketClosed
from ih_mcp.streams.deadlines import SessionTimeouts
from ih_mcp.streams.leg import Leg
from ih_mcp.streams.outbox import Outbox
from ih_mcp.wire.dialects import V1
from tests.memory_socket import MemorySocket

TURN_SECONDS = 2 / 1_024
"""What a turn may take, about; the clock of these tests has no fractions beside these."""
BODIES = ["", '{"type":"x"}', b"\0" * 9, '{"type":"' + "x" * 5_000 + '"}', b"\0" * 5_000]


class FloodingSocket(MemorySocket):
    """It never waits for a message. Between two turns of others, it counts them."""

    def __init__(self, body: str | bytes, count: int, seconds_of_each: float) -> None:
        super().__init__(room=1)
        self._body = body
        self._left = count
        self._seconds_of_each = seconds_of_each
        self.now = anyio.current_time()
        self.at_a_time = [0]
        """How many messages were received after each turn of others."""

    async def receive(self) -> str | bytes:
        if not self._left:
            raise SocketClosed(1000)
        self._left -= 1
        self.now += self._seconds_of_each
        self.at_a_time[-1] += 1
        return self._body

    async def count_turns(self) -> None:
        """Be one of the others."""
        while True:
            await anyio.lowlevel.checkpoint()
            self.at_a_time.append(0)


async def receive_all(folder: Path, socket: FloodingSocket) -> None:
    async with open_journal(folder) as journal:
        leg = Leg(
            0,
            V1,
            log=await journal.begin("st_1", {}),
            outbox=Outbox(max_bytes=10**6),
            timeouts=SessionTimeouts(),
        )
        with pytest.MonkeyPatch.context() as clock:
            clock.setattr(anyio, "current_time", lambda: socket.now)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(socket.count_turns)
                await leg.run(socket)
                tasks.cancel_scope.cancel()
        assert leg.messages == 100


@pytest.mark.parametrize("body", BODIES, ids=lambda body: f"{type(body).__name__} {len(body)}")
@pytest.mark.parametrize("seconds_of_each", [TURN_SECONDS / 8, 16 * TURN_SECONDS])
async def test_others_get_their_turn_after_two_milliseconds_of_messages(
    tmp_path: Path, body: str | bytes, seconds_of_each: float
) -> None:
    socket = FloodingSocket(body, 100, seconds_of_each)
    await receive_all(tmp_path, socket)
    in_a_turn = max(1, TURN_SECONDS / seconds_of_each)
    most = in_a_turn + 1 if len(body) > 4_000 else max(16, 2 * in_a_turn)
    assert 0 < max(socket.at_a_time) <= most


async def test_messages_that_take_no_time_are_received_without_a_turn_for_each(
    tmp_path: Path,
) -> None:
    socket = FloodingSocket('{"type":"x"}', 100, TURN_SECONDS / 32)
    await receive_all(tmp_path, socket)
    assert max(socket.at_a_time) >= 32
