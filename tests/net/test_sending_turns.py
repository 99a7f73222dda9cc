from __future__ import annotations

from functools import partial

import anyio
import anyio.lowlevel
import pytest
from websockets.asyncio.server import ServerConnection

from ih_mcp.net import sending_turns
from ih_mcp.net.opener import FRAGMENT_BYTES, open_socket
from ih_mcp.net.sending_turns import SendingTurns, turns_of_this_loop
from tests.net.peer import peer

_WHOLE_TURN = sending_turns._TURN_SECONDS


async def sending(turns: SendingTurns, name: str, sent: list[str], *, seconds: float) -> None:
    """Send three pieces, each of which takes so long."""
    for _ in range(3):
        await turns.wait()
        sent.append(name)
        turns.note_sent(seconds)
        await anyio.lowlevel.checkpoint()


async def noting_turns(sent: list[str]) -> None:
    while True:
        await anyio.lowlevel.checkpoint()
        sent.append("|")


async def sent_by(names: str, *, seconds: float) -> list[str]:
    """What was sent in each turn of the loop in which anything was."""
    turns, sent = SendingTurns(), list[str]()
    async with anyio.create_task_group() as noting:
        noting.start_soon(noting_turns, sent)
        async with anyio.create_task_group() as tasks:
            for name in names:
                tasks.start_soon(partial(sending, turns, name, sent, seconds=seconds))
        noting.cancel_scope.cancel()
    return [turn for turn in "".join(sent).split("|") if turn]


async def test_what_takes_little_is_sent_in_the_same_turn_by_all() -> None:
    assert await sent_by("abcd", seconds=_WHOLE_TURN / 100) == ["abcd"] * 3


async def test_what_takes_long_is_sent_by_one_in_a_turn_and_each_has_its_own() -> None:
    sent = await sent_by("abcd", seconds=_WHOLE_TURN)
    assert all(len(turn) == 1 for turn in sent)
    assert sorted(sent[:4]) == sorted(sent[4:8]) == sorted(sent[8:]) == list("abcd")


async def test_one_that_is_given_up_while_it_waits_for_a_turn_does_not_hold_the_others() -> None:
    turns, went = SendingTurns(), anyio.Event()
    turns.note_sent(_WHOLE_TURN)

    async def other() -> None:
        await turns.wait()
        went.set()

    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as given_up:
            tasks.start_soon(other)
            given_up.cancel()
            await turns.wait()
        assert given_up.cancelled_caught
        with anyio.fail_after(10):
            await went.wait()


def test_connections_of_one_loop_share_their_turns_and_those_of_another_do_not() -> None:
    async def both() -> tuple[SendingTurns, SendingTurns]:
        return turns_of_this_loop(), turns_of_this_loop()

    first, again = anyio.run(both)
    assert first is again
    assert anyio.run(both)[0] is not first


@pytest.mark.parametrize("size", [FRAGMENT_BYTES // 2, 3 * FRAGMENT_BYTES])
async def test_of_segments_that_are_sent_at_once_one_piece_goes_out_in_a_turn(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending_turns, "_TURN_SECONDS", 1e-9)  # each piece takes longer
    turn, sent_in = 0, list[int]()

    async def count_turns() -> None:
        nonlocal turn
        while True:
            await anyio.lowlevel.checkpoint()
            turn += 1

    async def work(connection: ServerConnection) -> None:
        async for _ in connection:
            pass

    async def send(url: str, ready: anyio.Event, go: anyio.Event) -> None:
        async with open_socket(url, bearer="k") as socket:
            write = socket._connection.transport.write

            def note(data: bytes) -> None:
                if len(data) > 1000:  # not the close
                    sent_in.append(turn)
                write(data)

            monkeypatch.setattr(socket._connection.transport, "write", note)
            ready.set()
            await go.wait()
            await socket.send_segment(bytes(size))

    async with peer(work) as url:
        go = anyio.Event()
        async with anyio.create_task_group() as counting:
            counting.start_soon(count_turns)
            async with anyio.create_task_group() as tasks:
                for _ in range(4):
                    ready = anyio.Event()
                    tasks.start_soon(send, url, ready, go)
                    await ready.wait()
                go.set()
            counting.cancel_scope.cancel()
    assert len(sent_in) == 4 * max(1, size // FRAGMENT_BYTES)
    assert len(set(sent_in)) == len(sent_in)
