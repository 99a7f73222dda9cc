"""What goes wrong in the middle: a stuck uplink, a lost session, a server that dies. Long form."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from tests.capture.room import OpenRoom
from tests.forked import REAL, forked
from tests.road.host import environment

from .conftest import OpenBrowser, open_tab
from .test_live import VP8, end, long, reached_as_recorded, record
from .test_review import chunks_of

pytestmark = [long, pytest.mark.timeout(180)]


async def test_an_uplink_that_is_stuck_for_20_s_loses_nothing(
    open_browser: OpenBrowser, open_room: OpenRoom
) -> None:
    async with open_room(proxied=True) as room, open_browser() as context:
        stream = await room.start()
        tab = await open_tab(context, room.server.link(stream.id), only=VP8)
        await record(tab, seconds=5)
        assert room.proxy
        room.proxy.up.set(is_stalled=True)
        await anyio.sleep(20)
        assert stream.failure is None
        room.proxy.heal()
        await anyio.sleep(5)
        await end(tab, stream)
        if len(stream.legs) == 1:  # a session that is given up begins anew, with a header
            assert await reached_as_recorded(tab, room) > 300_000
        billed = sum(session.billed.seconds for session in room.standin.recorder.sessions)
        assert billed >= 25
        await tab.went_well()


async def test_a_lost_session_goes_on_in_another_that_begins_with_a_header(
    open_browser: OpenBrowser, open_room: OpenRoom
) -> None:
    async with open_room(proxied=True) as room, open_browser() as context:
        stream = await room.start()
        tab = await open_tab(context, room.server.link(stream.id), only=VP8)
        await record(tab, seconds=7)
        assert room.proxy
        room.proxy.cut()
        await anyio.sleep(10)
        await end(tab, stream)
        assert len(stream.legs) == 2
        _, second = room.standin.recorder.sessions
        assert second.segments
        assert second.billed.seconds >= 4
        assert not [text for text in second.texts if '"error"' in text]
        shown = await tab.page.eval_on_selector_all(
            "#messages li", "items => items.map((item) => item.textContent)"
        )
        assert shown[::-1] == await room.messages(stream)
        await tab.went_well()


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def start_capture(env: dict[str, str]) -> tuple[anyio.abc.Process, str]:
    """The command as a process of its own, and the link it tells."""
    process = await anyio.open_process(
        [*REAL, "capture", "--local"],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    told = ""
    assert process.stderr
    while "#" not in told or "\n" not in told.partition("#")[2]:
        told += (await process.stderr.receive()).decode()
    return process, told.partition("once): ")[2].split()[0]


async def test_a_server_that_is_killed_and_started_again_is_told(
    open_browser: OpenBrowser, tmp_path: Path
) -> None:
    env = environment(tmp_path, IH_MCP_CAPTURE_PORT=str(free_port()))
    process, link = await start_capture(env)
    async with open_browser() as context:
        tab = await open_tab(context, link, only=VP8)
        await record(tab, seconds=8)
        stream_id = (await tab.text("#where")).split(" ")[0]
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        await tab.says("#trouble", "is lost; trying again. Recording goes on.*press Pause to save")
        await tab.page.click("#stop")
        async with tab.page.expect_download() as saving:  # what was recorded is not lost with it
            await tab.page.click("#save-recording")
        saved = await anyio.Path(await (await saving.value).path()).read_bytes()
        assert saved == await chunks_of(tab)
        async with tab.page.expect_download() as saving:
            await tab.page.click("#save-timeline")
        assert stream_id in await anyio.Path(await (await saving.value).path()).read_text()
        shown = await tab.page.eval_on_selector_all(
            "#messages li", "items => items.map((item) => item.textContent)"
        )
        process, again = await start_capture(env)
        try:
            await tab.says("#trouble", "does not know this page any more", seconds=20)
            assert await tab.page.is_disabled("#stop")
            command = [*forked(), "messages", stream_id]
            kept = await anyio.run_process(command, env=env)  # what was shown is kept
            assert kept.stdout.decode().splitlines()[: len(shown)] == shown[::-1]
            fresh = await open_tab(context, again, only=VP8)
            await record(fresh, seconds=4)
            await fresh.says("#receipts", "delivered")
        finally:
            process.terminate()
            await process.wait()


async def test_a_server_that_hangs_costs_the_oldest_chunks_and_that_is_told(
    open_browser: OpenBrowser, tmp_path: Path
) -> None:
    env = environment(tmp_path)
    process, link = await start_capture(env)
    try:
        async with open_browser() as context:
            tab = await open_tab(context, link, only=VP8)
            await record(tab, seconds=7)
            os.kill(process.pid, signal.SIGSTOP)
            await tab.says("#trouble", "were dropped. Recording goes on", seconds=60)
            os.kill(process.pid, signal.SIGCONT)
            await tab.says("#waiting", "^nothing$", seconds=30)
            assert float((await tab.text("#dropped")).split()[0]) >= 20
            stream_id = (await tab.text("#where")).split(" ")[0]
            await anyio.sleep(5)
            await tab.page.click("#end")
            await tab.says("#said", "has ended", seconds=30)
            await tab.went_well()
        command = [*forked(), "messages", stream_id]
        kept = await anyio.run_process(command, env=env)
        assert b'"type": "error"' not in kept.stdout
        assert b'"session.ended"' in kept.stdout
    finally:
        if process.returncode is None:
            os.kill(process.pid, signal.SIGCONT)
            process.terminate()
            await process.wait()
