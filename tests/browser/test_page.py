"""What the page does while it waits, while nobody looks, and when it is over."""

from __future__ import annotations

import anyio
import pytest

from ih_mcp.streams.deadlines import SessionTimeouts
from tests.capture.room import OpenRoom

from .conftest import OpenBrowser, open_tab
from .test_live import VP8, record

_ASKS_FIRST = """() => {
  const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wanted) => {
    const is_allowed = await new Promise((answer) => { window.ihAnswer = answer; });
    if (!is_allowed) throw new DOMException("", "NotAllowedError");
    return window.ihMedia = await real(wanted);
  };
}"""
_HOLDS_FRAMES = """() => {
  window.ihFrames = [];
  window.requestAnimationFrame = (draw) => window.ihFrames.push(draw);
}"""


async def test_nothing_begins_twice_or_after_the_end_while_the_camera_is_asked_for(
    open_browser: OpenBrowser, open_room: OpenRoom
) -> None:
    async with open_room() as room, open_browser() as context:
        stream = await room.start()
        tab = await open_tab(context, room.server.link(stream.id), only=VP8)
        await tab.says("#where", stream.id)
        await tab.page.evaluate(_ASKS_FIRST)
        await tab.page.click("#start")
        await tab.page.wait_for_function("() => Boolean(window.ihAnswer)")
        stream.note_skipped(1.5)  # news, with which the buttons are drawn anew
        await tab.says("#dropped", "1.5 s")
        assert not await tab.page.is_enabled("#start")
        stream.request_end()
        await tab.says("#said", "has ended")
        await tab.page.evaluate("window.ihAnswer(true)")
        await tab.page.wait_for_function(
            "() => window.ihMedia?.getTracks().every((track) => track.readyState === 'ended')"
        )
        assert await tab.text("#recording") == "no"
        assert room.wire() == []
        await tab.went_well()


async def test_a_page_that_takes_over_and_gets_no_camera_leaves_the_other_one_alone(
    open_browser: OpenBrowser, open_room: OpenRoom
) -> None:
    async with open_room() as room, open_browser() as context:
        stream = await room.start()
        first = await open_tab(context, room.server.link(stream.id), only=VP8)
        await record(first, seconds=0.5)
        holder = room.server.recorder_lock(stream.id).holder
        second = await open_tab(context, room.server.link(stream.id), only=VP8)
        await second.page.click("#start")
        await second.says("#trouble", "Another page records")
        await second.page.evaluate(_ASKS_FIRST)
        await second.page.click("#over")
        await second.page.wait_for_function("() => Boolean(window.ihAnswer)")
        await second.page.evaluate("window.ihAnswer(false)")
        await second.says("#trouble", "were not allowed")
        assert room.server.recorder_lock(stream.id).holder == holder != ""
        assert await first.page.is_enabled("#stop")
        await second.went_well()


async def test_a_page_that_nobody_looks_at_draws_once_when_somebody_does(
    open_browser: OpenBrowser, open_room: OpenRoom
) -> None:
    async with open_room() as room, open_browser() as context:
        stream = await room.start()
        tab = await open_tab(context, room.server.link(stream.id))
        await tab.says("#receipts", "open")
        await tab.page.evaluate(_HOLDS_FRAMES)
        for _ in range(4):
            stream.note_skipped(1.0)
            await anyio.sleep(0.4)  # so long a page waits for the next news
        assert await tab.page.evaluate("window.ihFrames.length") == 1
        await tab.page.evaluate("window.ihFrames.splice(0).forEach((draw) => draw())")
        await tab.says("#dropped", "4.0 s")
        stream.note_skipped(1.0)
        await tab.page.wait_for_function("() => window.ihFrames.length === 1", polling=100)
        await tab.went_well()


async def test_a_session_that_ends_under_a_recording_is_told_as_its_end_alone(
    open_browser: OpenBrowser, open_room: OpenRoom
) -> None:
    async with open_room() as room, open_browser() as context:
        stream = await room.start()
        tab = await open_tab(context, room.server.link(stream.id), only=VP8)
        await record(tab, seconds=4)
        await tab.says("#sent", "1 chunks")
        stream.request_end()
        await tab.says("#said", "has ended")
        await tab.says("#dropped", r"^\d+\.\d s")  # what was recorded since the first chunk
        await anyio.sleep(0.5)  # for words that would be wrong
        assert (await tab.text("#said"), await tab.text("#trouble")) == (
            "The session has ended; all its messages are kept.",
            "",
        )
        await tab.went_well()


async def test_an_end_that_nobody_here_asked_for_is_told_as_what_it_is(
    open_browser: OpenBrowser, open_room: OpenRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ih_mcp.streams.deadlines._MOST_DRAIN_SECONDS", 0.0)
    says_nothing_more = {"at": "closing", "session": 1, "stall": "telling"}
    closes = {"at": "segment", "session": 2, "close": 1000}
    async with open_room(says_nothing_more, closes) as room, open_browser() as context:
        silent = await room.start()
        assert silent.leg
        soon = SessionTimeouts(drain_margin_seconds=0.0)
        monkeypatch.setattr(silent.leg._deadlines, "_timeouts", soon)
        tab = await open_tab(context, room.server.link(silent.id), only=VP8)
        silent.request_end()
        await tab.says("#said", "has ended without the last word of the service: results of the")
        closed = await room.start()
        await tab.page.goto("about:blank")
        tab = await open_tab(context, room.server.link(closed.id), only=VP8)
        await record(tab, seconds=0)
        await tab.says("#said", "has ended: the service closed it. All its messages are kept.")
        assert (silent.status().reason, closed.status().reason) == ("drain_timeout", "by_service")
        await tab.went_well()


async def test_a_chunk_that_comes_while_the_session_ends_is_no_trouble(
    open_browser: OpenBrowser, open_room: OpenRoom
) -> None:
    async with open_room(proxied=True) as room, open_browser() as context:
        assert room.proxy
        stream = await room.start()
        tab = await open_tab(context, room.server.link(stream.id), only=VP8)
        await record(tab, seconds=0)
        await tab.says("#sent", "1 chunks")
        room.proxy.down.set(is_stalled=True)  # the service's word that the session is over
        stream.request_end()
        await tab.says("#said", "is ending")
        assert (await tab.text("#state-word"), await tab.text("#trouble")) == ("Ending", "")
        assert await tab.text("#recording") == "no"
        room.proxy.heal()
        await tab.says("#said", "has ended")
        assert await tab.text("#trouble") == ""
        await tab.went_well()


async def test_a_second_link_in_the_same_tab_shows_its_own_stream(
    open_browser: OpenBrowser, open_room: OpenRoom
) -> None:
    async with open_room() as room, open_browser() as context:
        first, second = await room.start(), await room.start()
        tab = await open_tab(context, room.server.link(first.id))
        await tab.says("#count", "[1-9]")
        link = room.server.link(second.id)
        await tab.page.evaluate("(link) => { location.href = link; }", link)
        await tab.says("#where", second.id)
        await tab.says("#count", "[1-9]")
        shown = await tab.page.eval_on_selector_all(
            "#messages li", "items => items.map((item) => item.textContent)"
        )
        assert shown[::-1] == await room.messages(second)
        await tab.went_well()


async def test_a_server_that_does_not_answer_the_ticket_is_told(
    open_browser: OpenBrowser, open_room: OpenRoom
) -> None:
    async with open_room() as room, open_browser() as context:
        link = room.server.link((await room.start()).id)
        await context.route("**/ticket", lambda route: route.fulfill(status=502, body="<p>no"))
        tab = await open_tab(context, link)
        await tab.says("#trouble", "ih-mcp does not answer. If it still runs, ask for a new link")
        assert await tab.text("#where") == ""
