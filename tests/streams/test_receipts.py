"""The ledger of a leg: what each word of the service says of segments."""

from __future__ import annotations

import tracemalloc

import pytest

from ih_mcp.streams.receipts import Receipt, SegmentLedger, SegmentReceipt
from ih_mcp.wire.messages import Completed, Ended, Error, Processing, Reading
from ih_mcp.wire.progress import MAX_ITEMS


def sent(*ends: float | None) -> SegmentLedger:
    """Segments of three seconds that end there, or have no times."""
    receipts = SegmentLedger()
    for end in ends:
        start = None if end is None else end - 3
        receipts.add_sent(1000, start_seconds=start, end_seconds=end)
    return receipts


def told(receipts: SegmentLedger) -> list[str]:
    return [receipts.receipt_of(number).receipt.value for number in range(1, len(receipts) + 1)]


def test_a_line_is_what_was_written() -> None:
    receipts = sent(3.0, None)
    assert receipts.receipt_of(1) == SegmentReceipt(1, 1000, 0.0, 3.0, Receipt.SENT)
    assert receipts.receipt_of(2) == SegmentReceipt(2, 1000, None, None, Receipt.SENT)


def test_a_segment_that_the_service_works_on_is_not_done() -> None:
    receipts = sent(3.0)
    receipts.note(Processing(1))
    assert told(receipts) == ["processing"]
    assert receipts.answered_seconds == 0.0


def test_each_segment_has_its_own_last_word() -> None:
    receipts = sent(3.0, 6.0, 9.0)
    receipts.mark_delivered(3)
    for message in (Processing(1), Completed(1), Processing(2), Error(code="ih5004", segment=2)):
        receipts.note(message)
    assert told(receipts) == ["completed", "refused", "delivered"]
    assert receipts.counts() == {"delivered": 1, "completed": 1, "refused": 1}
    assert receipts.answered_seconds == 6.0


def test_a_segment_that_is_refused_at_once_says_nothing_of_those_before_it() -> None:
    receipts = sent(3.0, 6.0)
    receipts.note(Error(code="ih6002", segment=2))
    assert told(receipts) == ["sent", "refused"]
    assert receipts.answered_seconds == 0.0
    assert receipts.use.analysed_seconds == 0.0


def test_a_word_about_a_segment_that_was_never_sent_changes_nothing() -> None:
    receipts = sent(3.0)
    for number in (0, 2, -1):
        receipts.note(Completed(number))
    assert told(receipts) == ["sent"]


def test_dropped_seconds_are_those_of_whole_segments_whose_times_are_known() -> None:
    receipts = sent(3.0, 6.0, None)
    receipts.note(Reading("coverage.dropped", {"ranges": [{"start": 2.0, "end": 6.0}]}))
    assert told(receipts) == ["sent", "dropped", "sent"]
    assert receipts.dropped_seconds == 4.0


def test_ranges_that_overlap_are_dropped_once_and_only_what_was_sent_counts() -> None:
    receipts = sent(3.0, 6.0, 9.0)
    ranges = [(4, 7), (-5, 3.5), (3, 4.5), (8, 1e6), (9, 2)]
    told_of = [{"start": start, "end": end} for start, end in ranges]
    receipts.note(Reading("coverage.dropped", {"ranges": told_of}))
    assert told(receipts) == ["dropped", "dropped", "sent"]
    assert receipts.dropped_seconds == 7.0 + 1.0


def test_the_newest_ranges_of_a_message_are_learned_from_and_no_more() -> None:
    receipts = sent(3.0, 6.0)
    many = [{"start": 0, "end": 3}, *[{"start": 3, "end": 6}] * MAX_ITEMS]
    receipts.note(Reading("coverage.dropped", {"ranges": many}))
    assert told(receipts) == ["sent", "dropped"]


def test_an_end_in_order_settles_all_that_is_open() -> None:
    receipts = sent(3.0, None, 6.0)
    receipts.note(Error(code="ih5004", segment=1))
    receipts.note(Ended(reason="client"))
    assert told(receipts) == ["refused", "completed", "completed"]
    assert receipts.answered_seconds == 6.0


def test_after_a_loss_what_was_answered_is_done_and_the_rest_is_unknown() -> None:
    receipts = sent(3.0, 6.0, None)
    receipts.note_progress(3.0, 0.0)
    receipts.note_lost()
    assert told(receipts) == ["completed", "unknown", "unknown"]
    receipts.mark_resent(2)
    assert told(receipts) == ["completed", "resent", "resent"]
    assert receipts.counts() == {"completed": 1, "resent": 2}


def test_a_segment_takes_no_more_than_a_few_bytes() -> None:
    """Ten hours of a recorder that gives four chunks a second are 144,000."""
    tracemalloc.start()
    try:
        receipts = sent(*(float(number) for number in range(20_000)))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used / len(receipts) < 32


def test_ranges_that_make_no_sense_drop_nothing_and_do_not_hide_one_that_does() -> None:
    receipts = sent(3.0, 6.0)
    wrong = [(2.0, 1.0), ("0", 3.0), (0.0, None), (0.0, float("nan")), (True, "x")]
    told_of: list[object] = [{"start": start, "end": end} for start, end in wrong]
    receipts.note(Reading("coverage.dropped", {"ranges": told_of}))
    assert (told(receipts), receipts.dropped_seconds) == (["sent", "sent"], 0.0)
    receipts.note(Reading("coverage.dropped", {"ranges": [*told_of, {"start": 3, "end": 6}]}))
    assert (told(receipts), receipts.dropped_seconds) == (["sent", "dropped"], 3.0)


@pytest.mark.parametrize("start", [None, 1.0])
@pytest.mark.parametrize("end", [None, 4.0])
def test_the_times_that_are_known_of_a_segment_are_moved(
    start: float | None, end: float | None
) -> None:
    moved = SegmentReceipt(1, 9, start, end, Receipt.SENT).moved(30.0)
    assert moved == SegmentReceipt(1, 9, start and 31.0, end and 34.0, Receipt.SENT)
