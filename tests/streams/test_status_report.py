"""What the status of a stream says of why it is over, and of what was not analysed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import anyio
import pytest

from ih_mcp.journal import Journal, open_journal
from ih_mcp.streams.config import StreamConfig
from ih_mcp.streams.outbox import QueuedSegment
from ih_mcp.streams.status_report import _analyst
from ih_mcp.streams.stream import Stream
from ih_mcp.wire.dialects import V1
from ih_mcp.wire.messages import Config, Error, Reading, Updated

from .service import Service


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with open_journal(tmp_path) as opened:
        yield opened


@asynccontextmanager
async def running(
    journal: Journal, service: Service, *, pace: str = "", config: Config | None = None
) -> AsyncIterator[Stream]:
    stream = Stream(
        "st_1",
        StreamConfig(dialect=V1, base_url="http://h", pace=pace, config=config or Config()),
        log=await journal.begin("st_1", {}),
        opener=service.opener,
    )
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.run)
            await service.greet()
            yield stream
            tasks.cancel_scope.cancel()


async def end(stream: Stream, service: Service) -> None:
    stream.request_end()
    await service.drain()
    await stream.until(lambda: False)


@pytest.mark.parametrize(
    ("pace", "is_sent_whole", "reason"),
    [
        ("", False, "by_request"),
        ("real_time", True, "end_of_file"),
        ("real_time", False, "stopped"),
    ],
)
async def test_a_file_ends_with_its_media_or_is_stopped_and_what_is_pushed_ends_by_request(
    journal: Journal, pace: str, is_sent_whole: bool, reason: str
) -> None:
    service = Service()
    async with running(journal, service, pace=pace) as stream:
        assert stream.status().reason == ""
        stream.is_sent_whole = is_sent_whole
        await end(stream, service)
        status = stream.status()
    assert (status.state, status.reason) == ("ended", reason)
    assert status.notes == ("No media was sent, so nothing was analysed.",)


async def test_an_end_is_asked_for_once(journal: Journal) -> None:
    service = Service()
    async with running(journal, service) as stream:
        assert [stream.request_end() for _ in range(3)] == [True, False, False]
        await end(stream, service)
        assert stream.request_end() is False


@pytest.mark.parametrize("names_why", [True, False])
async def test_media_that_was_left_out_altogether_is_noted_with_the_reason_that_was_given(
    journal: Journal, names_why: bool
) -> None:
    service = Service()
    async with running(journal, service) as stream:
        await stream.put(QueuedSegment(b"media", 0.0, 3.0))
        await service.hear()
        await stream.until(lambda: stream.sent_segments == 1)
        if names_why:
            await service.say(Error(code="ih5004", message="not this"))
        await service.say(Reading("coverage.dropped", {"ranges": [{"start": 0, "end": 3}]}))
        await end(stream, service)
        (note,) = stream.status().notes
    assert note.startswith("Nothing was analysed: the service left out all 3.0 s of media.")
    assert (" Its reason is ih5004: " in note) is names_why


async def test_what_the_service_left_out_of_the_options_is_noted(journal: Journal) -> None:
    service = Service()
    config = Config(include=(), goal_dimensions=("clarity", "rapport"))
    async with running(journal, service, config=config) as stream:
        await service.hear()
        await service.say(Updated(Config(include=(), goal_dimensions=("clarity",))))
        await stream.until(lambda: bool(stream.leg and stream.leg.updates))
        said = (
            "The service did not take these of goal_dimensions: rapport; no feedback comes for "
            "them."
        )
        assert said in stream.status().notes


@pytest.mark.parametrize(
    ("endpoint", "is_stand_in", "analyst"),
    [("local", True, "cues"), ("production", False, "cues"), ("http://127.0.0.1:9", True, "")],
)
def test_the_analyst_is_told_unless_another_stand_in_answers(
    endpoint: str, is_stand_in: bool, analyst: str
) -> None:
    plan = SimpleNamespace(endpoint=endpoint, analyst="cues")
    stream = SimpleNamespace(plan=plan, is_stand_in=is_stand_in)
    assert _analyst(cast(Stream, stream)) == analyst


@pytest.mark.parametrize(("endpoint", "told"), [("production", "production"), ("", "http://h")])
async def test_the_endpoint_is_told_by_its_name_or_else_its_address(
    journal: Journal, endpoint: str, told: str
) -> None:
    config = StreamConfig(dialect=V1, base_url="http://h", endpoint=endpoint)
    log = await journal.begin("st_1", {})
    stream = Stream("st_1", config, log=log, opener=Service().opener)
    assert stream.status().endpoint == told
