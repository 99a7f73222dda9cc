"""Subscribers of both eras hear of every change, and of nothing else."""

from __future__ import annotations

import json
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest
from mcp import Client
from mcp.client.subscriptions import ResourceUpdated, Subscription
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError
from mcp_types import ResourceUpdatedNotification, TextResourceContents

from ih_mcp.app.runtime import Runtime, open_runtime
from ih_mcp.errors import unwrap_single_error
from ih_mcp.journal import Journal, StreamRow
from ih_mcp.mcp_server import subscriptions
from ih_mcp.mcp_server.server import make_server
from ih_mcp.settings import read_settings
from tests.conformance.raw import MODERN, Raw
from tests.road.host import environment

from .test_resources import ERAS, Era

MESSAGES = "ih://streams/st_a/messages"


@dataclass
class Subscriber:
    """A client that subscribed to resources, as its era does that."""

    client: Client
    journal: Journal
    heard: list[str] = field(default_factory=list)
    news: anyio.Event = field(default_factory=anyio.Event)

    async def subscribe(self, uri: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the client warns that this era is the older one
            await self.client.subscribe_resource(uri)  # type: ignore[deprecated]  # as is tested

    async def unsubscribe(self, uri: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            await self.client.unsubscribe_resource(uri)  # type: ignore[deprecated]  # as is tested

    async def follow(self, events: Subscription) -> None:
        async for event in events:
            assert isinstance(event, ResourceUpdated)
            self.hear(event.uri)

    def hear(self, uri: str) -> None:
        self.heard.append(uri)
        self.news.set()
        self.news = anyio.Event()

    async def hears(self, times: int) -> None:
        with anyio.fail_after(5):
            while len(self.heard) < times:
                await self.news.wait()

    async def read(self, uri: str) -> str:
        (content,) = (await self.client.read_resource(uri)).contents
        assert isinstance(content, TextResourceContents)
        return content.text


@asynccontextmanager
async def subscriber(tmp_path: Path, era: Era, *uris: str) -> AsyncIterator[Subscriber]:
    runtimes: list[Runtime] = []

    @asynccontextmanager
    async def lifespan(_: MCPServer[Runtime]) -> AsyncIterator[Runtime]:
        async with open_runtime(read_settings(endpoint="local", data_dir=tmp_path)) as runtime:
            log = await runtime.journal.begin("st_a", {"state": "open"})
            log.append('{"n":0}', leg=0)
            await log.flush()
            runtimes.append(runtime)
            yield runtime

    async def on_message(message: object) -> None:
        if era == "legacy" and isinstance(message, ResourceUpdatedNotification):
            one.hear(str(message.params.uri))

    async with Client(make_server(lifespan), mode=era, message_handler=on_message) as client:
        one = Subscriber(client, runtimes[0].journal)
        if era != "legacy":
            async with (
                client.listen(resource_subscriptions=uris) as events,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(one.follow, events)
                yield one
                tasks.cancel_scope.cancel()
            return
        for uri in uris:
            await one.subscribe(uri)
        yield one


@pytest.mark.parametrize("era", ERAS)
async def test_a_subscriber_hears_of_new_messages_and_reads_them(era: Era, tmp_path: Path) -> None:
    async with subscriber(tmp_path, era, MESSAGES, "ih://streams/st_nobody/messages") as one:
        log = one.journal._logs["st_a"]
        for number in (1, 2):
            log.append(f'{{"n":{number}}}', leg=0)
            await one.hears(number)
            new = await one.read(f"{MESSAGES}?cursor={number}")
            assert new.splitlines() == [f'{{"n":{number}}}']
    assert one.heard == [MESSAGES, MESSAGES]


@pytest.mark.parametrize("era", ERAS)
async def test_a_burst_is_one_event_named_as_it_was_subscribed_to(era: Era, tmp_path: Path) -> None:
    uri = f"{MESSAGES}?cursor=1&limit=5"
    async with subscriber(tmp_path, era, uri) as one:
        log = one.journal._logs["st_a"]
        for number in range(50):
            log.append(json.dumps(number), leg=0)
        await one.hears(1)
        await anyio.sleep(3 * subscriptions._GATHER_SECONDS)
    assert one.heard == [uri]


@pytest.mark.parametrize("era", ERAS)
async def test_the_list_of_streams_has_news_when_one_begins(era: Era, tmp_path: Path) -> None:
    async with subscriber(tmp_path, era, "ih://streams") as one:
        await one.journal.begin("st_b", {"state": "connecting"})
        await one.hears(1)
        streams = json.loads(await one.read("ih://streams"))["streams"]
    assert [stream["stream_id"] for stream in streams] == ["st_b", "st_a"]


async def test_the_list_is_looked_at_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AsleepError(Exception):
        pass

    async def sleep(seconds: float) -> None:
        raise AsleepError(seconds)

    async with open_runtime(read_settings(data_dir=tmp_path)) as runtime:
        wait = await subscriptions._list_waiter(subscriptions._ListedStreams(runtime.journal))
        monkeypatch.setattr("anyio.sleep", sleep)  # before another task can run
        with pytest.raises(AsleepError) as asleep:
            await wait()
        monkeypatch.undo()
    assert asleep.value.args == (subscriptions._LIST_SECONDS,)


async def test_who_unsubscribed_hears_nothing_more(tmp_path: Path) -> None:
    async with subscriber(tmp_path, "legacy", MESSAGES) as one:
        await one.unsubscribe(MESSAGES)
        await one.unsubscribe("ih://streams")  # which it never subscribed to
        one.journal._logs["st_a"].append('{"n":1}', leg=0)
        await anyio.sleep(3 * subscriptions._GATHER_SECONDS)
    assert one.heard == []


@pytest.mark.parametrize("era", ERAS)
async def test_more_watches_than_a_server_keeps_are_refused(
    era: Era, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "_MAX_WATCHES", 1)
    with pytest.raises(MCPError, match="no more can be"), unwrap_single_error():
        async with subscriber(tmp_path, era, MESSAGES, "ih://streams"):
            raise AssertionError


@pytest.mark.parametrize("era", ERAS)
async def test_both_eras_are_told_that_they_may_subscribe(era: Era, tmp_path: Path) -> None:
    async with subscriber(tmp_path, "legacy" if era == "legacy" else "auto", MESSAGES) as one:
        resources = one.client.server_capabilities.resources
    assert resources is not None
    assert resources.subscribe is True


@pytest.mark.parametrize("era", ERAS)
def test_news_travel_over_stdio(era: Era, tmp_path: Path) -> None:
    server = Raw(environment(tmp_path), era, tmp_path / "errors")
    try:
        server.write(server.call("open", "start_stream"))
        (opened,) = server.answers(1)
        status = json.loads(opened["result"]["content"][0]["text"])["ih_mcp"]
        uri = f"ih://streams/{status['stream_id']}/messages"
        if era == MODERN:
            wanted = {"resourceSubscriptions": [uri]}
            server.write(server.line("subscriptions/listen", "news", notifications=wanted))
        else:
            server.write(server.line("resources/subscribe", "news", uri=uri))
        server.answers(1)
        server.write(server.call("end", "end_stream", stream_id=status["stream_id"]))
        told = server.answers(2)
    finally:
        server.close()
    (update,) = [message for message in told if message.get("id") != "end"]
    assert update["method"] == "notifications/resources/updated"
    assert update["params"]["uri"] == uri


async def test_all_who_watch_the_list_of_streams_have_it_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_runtime(read_settings(endpoint="local", data_dir=tmp_path)) as runtime:
        reads, list_streams = 0, runtime.journal.list_streams

        async def count(*given: Any, **more: Any) -> list[StreamRow]:
            nonlocal reads
            reads += 1
            return await list_streams(*given, **more)

        monkeypatch.setattr(runtime.journal, "list_streams", count)
        listed = subscriptions._ListedStreams(runtime.journal)
        one, none = await listed.read_now()
        other, _ = await listed.read_now()  # each begins with what is there now
        assert (reads, none) == (2, [])
        await runtime.journal.begin("st_b", {"state": "connecting"})
        looks = [await listed.read_newer(seen=number) for number in (other, one, other)]
        assert reads == 3
        assert [[name for name, _ in records] for _, records in looks] == [
            ["st_b"],
            ["st_b"],
            ["st_b"],
        ]


@pytest.mark.parametrize(
    ("rows", "has_news"),
    [
        ([(1, None), (2, None)], True),
        ([(1, None), (1, None), (3, None)], True),  # woken for nothing once
        ([(1, None), (2, 9.0)], True),  # the last message counts, too
        ([(1, None), (1, 9.0)], False),
        ([(1, 9.0)], False),
    ],
)
async def test_messages_have_changed_where_there_is_a_newer_one(
    rows: list[tuple[int, float | None]], has_news: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "_GATHER_SECONDS", 0.0)
    found = iter([SimpleNamespace(last=last, ended_at=ended_at) for last, ended_at in rows])

    async def find_stream(_: str) -> SimpleNamespace:
        return next(found)

    async def wait(_: str, seen: int) -> None:
        assert seen == 1

    journal = cast("Journal", SimpleNamespace(find_stream=find_stream, wait=wait))
    waits = await subscriptions._message_waiter(journal, "st_a")
    assert await waits() is has_news
    assert next(found, None) is None
