"""Lets the connections of a loop send for a while in each turn of it, so that others have theirs.

To send 64 KiB over TLS takes 0.2 to 0.4 ms of the processor. Where 50 streams each send so much in
the same turn, no call is answered meanwhile for 20 ms.
"""

from __future__ import annotations

import anyio.lowlevel
from anyio.lowlevel import RunVar

from ih_mcp.notifier import Notifier

_TURN_SECONDS = 0.002  # of the processor. chosen: messages are received for as long


class SendingTurns:
    """How much of the processor all connections of one loop may take to send in a turn of it."""

    def __init__(self) -> None:
        self._spent_seconds = 0.0
        """Since the last turn in which it was too much."""
        self._is_ending = False
        self._next_turn = Notifier()

    async def wait(self) -> None:
        """Wait until there is time left in a turn of the loop, in the order of those who wait."""
        while self._spent_seconds >= _TURN_SECONDS:
            if self._is_ending:
                await self._next_turn.wait()
            else:
                await self._end_turn()

    def note_sent(self, seconds: float) -> None:
        """Count what it took of the processor to send something."""
        self._spent_seconds += seconds

    async def _end_turn(self) -> None:
        self._is_ending = True
        try:
            await anyio.lowlevel.checkpoint()
        finally:
            self._is_ending, self._spent_seconds = False, 0.0
            self._next_turn.notify()


_OF_LOOP = RunVar[SendingTurns]("ih_mcp.net.sending_turns")


def turns_of_this_loop() -> SendingTurns:
    """What all connections of the running loop share."""
    turns = _OF_LOOP.get(None)
    if turns is None:
        turns = SendingTurns()
        _OF_LOOP.set(turns)
    return turns
