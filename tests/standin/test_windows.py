from __future__ import annotations

import itertools
from random import Random

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.standin.analysis.windows import Window, WindowGrid, open_window_queue


def grid(min_seconds: float = 3.0) -> WindowGrid:
    return WindowGrid(window_seconds=8, hop_seconds=3, min_seconds=min_seconds)


def test_windows_slide_over_what_is_known() -> None:
    windows = grid()
    assert windows.reach(7.9) == []
    assert windows.reach(11) == [Window(0, 0, 8), Window(1, 3, 11)]
    assert windows.reach(13) == []
    assert windows.finish(15.5) == [Window(2, 6, 14), Window(3, 9, 15.5)]


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (2.9, []),
        (3.0, [(0, 3.0)]),
        (8.0, [(0, 8)]),
        (8.1, [(0, 8), (3, 8.1)]),
        (11.0, [(0, 8), (3, 11)]),
    ],
)
def test_the_last_window_is_shorter_where_it_shows_something_new(
    end: float, expected: list[tuple[float, float]]
) -> None:
    assert [(w.start_seconds, w.end_seconds) for w in grid().finish(end)] == expected


@given(st.lists(st.floats(0, 5), max_size=20), st.floats(3, 60))
def test_windows_do_not_depend_on_the_steps_in_which_media_became_known(
    steps: list[float], end: float
) -> None:
    stepwise, at = grid(), 0.0
    windows = []
    for step in steps:
        at = min(end, at + step)
        windows += stepwise.reach(at)
    assert windows + stepwise.finish(end) == grid().finish(end)


@given(st.floats(3, 200))
def test_windows_cover_the_media_and_start_every_hop(end: float) -> None:
    windows = grid().finish(end)
    assert [w.start_seconds for w in windows] == [3.0 * index for index in range(len(windows))]
    assert windows[-1].end_seconds == end
    assert all(a.end_seconds >= b.start_seconds for a, b in itertools.pairwise(windows))


@pytest.mark.parametrize("seed", range(10))
async def test_results_come_in_order_whatever_takes_how_long(seed: int) -> None:
    random = Random(seed)  # noqa: S311 - a test
    running, most = 0, 0

    async def analyse(window: Window) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(random.randrange(30)):
            await anyio.lowlevel.checkpoint()
        running -= 1
        return window.index

    async def submit_all() -> None:
        for window in windows:
            await line.submit(window, sheds=window.index % 7 == 3)
        line.end()

    windows = grid().finish(200)
    with anyio.fail_after(5):
        async with (
            open_window_queue(analyse, max_concurrent=3, max_waiting=2) as line,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(submit_all)
            results = [result async for result in line.results()]
    assert results == [(w, None if w.index % 7 == 3 else w.index) for w in windows]
    assert 1 < most <= 3


async def test_a_full_pipeline_makes_the_sender_wait_until_results_are_taken() -> None:
    async def analyse(_: Window) -> None:
        await anyio.lowlevel.checkpoint()

    sent: list[int] = []

    async def submit_all() -> None:
        for window in grid().finish(60):
            await line.submit(window)
            sent.append(window.index)
        line.end()

    with anyio.fail_after(5):
        async with (
            open_window_queue(analyse, max_concurrent=1, max_waiting=2) as line,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(submit_all)
            await anyio.wait_all_tasks_blocked()
            assert sent == [0, 1, 2]
            assert [window.index async for window, _ in line.results()] == list(range(19))


async def test_a_full_pipeline_sheds_where_it_may() -> None:
    gate = anyio.Event()

    async def analyse(window: Window) -> int:
        await gate.wait()
        return window.index

    with anyio.fail_after(5):
        async with open_window_queue(analyse, max_concurrent=1, max_waiting=1, sheds=True) as line:
            for window in grid().finish(20):
                await line.submit(window)
            line.end()
            gate.set()
            results = [result async for _, result in line.results()]
    assert results == [0, 1, None, None, None]


async def test_leaving_a_pipeline_cancels_what_is_on_its_way() -> None:
    started = anyio.Event()

    async def analyse(_: Window) -> None:
        started.set()
        await anyio.sleep_forever()

    with anyio.fail_after(5):
        async with open_window_queue(analyse, max_concurrent=1, max_waiting=1) as line:
            await line.submit(Window(0, 0, 8))
            await started.wait()


async def test_a_window_that_comes_after_the_session_was_cut_off_is_no_error() -> None:
    async def look(window: Window) -> int:
        return window.index

    async with open_window_queue(look, max_concurrent=1, max_waiting=1) as windows:
        with anyio.CancelScope() as scope:
            scope.cancel()
            async for _ in windows.results():
                raise AssertionError("nothing was submitted")
        await windows.submit(Window(0, 0.0, 8.0))
