"""What an end must still do: drain, write itself down, and count nothing that was not answered."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from ih_mcp.errors import MediaError
from ih_mcp.journal import Journal, open_journal
from ih_mcp.streams.receipts import SegmentLedger
from ih_mcp.streams.uploads import open_analyses
from ih_mcp.wire.messages import Completed

from .test_legs import HEAD, Services, cut, journal, over, running
from .test_uploads import JOB, Service, service, start

__all__ = ["journal", "service"]  # fixtures


async def test_a_feed_that_fails_while_reconnecting_still_has_what_waits_sent(
    journal: Journal,
) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0)
        await stream.put(cut(b"aa", 0))
        await first.hear()
        services.refuses = 1  # so that the failure finds it without a connection
        await first.socket.abort()
        await stream.until(lambda: stream.pending_reconnect is not None)
        await stream.put(cut(b"bb", 1))
        stream.fail(MediaError("the file breaks off", code="bad_media", help="Repair it."))
        second = await services.session(1)
        assert await second.hear() == HEAD + b"bb@0"
        await second.drain()
        await over(stream)
    assert stream.failure
    assert stream.failure.what == "the file breaks off"
    assert stream.unsent == 0


async def test_an_upload_that_is_left_is_written_down_as_stopped(
    tmp_path: Path, service: Service
) -> None:
    service.answers = [JOB % "queued"]
    with anyio.fail_after(10):
        async with open_journal(tmp_path) as journal:
            async with open_analyses(journal, poll_seconds=0.01) as analyses:
                analysis_id = await start(analyses, "v2")
                await service.waits.wait()
            row = await journal.find_stream(analysis_id)  # as the file has it
            await analyses.wait(analysis_id)
    assert row.ended_at is not None
    assert json.loads(row.record)["reason"] == "host_stopped"


@pytest.mark.parametrize("number", [1, 2])
def test_a_completed_segment_without_times_answers_no_second(number: int) -> None:
    receipts = SegmentLedger()
    receipts.add_sent(1000)
    receipts.add_sent(1000)
    receipts.note(Completed(number))
    assert (receipts.answered_seconds, receipts.window_seconds) == (0.0, 0.0)
