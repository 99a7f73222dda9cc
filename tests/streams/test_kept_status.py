"""A stream whose process was killed shows what was sent, though its record does not know."""

from __future__ import annotations

from pathlib import Path

from ih_mcp.journal import open_journal
from ih_mcp.streams.kept_status import complete_status, read_status
from ih_mcp.streams.registry import open_registry
from ih_mcp.timeline.exports import read_stream
from ih_mcp.timeline.model import read_timeline
from ih_mcp.timeline.summary import lines
from ih_mcp.wire.minutes import MediaUse
from tests.timeline.test_not_sent import status

KILLED = {"state": "failed", "reason": "host_stopped", "media_seconds": 0.0, "bytes_sent": 0,
    "usage": None}  # fmt: skip


def test_what_was_sent_without_an_answer_is_lost() -> None:
    killed = status(**KILLED)
    found = complete_status(killed, MediaUse(delivered_seconds=7.833, analysed_seconds=3.0))
    assert found.lost
    assert (found.media_seconds, found.lost.media_s) == (7.833, ((3.0, 7.833),))
    known = complete_status(killed, MediaUse(delivered_seconds=3.0, analysed_seconds=3.0))
    assert (known.media_seconds, known.lost) == (3.0, None)
    again = complete_status(killed, MediaUse(delivered_seconds=99.0))
    assert again.media_seconds == 24.667  # what was sent again is no longer than its file


async def test_pictures_and_exports_of_a_killed_stream_have_its_gaps(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        log = await journal.begin("st_1", {})
        await journal.account("st_1").spend(7.833, MediaUse())
        await log.write_record(status(**KILLED).to_json(), ended=True)
        drawing = await read_timeline(journal, "st_1")
        rows = (await read_stream(journal, "st_1")).rows
    said = (
        "ended at 0:07.8 of 0:24.7: 0 signals, no engagement told, 7.83 s not analysed, 16.8 s not"
    )
    assert said in lines(drawing)[-1]
    assert [(row.name, row.start_seconds, row.end_seconds) for row in rows] == [
        ("lost", 0.0, 7.833), ("not_sent", 7.833, 24.667),
    ]  # fmt: skip


async def test_what_is_kept_of_a_stream_that_was_not_killed_is_its_status(tmp_path: Path) -> None:
    ended = status(state="ended", reason="by_request")
    async with open_journal(tmp_path) as journal:
        log = await journal.begin("st_1", {})
        await journal.account("st_1").spend(7.833, MediaUse())
        await log.write_record(ended.to_json(), ended=True)
        assert await read_status(journal, "st_1") == ended


async def test_every_reader_has_the_same_status_of_a_killed_stream(tmp_path: Path) -> None:
    async with (
        open_journal(tmp_path) as journal,
        open_registry(journal, max_streams=1, close_seconds=0.1) as registry,
    ):
        log = await journal.begin("st_1", {})
        await journal.account("st_1").spend(7.833, MediaUse())
        await log.write_record(status(**KILLED).to_json(), ended=True)
        found = await read_status(journal, "st_1")
        listed = (await registry.statuses(newest=9))["st_1"]
        for each in (found, listed, await registry.status("st_1")):
            assert each.media_seconds == 7.833
            assert each.lost
            assert each.lost.media_s == ((0.0, 7.833),)
            assert each.usage
            assert each.usage["delivered_s"] == 7.833


async def test_a_kept_stream_has_the_messages_that_can_be_read_of_it(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        log = await journal.begin("st_1", {})
        for text in ("a", "b", "c"):
            log.append(text, leg=1)
        await log.flush()
        await log.write_record({**status(**KILLED).to_json(), "messages": 1}, ended=True)
        assert (await read_status(journal, "st_1")).messages == 3
