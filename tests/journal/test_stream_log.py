"""What a log keeps in memory for those who follow a stream; the rest: see test_journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from ih_mcp.errors import JournalError
from ih_mcp.journal.stream_log import StreamLog


class NoWriter:
    """Commits nothing: the tests do."""

    def wake(self, log: StreamLog) -> None:
        pass

    async def write_record(
        self, log: StreamLog, record: Mapping[str, object], *, ended: bool
    ) -> None:
        pass


def log_of(*batches: Sequence[str | bytes]) -> StreamLog:
    log = StreamLog(NoWriter(), "st_1", 3)
    for bodies in batches:
        for number, body in enumerate(bodies):
            log.append(body, leg=number)
        batch = log.take_batch()
        assert batch
        log.mark_committed(batch)
    return log


def newest(
    log: StreamLog, after: int, *, limit: int = 100, max_chars: int = 10**6
) -> list[str | bytes] | None:
    entries = log.newest_after(after, limit=limit, max_chars=max_chars)
    return None if entries is None else [entry.body for entry in entries]


def test_the_newest_entries_are_at_hand_with_their_places() -> None:
    log = log_of(["a", b"b"], ["c"])
    found = log.newest_after(1, limit=100, max_chars=100)
    assert found is not None
    assert [(each.cursor, each.leg, each.body) for each in found] == [(2, 1, b"b"), (3, 0, "c")]
    assert all(each.received_at > 10**15 for each in found)
    log.append("waits for its commit", leg=0)
    assert newest(log, 0) == ["a", b"b", "c"]
    assert newest(log, 3) == newest(log, 9) == []


@pytest.mark.parametrize(
    ("limit", "max_chars", "page"),
    [(2, 100, ["aa", "bb"]), (9, 4, ["aa", "bb"]), (9, 3, ["aa"]), (9, 0, ["aa"]), (1, 9, ["aa"])],
)
def test_a_page_of_them_ends_where_one_of_the_file_does(
    limit: int, max_chars: int, page: list[str]
) -> None:
    assert newest(log_of(["aa", "bb", "cc"]), 0, limit=limit, max_chars=max_chars) == page


def test_so_many_bytes_and_entries_are_kept_and_what_is_before_is_in_the_file() -> None:
    large = "x" * 16 * 2**10
    log = log_of([large], [large, large])
    assert newest(log, 1) == [large, large]
    assert newest(log, 0) is None
    log = log_of([large + large + "x"])
    assert newest(log, 0) is None
    log = log_of(["a"] * 300, ["b"] * 2)
    assert newest(log, 302 - 256, limit=300) == ["a"] * 254 + ["b"] * 2
    assert newest(log, 302 - 257) is None


def test_what_was_removed_or_belongs_to_a_log_that_failed_is_asked_of_the_file() -> None:
    log = log_of(["a", "b", "c"])
    log.oldest = 2
    assert newest(log, 1) == ["b", "c"]
    assert newest(log, 0) is None
    log.fail(JournalError("the disk is full"))
    assert newest(log, 1) is None
    with pytest.raises(JournalError, match="the disk is full"):
        newest(log, 3)


def test_bytes_wait_until_a_writer_takes_them_or_they_cannot_be_written() -> None:
    log = log_of(["a", "\u00e9"], ["b"])
    assert (log.size, log.waiting_bytes) == (4, 0)
    log.append("cc", leg=0)
    assert log.waiting_bytes == 2
    log.fail(JournalError("the disk is full"))
    assert (log.size, log.waiting_bytes, log.take_batch()) == (4, 0, None)


async def test_a_log_that_ends_keeps_nothing_so_that_a_page_says_the_end() -> None:
    log = log_of(["a", "b"])
    await log.write_record({}, ended=False)
    assert newest(log, 1) == ["b"]
    await log.write_record({}, ended=True)
    assert newest(log, 1) is None
