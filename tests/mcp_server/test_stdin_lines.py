"""How much of standard input is read ahead."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from ih_mcp.mcp_server.stdin_lines import _MAX_WAITING_BYTES, StdinLines, _size


@pytest.mark.parametrize(
    ("waiting", "size", "has_room"),
    [
        ([], _MAX_WAITING_BYTES + 1, True),  # one line may always wait
        ([b"x"], _MAX_WAITING_BYTES - 1 - _size(b""), True),
        ([b"x"], _MAX_WAITING_BYTES - _size(b""), False),
    ],
)
def test_lines_wait_up_to_a_bound(waiting: list[bytes], size: int, has_room: bool) -> None:
    lines = SimpleNamespace(_waiting=waiting, _waiting_bytes=sum(map(len, waiting)))
    assert StdinLines._has_room_for(cast("Any", lines), bytes(size)) is has_room


async def test_the_countdown_to_the_exit_starts_when_the_input_ends() -> None:
    calls = list[str]()
    timer = SimpleNamespace(
        start=lambda: calls.append("start"), postpone=lambda: calls.append("postpone")
    )
    lines = StdinLines(io.BytesIO(b"a\n"), cast("Any", timer), max_line_bytes=100)
    with anyio.fail_after(20):
        assert [await lines.next(), await lines.next()] == [b"a\n", b""]
        await lines.ended.wait()
    assert sorted(calls) == ["postpone", "postpone", "start"]
