from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from ih_mcp.streams.outbox import AWAY_BYTES, Outbox, QueueBudget, QueuedSegment, RandomAccessPoint
from ih_mcp.wire.messages import Close


def segment(size: int, end: float | None = None) -> QueuedSegment:
    return QueuedSegment(b"x" * size, None, end)


def test_an_empty_outbox_takes_any_segment_and_a_full_one_none() -> None:
    outbox = Outbox(10)
    assert outbox.has_room(100)
    outbox.put(segment(6))
    assert outbox.has_room(4)
    assert not outbox.has_room(5)


async def test_many_outboxes_share_what_may_wait_and_none_is_starved() -> None:
    queued = QueueBudget(10)
    assert queued.has_room(10)
    assert not queued.has_room(11)
    full, other = Outbox(10, queued=queued), Outbox(10, queued=queued)
    full.put(segment(9))
    assert other.has_room(8)  # its first one
    other.put(segment(1))
    assert not other.has_room(1)
    taken = anyio.Event()

    async def wait() -> None:
        await other.wait_for_room(5)
        taken.set()

    with anyio.fail_after(2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert not taken.is_set()
            full.remove_written()
            await taken.wait()
    assert queued.bytes == 1
    assert other.clear() == 1
    assert queued.bytes == 0


def test_without_a_connection_two_segments_or_eight_mebibytes_wait() -> None:
    outbox = Outbox()
    outbox.is_away = True
    outbox.put(segment(AWAY_BYTES - 5))
    assert not outbox.has_room(6)
    assert outbox.has_room(5)
    outbox.put(segment(5))
    assert not outbox.has_room(0)


async def test_a_connection_that_is_back_makes_room_for_who_waits() -> None:
    outbox = Outbox()
    outbox.set_away(True)
    outbox.put(segment(5))
    outbox.put(segment(5))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.wait_for_room, 5)
        await anyio.wait_all_tasks_blocked()
        outbox.set_away(False)
    assert outbox.has_room(5)


async def test_what_is_put_back_is_sent_by_who_waits_for_a_segment() -> None:
    outbox = Outbox(keeps_sent=True)
    outbox.put(segment(5, 1.0))
    outbox.remove_written()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.head)
        await anyio.wait_all_tasks_blocked()
        assert outbox.put_back() == 1
    assert await outbox.head() == segment(5, 1.0)


def test_what_was_sent_is_kept_only_where_asked_and_until_it_is_settled() -> None:
    outbox = Outbox(100, keeps_sent=True)
    for end in (1, 2, 3):
        outbox.put(segment(40, end))
        outbox.remove_written()  # the first one no longer fits when the third comes
    outbox.put(Close())
    outbox.forget_settled(2)
    assert outbox.put_back() == 1
    assert (outbox.bytes, outbox.segments, outbox.closes) == (40, 1, True)
    forgetful = Outbox(100)
    forgetful.put(segment(1))
    forgetful.remove_written()
    assert forgetful.put_back() == 0


def test_what_all_outboxes_keep_to_send_again_is_bounded_too() -> None:
    queued = QueueBudget(100)
    first, second = (Outbox(100, queued=queued, keeps_sent=True) for _ in range(2))
    for outbox in (first, second, second, second):
        outbox.put(segment(40))
        outbox.remove_written()
    assert queued.kept_bytes == 80
    assert first.put_back() == 1
    assert second.put_back() == 1
    assert (queued.kept_bytes, queued.bytes) == (0, 80)
    second.clear()
    second.put(segment(90))
    second.remove_written()
    assert second.clear() == 0
    assert (queued.kept_bytes, queued.bytes) == (0, 40)


def test_pictures_are_whole_from_where_a_session_can_begin_unless_a_file_says_otherwise() -> None:
    assert RandomAccessPoint() == RandomAccessPoint(b"", 0, None, is_clean=True)


def test_a_segment_is_parted_where_a_session_can_begin() -> None:
    outbox = Outbox()
    outbox.put(QueuedSegment(b"oldNEW", 0.0, 3.0, RandomAccessPoint(b"H", 3, 1.5)))
    outbox.split_head()
    assert outbox.segments == 2
    assert outbox.bytes == 6


@pytest.mark.parametrize("offset", [0, 3])
def test_both_parts_are_all_of_it(offset: int) -> None:
    before, after = QueuedSegment(
        b"oldNEW", 0.0, 3.0, RandomAccessPoint(b"H", offset, 1.5)
    ).split_at_access_point()
    assert before.data + after.data == b"oldNEW"
    assert after.entry == RandomAccessPoint(b"H", 0, 1.5)


def test_both_parts_are_written_with_another_clock_as_the_whole_is() -> None:
    def rebased(origin_seconds: float, *, headed: bool) -> bytes:
        clock = b"%d" % origin_seconds
        return b"H" + b"NEW" + clock if headed else b"old" + b"NEW" + clock

    whole = QueuedSegment(b"oldNEW?", 0.0, 3.0, RandomAccessPoint(b"", 3, 1.5), rebased)
    before, after = whole.split_at_access_point()
    assert before.rebased
    assert after.rebased
    assert before.rebased(2, headed=False) == b"old"
    assert after.rebased(2, headed=False) == b"NEW2"
    assert after.rebased(1, headed=True) == b"HNEW1"


@pytest.mark.parametrize(
    ("waiting", "size", "others_have_room", "is_full"),
    [(4, 6, False, True), (4, 7, False, False), (4, 6, True, False), (0, 6, False, False)],
)
def test_others_fill_it_where_there_would_be_room(
    waiting: int, size: int, others_have_room: bool, is_full: bool
) -> None:
    others = SimpleNamespace(has_room=lambda _: others_have_room)
    outbox = SimpleNamespace(bytes=waiting, _max_bytes=10, queued=others)
    assert Outbox.is_full_of_others(cast("Any", outbox), size) is is_full


@pytest.mark.parametrize(
    "change",
    [
        lambda outbox: outbox.put(Close()),
        lambda outbox: outbox.set_away(is_away=True),
        Outbox.remove_written,
        Outbox.leave_out,
        Outbox.leave_out_segments,
        Outbox.put_back,
        Outbox.clear,
    ],
)
async def test_each_change_wakes_who_waits_for_one(change: Callable[[Outbox], object]) -> None:
    outbox, woken = Outbox(10, keeps_sent=True), list[None]()
    outbox.put(segment(1))
    outbox.put(segment(2))

    async def wait() -> None:
        await outbox.changed()
        woken.append(None)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert not woken
        change(outbox)
        await anyio.wait_all_tasks_blocked()
        assert woken
        tasks.cancel_scope.cancel()
