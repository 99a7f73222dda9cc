from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.streams.pacing import AHEAD_SECONDS, PaceName, Pacer


@pytest.mark.parametrize(
    ("name", "at"), [("auto", 100 + 60 - 17), ("realtime", 100 + 60), ("fast", 100)]
)
def test_a_segment_that_ends_after_a_minute_goes_then(name: str, at: float) -> None:
    assert Pacer(PaceName(name), now=100).send_at(60) == at


def test_an_answer_lets_the_next_ones_go_at_once() -> None:
    pace = Pacer(PaceName.AUTO, now=0)
    pace.learn(answered=43, dropped=0, now=2)
    assert pace.send_at(60) == 2
    assert pace.send_at(61) > 2


def test_between_answers_a_service_is_believed_to_go_on_for_a_while_then_in_real_time() -> None:
    fast, slow = Pacer(PaceName.AUTO, now=0), Pacer(PaceName.AUTO, now=0)
    fast.learn(answered=199, dropped=0, now=1)  # a speed of 100, from 1
    assert fast.send_at(199 + AHEAD_SECONDS + 6) == pytest.approx(1 + 6 / 100)
    assert fast.send_at(199 + AHEAD_SECONDS + 6 + 10) == pytest.approx(1 + 6 / 100 + 10)
    for minute in range(1, 10):
        slow.learn(answered=30 * minute, dropped=0, now=60 * minute)
    assert slow.send_at(270 + AHEAD_SECONDS + 10) == pytest.approx(540 + 20, abs=0.2)


def test_after_a_drop_less_is_sent_ahead_and_the_rest_slower() -> None:
    pace = Pacer(PaceName.AUTO, now=0)
    pace.learn(answered=30, dropped=5, now=10)
    assert pace.ahead_seconds == 11
    assert pace.send_at(30 + 11 + 10) == 10 + 20
    pace.learn(answered=30, dropped=9, now=11)
    assert pace.ahead_seconds == 11
    recovering = Pacer(PaceName.AUTO, now=0)
    recovering.learn(answered=30, dropped=5, now=10)
    for second in range(11, 30):
        recovering.learn(answered=30 + second, dropped=5, now=second)
    assert recovering.ahead_seconds == AHEAD_SECONDS
    assert pace.send_at(30 + 11 + 10) == 11 + 40


def test_the_clock_of_an_answer_stands_until_the_next() -> None:
    pace = Pacer(PaceName.AUTO, now=0)
    pace.learn(answered=43, dropped=1, now=2)
    goes_at = pace.send_at(90)
    for now in (3, 5):
        pace.learn(answered=43, dropped=1, now=now)
        assert pace.send_at(90) == goes_at


def test_other_paces_do_not_listen() -> None:
    pace = Pacer(PaceName.REALTIME, now=0)
    pace.learn(answered=30, dropped=5, now=10)
    assert pace.send_at(60) == 60
    assert pace.ahead_seconds == 0.0


def test_a_new_session_begins_with_nothing_answered() -> None:
    pace = Pacer(PaceName.AUTO, now=0)
    pace.begin_anew(at=600, now=50)
    assert pace.send_at(600 + AHEAD_SECONDS) == 50
    assert pace.send_at(600 + AHEAD_SECONDS + 6) == 56
    live = Pacer(PaceName.REALTIME, now=0)
    live.begin_anew(at=600, now=700)  # 100 s were lost: the rest does not come all at once
    assert live.send_at(603) == 703


@given(
    st.lists(st.tuples(st.floats(0.1, 60), st.integers(0, 30), st.booleans()), max_size=30),
    st.floats(0, 100),
)
def test_never_more_than_a_bounded_lead_over_answers_and_real_time(
    steps: list[tuple[float, int, bool]], extra: float
) -> None:
    pace, now, answered, dropped, told_at = Pacer(PaceName.AUTO, now=0), 0.0, 0.0, 0.0, 0.0
    for seconds, further, drops in steps:
        now, answered = now + seconds, answered + further
        dropped += drops
        told_at = now if further or drops else told_at
        pace.learn(answered=answered, dropped=dropped, now=now)
        at = pace.send_at(answered + AHEAD_SECONDS + 6 + extra)
        assert at >= told_at + extra - 1e-6
