from __future__ import annotations

import pytest

from ih_mcp.timeline.summary import describe_silence, summarise, totals

EMPTY: dict[str, object] = {
    "seconds": 0.0, "spans": [], "engagement": [], "dropped": [], "lost": {}, "not_sent": [],
    "usage": {},
}  # fmt: skip


def test_nothing_is_said_in_zeros() -> None:
    assert totals(EMPTY) == {
        "signals": {}, "engagement": [], "dropped_s": 0, "lost_s": 0, "not_sent_s": 0,
        "minutes_analysed": 0,
    }  # fmt: skip


def test_signals_are_counted_and_seconds_in_two_lists_are_left_out_once() -> None:
    drawing = EMPTY | {
        "seconds": 120.0,
        "spans": [{"signal": name} for name in ("hesitation", "agreement", "hesitation")],
        "engagement": [{"state": state} for state in ("engaged", "neutral", "engaged")],
        "dropped": [[0.0, 30.0], [20.0, 40.0]],
        "lost": {"media_s": [[30.0, 50.0]], "let_go_s": 3.0},
    }
    assert totals(drawing) == {
        "signals": {"hesitation": 2, "agreement": 1},
        "engagement": ["engaged", "neutral"],
        "dropped_s": 40.0,
        "lost_s": 23.0,
        "not_sent_s": 0,
        "minutes_analysed": round(70 / 60, 2),
    }


def test_what_was_refused_is_not_said_to_be_analysed() -> None:
    usage = {"delivered_s": 6.0, "analysed_s": 0.0, "dropped_s": 6.0}
    made = totals(EMPTY | {"seconds": 6.0, "usage": usage})
    assert (made["dropped_s"], made["minutes_analysed"]) == (6.0, 0)


def test_what_was_not_sent_is_named_and_not_said_to_be_analysed() -> None:
    made = totals(EMPTY | {"seconds": 60.0, "not_sent": [[45.0, 60.0]]})
    assert (made["not_sent_s"], made["minutes_analysed"]) == (15.0, 0.75)


def test_a_sentence_names_the_first_signals() -> None:
    def said(*names: str) -> str:
        drawing = EMPTY | {"spans": [{"signal": name} for name in names], "degraded": []}
        return summarise(drawing).partition(", no engagement told")[0]

    assert said("interest") == "1 signal (interest)"
    assert said("interest", "stress", "interest") == "2 signals (interest, stress) in 3 spans"
    assert said("a", "b", "c", "d", "e") == "5 signals (a, b, c and 2 more)"
    assert said("\x1b[1m") == r"1 signal (\x1b[1m)"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, True),
        ({"seconds": 59.0}, True),
        ({"seconds": 61.0}, False),
        ({"spans": [{"signal": "interest"}]}, False),
    ],
)
def test_little_media_without_a_signal_says_why(values: dict[str, object], says: bool) -> None:
    assert ("12 s of speech" in describe_silence(EMPTY | values)) is says
