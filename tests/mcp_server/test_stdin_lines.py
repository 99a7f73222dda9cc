"""How much of standard input is read ahead."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

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
