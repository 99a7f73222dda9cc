from __future__ import annotations

import anyio
import pytest

from ih_mcp.media.cutter import Segment
from ih_mcp.streams.live import Waiting


def segment(number: int, *, headed: bool = False) -> Segment:
    start = 3.0 * number
    return Segment(
        b"x", start, start + 3, headed, is_key=True, has_leading=False, first_seconds=start
    )


def test_the_oldest_goes_for_the_newest_and_how_much_is_told() -> None:
    waiting = Waiting(max_seconds=6)
    assert [waiting.put(segment(n)) for n in range(4)] == [0, 0, 3, 3]
    assert [waiting.take().start_seconds, waiting.take().start_seconds] == [6, 9]


def test_the_one_with_the_header_stays() -> None:
    waiting = Waiting(max_seconds=6)
    gone = [waiting.put(segment(n, headed=n == 0)) for n in range(4)]
    assert gone == [0, 0, 3, 3]
    assert [waiting.take().start_seconds, waiting.take().start_seconds] == [0, 9]


def test_one_segment_may_wait_however_long_it_is() -> None:
    waiting = Waiting(max_seconds=1)
    assert waiting.put(segment(0)) == 0


@pytest.mark.parametrize("is_first", [True, False])
async def test_who_sends_waits_for_the_next_or_the_end(is_first: bool) -> None:
    waiting = Waiting()
    heads: list[Segment | None] = []

    async def wait() -> None:
        heads.append(await waiting.head())

    with anyio.fail_after(2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            if is_first:
                waiting.put(segment(0))
            else:
                waiting.complete()
    assert [head is not None for head in heads] == [is_first]
