"""Another recording, started from the page of one that is over."""

from __future__ import annotations

import io
from functools import partial

import anyio
import pytest
from rich.console import Console

from ih_mcp.app.runtime import StreamOptions
from ih_mcp.capture.serve import open_like
from ih_mcp.cli.capture import print_recordings
from ih_mcp.streams.stream import Stream
from ih_mcp.wire.messages import Config

from .page import Page, open_page, redeem
from .room import OpenRoom, Room


async def end(page: Page, stream: Stream) -> None:
    await page.say("end")
    with anyio.fail_after(30):
        await stream.until(lambda: False)
    while not page.drawing().get("ended"):
        await page.hear("news")


async def another(room: Room, page: Page) -> str:
    """The key of the page that records next."""
    await page.say("another")
    ticket = (await page.hear("another"))["ticket"]
    return await redeem(room.server, f"{room.server.origin}/#{ticket}")


async def test_the_next_recording_has_the_options_of_the_last_and_all_pages_share_it(
    open_room: OpenRoom,
) -> None:
    async with open_room() as room:
        goals = Config(goal_dimensions=("rapport",))
        stream = await room.runtime.start_stream(StreamOptions(config=goals, label="practice"))
        keys = [await redeem(room.server, room.server.link(stream.id)) for _ in range(2)]
        async with (
            open_page(room.server, keys[0]) as first,
            open_page(room.server, keys[1], page="p2") as second,
        ):
            assert (await first.hear("welcome"))["may_start_another"] is True
            await second.hear("welcome")
            await first.say("another")
            refused = await first.hear("refused")
            assert (refused["code"], refused["help"]) == ("view_only", "End this one first.")
            await end(first, stream)
            async with open_page(room.server, await another(room, first), page="p3") as third:
                welcome = await third.hear("welcome")
                follower = room.server.stream(welcome["stream_id"])
                assert follower is not None
                assert welcome["may_record"] is True
                assert follower.id != stream.id
                assert (follower.plan.label, follower.plan.config) == ("practice", goals)
                async with open_page(room.server, await another(room, second)) as fourth:
                    assert (await fourth.hear("welcome"))["stream_id"] == follower.id
        assert len(room.standin.recorder.sessions) == 2


async def test_a_page_that_only_watches_starts_no_recording(
    open_room: OpenRoom,
) -> None:
    async with open_room() as room:
        stream = await room.start()
        link = room.server.link(stream.id)
        stream.request_end()
        while room.server.stream(stream.id):  # over, and no stream of this process any more
            await anyio.lowlevel.checkpoint()
        async with open_page(room.server, await redeem(room.server, link)) as page:
            assert (await page.hear("welcome"))["may_start_another"] is False
            await page.say("another")
            assert (await page.hear("refused"))["code"] == "view_only"


@pytest.mark.parametrize("may_go_on", [True, False])
async def test_the_command_prints_one_recording_after_another_until_the_page_closes(
    may_go_on: bool, open_room: OpenRoom, capsys: pytest.CaptureFixture[str]
) -> None:
    said = io.StringIO()
    codes = []
    async with open_room() as room:
        stream = await room.start()
        key = await redeem(room.server, room.server.link(stream.id))
        room.server.open_another = partial(open_like, room.runtime) if may_go_on else None

        async def command() -> None:
            console = Console(file=said, width=200)
            codes.append(
                await print_recordings(room.runtime, room.server, stream, console, is_raw=False)
            )

        async with anyio.create_task_group() as tasks, open_page(room.server, key) as page:
            welcome = await page.hear("welcome")
            assert welcome["may_start_another"] is may_go_on
            tasks.start_soon(command)
            await end(page, stream)
            if may_go_on:
                next_key = await another(room, page)
                async with open_page(room.server, next_key, page="p2") as following:
                    follower = room.server.stream((await following.hear("welcome"))["stream_id"])
                    assert follower is not None
                    await end(following, follower)
        assert codes == [0]
    ends = capsys.readouterr().out.count('"session.ended"')
    assert ends == said.getvalue().count("ended in order") == (2 if may_go_on else 1)
    assert ("can start another recording" in said.getvalue()) is may_go_on
