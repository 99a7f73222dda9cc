from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ih_mcp.errors import MinutesUsedUpError, UsedUpError
from ih_mcp.wire.minutes import (
    ASK_OVER,
    BYTES_PER_DAY,
    LIVE_STREAMS,
    PER_DAY,
    PER_MONTH,
    PER_STREAM,
    UNLIMITED,
    MediaUse,
    MinuteLimit,
    MinutesBudget,
    Per,
    SessionMeter,
    sum_use,
    to_minutes,
)

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


def use(delivered: float, analysed: float = 0.0, dropped: float = 0.0) -> MediaUse:
    return MediaUse(delivered_seconds=delivered, analysed_seconds=analysed, dropped_seconds=dropped)


def budget(**seconds: float) -> MinutesBudget:
    rows = {
        "stream": (PER_STREAM, Per.STREAM),
        "day": (PER_DAY, Per.DAY),
        "month": (PER_MONTH, Per.MONTH),
        "ask": (ASK_OVER, Per.STREAM),
    }
    return MinutesBudget(
        limits=tuple(
            MinuteLimit(setting=rows[name][0], per=rows[name][1], seconds=value)
            for name, value in seconds.items()
        )
    )


def refusal(limits: MinutesBudget, seconds: float, **used: float) -> MinutesUsedUpError:
    with pytest.raises(MinutesUsedUpError) as error:
        limits.require(seconds, now=NOON, **({"of_stream": 0.0, "of_day": 0.0} | used))
    return error.value


def test_what_is_delivered_counts_until_the_service_says_that_it_was_dropped() -> None:
    assert use(10, 4, 3).unknown_seconds == 3
    assert use(10, 4, 3).counted_seconds == 7
    assert use(1, 4).unknown_seconds == 0
    assert sum_use([use(10, 4, 3), use(5, 5)]) == use(15, 9, 3)
    assert use(15, 9, 3) - use(10, 4, 3) == use(5, 5)


def test_unknown_seconds_are_named_only_where_there_are_any() -> None:
    assert use(3, 3).to_json() == {"delivered_s": 3, "analysed_s": 3, "dropped_s": 0}
    assert use(3.0004, 1).to_json()["unknown_s"] == 2.0


def test_a_session_knows_what_became_of_each_second() -> None:
    meter = SessionMeter()
    meter.send(0, 3, 3)
    meter.send(3, 6, 3)
    meter.send(6, 9, 3)
    assert meter.use == use(9)
    meter.reach(7)
    meter.leave_out(2, 4)
    assert meter.use == use(9, 5, 2)
    meter.leave_out(2, 4)  # said again
    meter.leave_out(8, 100)  # beyond what was sent
    meter.reach(3)  # never back
    assert meter.use == use(9, 5, 3)


def test_media_that_is_sent_twice_is_delivered_twice_and_analysed_once() -> None:
    meter = SessionMeter()
    for _ in range(2):
        meter.send(0, 3, 3)
    meter.reach(3)
    assert meter.use == use(6, 3)


def test_media_whose_times_cannot_be_read_counts_as_far_as_it_was_analysed() -> None:
    meter = SessionMeter()
    meter.send(None, None, 1.5)
    assert meter.use == use(1.5)
    meter.reach(60)
    assert meter.use == use(60, 60)


def test_a_limit_may_be_used_to_its_last_second() -> None:
    limits = budget(stream=60, day=120)
    limits.require(60, of_stream=0, of_day=60, now=NOON)
    limits.require(0.1, of_stream=59.9 + 1e-9, of_day=0, now=NOON)
    UNLIMITED.require(1e308, of_stream=0, of_day=1e308, now=NOON)


def test_a_refusal_names_the_limit_what_is_left_and_who_can_raise_it() -> None:
    error = refusal(budget(stream=600, day=1200), 90.5, of_day=1140)
    assert error.code == "minutes_used_up"
    assert not error.retry
    assert error.what == (
        "1.51 minutes of media would exceed the limit of 20 minutes a day; 1 are left"
    )
    assert error.help == (
        "Wait for the next day, which begins at 00:00 UTC, or ask the person who runs ih-mcp to "
        "raise IH_MCP_MAX_MINUTES_PER_DAY."
    )
    assert error.facts == {
        "setting": PER_DAY,
        "limit_minutes": 20,
        "left_minutes": 1,
        "needed_minutes": 1.51,
        "retry_after_s": 12 * 3600,
    }


def test_a_month_is_refused_until_the_next_one_begins() -> None:
    error = refusal(budget(day=1200, month=6000), 60, of_day=0, of_month=5970)
    assert error.what == (
        "1 minute of media would exceed the limit of 100 minutes a month; 0.5 are left"
    )
    assert error.help == (
        "Wait for the next month, which begins on its first day at 00:00 UTC, or ask the person "
        "who runs ih-mcp to raise IH_MCP_MAX_MINUTES_PER_MONTH."
    )
    assert error.facts["retry_after_s"] == 36 * 3600


@pytest.mark.parametrize(
    ("now", "day", "month"),
    [
        ("2026-12-31T23:59:59.5", 1, 1),
        ("2026-12-01T00:00:00", 86_400, 31 * 86_400),
        ("2028-02-28T00:00:00", 86_400, 2 * 86_400),
    ],
)
def test_a_day_and_a_month_end_where_the_calendar_says(now: str, day: int, month: int) -> None:
    at = datetime.fromisoformat(f"{now}+00:00")
    assert (Per.DAY.seconds_left(at), Per.MONTH.seconds_left(at)) == (day, month)
    assert Per.STREAM.seconds_left(at) is None


def test_bytes_of_a_day_are_refused_with_what_is_left() -> None:
    limits = MinutesBudget(max_bytes_per_day=1_000_000)
    limits.require_bytes(1_000, of_day=999_000, now=NOON)
    with pytest.raises(UsedUpError) as error:
        limits.require_bytes(1_001, of_day=999_000, now=NOON)
    assert error.value.code == "bytes_used_up"
    assert error.value.what == (
        "1_001 bytes of media would exceed the limit of 1_000_000 a day; 1_000 are left"
    )
    assert error.value.facts == {
        "setting": BYTES_PER_DAY,
        "limit_bytes": 1_000_000,
        "left_bytes": 1_000,
        "needed_bytes": 1_001,
        "retry_after_s": 12 * 3600,
    }


def test_live_streams_are_refused_with_what_helps() -> None:
    limits = MinutesBudget(max_live_streams=2)
    limits.require_live_streams(1)
    with pytest.raises(UsedUpError) as error:
        limits.require_live_streams(2)
    assert (error.value.code, error.value.retry) == ("streams_used_up", True)
    assert error.value.facts == {
        "setting": LIVE_STREAMS,
        "live": 2,
        "left": 0,
        "retry_after_s": 5,
    }


@pytest.mark.parametrize("name", ["stream", "ask"])
def test_the_limit_of_a_stream_counts_that_stream(name: str) -> None:
    error = refusal(budget(**{name: 60}), 1, of_stream=60, of_day=0)
    assert error.facts["setting"] == {"stream": PER_STREAM, "ask": ASK_OVER}[name]
    assert error.facts["left_minutes"] == 0


def test_a_limit_of_zero_lets_nothing_through() -> None:
    error = refusal(budget(day=0), 0)
    assert error.what == "more media would exceed the limit of 0 minutes a day; 0 are left"
    refusal(budget(stream=0), 0.04)


def test_minutes_are_never_shown_as_fewer_than_needed_or_more_than_left() -> None:
    assert to_minutes(60.1, up=True) == 1.01
    assert to_minutes(59.9, up=False) == 0.99
    assert to_minutes(18, up=True) == to_minutes(18, up=False) == 0.3
    assert to_minutes(float("inf"), up=False) == float("inf")


def test_what_was_analysed_and_what_was_dropped_was_delivered_too() -> None:
    meter = SessionMeter()
    meter.send(0.0, 10.0, 4.0)  # its times say more than its length
    meter.leave_out(2.0, 3.0)
    meter.reach(8.0)
    assert meter.use == MediaUse(delivered_seconds=8.0, analysed_seconds=7.0, dropped_seconds=1.0)


def test_seconds_are_told_to_the_millisecond() -> None:
    use = MediaUse(delivered_seconds=1.00049, analysed_seconds=0.50051, dropped_seconds=0.25049)
    assert use.to_json() == {
        "delivered_s": 1.0,
        "analysed_s": 0.501,
        "dropped_s": 0.25,
        "unknown_s": 0.249,
    }
