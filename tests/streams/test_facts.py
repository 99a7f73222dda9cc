"""What is known of the segments of a stream over all its legs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from ih_mcp.streams.facts import StreamFacts
from ih_mcp.streams.receipts import SegmentLedger


def leg(count: int, shift_seconds: float) -> SimpleNamespace:
    ledger = SegmentLedger()
    for number in range(count):
        ledger.add_sent(9, start_seconds=float(number), end_seconds=number + 1.0)
    return SimpleNamespace(receipts=ledger, shift_seconds=shift_seconds)


def test_the_newest_segments_come_in_order_over_legs_in_media_time_of_the_stream() -> None:
    facts = cast("Any", SimpleNamespace(legs=[leg(3, 0.0), leg(2, 3.0)]))

    def starts(most: int) -> list[float | None]:
        return [each.start_seconds for each in StreamFacts.newest_receipts(facts, most)]

    assert starts(9) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert starts(3) == [2.0, 3.0, 4.0]
    assert starts(1) == [4.0]
    assert StreamFacts.count_receipts(facts).total() == 5


def test_the_media_that_was_sent_is_that_of_the_leg_which_came_farthest() -> None:
    sent_seconds = cast("Any", StreamFacts.sent_seconds).fget
    legs = [SimpleNamespace(sent_seconds=seconds) for seconds in (3.0, 5.0, None)]
    assert sent_seconds(SimpleNamespace(legs=legs)) == 5.0
    assert sent_seconds(SimpleNamespace(legs=[])) == 0.0


def test_what_was_answered_is_told_in_the_media_time_of_the_stream() -> None:
    receipts = SimpleNamespace(answered_seconds=2.0, window_seconds=1.0)
    legs = [SimpleNamespace(receipts=receipts, shift_seconds=shift) for shift in (0.0, 30.0, 4.0)]
    for name, seconds in (("answered_seconds", 32.0), ("window_seconds", 31.0)):
        told = cast("Any", getattr(StreamFacts, name)).fget
        assert told(SimpleNamespace(legs=legs)) == seconds
        assert told(SimpleNamespace(legs=[])) == 0.0
