from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.errors import JournalError, MediaError, TransportError
from ih_mcp.net.retry import MAX_WAIT_SECONDS, RetryBudget, find_policy
from ih_mcp.wire.endings import EndReason
from ih_mcp.wire.error_catalog import CLOSE_CODES, ROWS, STATUSES, Retry
from ih_mcp.wire.refusal import classify_refusal, refusal_error

LOST = TransportError("the connection was lost", code="connection_lost", retry=True)
NO_MORE = {Retry.NEVER, Retry.SAME_SESSION}


def chance(value: float = 0.0) -> RetryBudget:
    return RetryBudget(chance=lambda: value)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.code)
def test_what_the_catalog_says_of_an_id_decides(row: object) -> None:
    said = classify_refusal(row.code)  # type: ignore[attr-defined]
    answer = find_policy(refusal_error("x", error_id=row.code, close_code=1001))  # type: ignore[attr-defined]
    assert (answer is None) == (said.retry in NO_MORE)


@pytest.mark.parametrize("code", CLOSE_CODES)
def test_what_the_catalog_says_of_a_close_code_decides(code: int) -> None:
    answer = find_policy(refusal_error("x", close_code=code))
    assert (answer is None) == (CLOSE_CODES[code].retry in NO_MORE)


@pytest.mark.parametrize("status", STATUSES)
def test_what_the_catalog_says_of_a_status_decides(status: int) -> None:
    answer = find_policy(refusal_error("x", status=status))
    assert (answer is None) == (STATUSES[status].retry in NO_MORE)


@pytest.mark.parametrize(
    ("failure", "tries", "least"),
    [
        (LOST, 6, 0),
        (TransportError("x", code="unreachable", retry=True), 6, 0),
        (TransportError("x", code=EndReason.PEER_SILENT), 6, 0),
        (TransportError("x", code=EndReason.UPLOAD_STALLED), 6, 0),
        (TransportError("x", code=EndReason.MESSAGE_TOO_BIG), 1, 0),
        (TransportError("x", code="not_ready"), 1, 0),
        (refusal_error("x", close_code=1011), 2, 0),
        (refusal_error("x", close_code=1013), 6, 5),
        (refusal_error("x", close_code=1001), 6, 0),
        (refusal_error("x", close_code=1012), 6, 0),
        (refusal_error("x", close_code=1014), 6, 0),
        (refusal_error("x", error_id="ih1003", close_code=1013), 6, 5),
        (refusal_error("x", error_id="ih5004", close_code=1003), 1, 0),
        (refusal_error("x", status=429), 6, 30),
        (refusal_error("x", status=429, retry_after="12"), 6, 12),
        (refusal_error("x", status=503, retry_after="2.5"), 6, 2.5),
        (
            refusal_error(
                "x",
                status=429,
                retry_after="Fri, 20 Nov 2026 10:00:20 GMT",
                date="Fri, 20 Nov 2026 10:00:00 GMT",
            ),
            6,
            20,
        ),
        (refusal_error("x", status=599), 6, 0),
    ],
)
def test_how_often_and_how_soon(failure: TransportError, tries: int, least: float) -> None:
    answer = find_policy(failure)
    assert answer
    assert (answer.max_attempts, answer.min_seconds) == (tries, least)


@pytest.mark.parametrize(
    "failure",
    [
        TransportError("x", code="tls"),
        TransportError("x", code="not_a_websocket"),
        TransportError("x", code=EndReason.BROKEN_FRAMES),
        refusal_error("x", status=429, retry_after=str(MAX_WAIT_SECONDS + 1)),
        refusal_error(
            "x",
            status=429,
            retry_after="Fri, 20 Nov 2026 10:01:01 GMT",
            date="Fri, 20 Nov 2026 10:00:00 GMT",
        ),
        refusal_error("x", status=429, error_id="ih3006"),
        refusal_error("x", status=418),
        refusal_error("x", close_code=1002),
        refusal_error("x", close_code=1009),
        refusal_error("x", close_code=4999),
        MediaError("x"),
        JournalError("x"),
    ],
)
def test_what_another_try_cannot_help(failure: TransportError) -> None:
    assert find_policy(failure) is None
    assert chance().next_attempt(failure, now=0) is None


def test_delays_are_drawn_from_a_span_that_doubles_up_to_a_cap() -> None:
    late, soon = chance(1.0), chance(0.0)
    assert [again.seconds for _ in range(6) if (again := late.next_attempt(LOST, now=0))] == [
        0.5, 1, 2, 4, 8, 15,
    ]  # fmt: skip
    attempts = [soon.next_attempt(LOST, now=0) for _ in range(9)]
    assert [again.seconds for again in attempts if again] == [0.0] * 6


def test_an_outage_is_given_up_after_a_minute() -> None:
    retries = chance()
    assert retries.next_attempt(LOST, now=100)
    assert retries.next_attempt(LOST, now=159)
    assert retries.next_attempt(LOST, now=161) is None


def test_a_session_that_proved_good_begins_a_new_outage() -> None:
    retries = chance()
    for _ in range(6):
        assert retries.next_attempt(LOST, now=0)
    assert retries.next_attempt(LOST, now=0) is None
    retries.reset()
    again = retries.next_attempt(LOST, now=1_000)
    assert again
    assert (again.number, again.max_attempts) == (1, 6)


def test_ten_new_sessions_in_an_hour_are_the_most() -> None:
    retries = chance()
    for minute in range(10):
        assert retries.next_attempt(LOST, now=60 * minute)
        retries.reset()
    assert retries.next_attempt(LOST, now=601) is None
    assert retries.is_unstable
    assert retries.next_attempt(LOST, now=3_601)


def test_a_session_that_was_idle_is_opened_anew_only_for_media() -> None:
    again = chance().next_attempt(refusal_error("x", error_id="ih6003", close_code=1001), now=0)
    assert again
    assert again.waits_for_media


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1)), max_size=40))
def test_no_outage_has_more_than_six_tries_or_lasts_longer_than_a_minute(
    steps: list[tuple[float, float]],
) -> None:
    draws = [draw for _, draw in steps]
    retries = RetryBudget(chance=lambda: draws.pop(0), per_hour=1_000)
    now, tried = 0.0, []
    for pause, _ in steps:
        now += pause
        if again := retries.next_attempt(LOST, now=now):
            tried.append(now + again.seconds)
            now += again.seconds
    assert len(tried) <= 6
    assert not tried or tried[-1] - steps[0][0] <= 60.0 + 1e-6
