"""The page in a real Firefox (Debian: firefox-esr), by WebDriver BiDi. Long form.

Its camera is synthetic: Firefox has no fake devices that play a file.
"""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.capture.room import OpenRoom

from .test_live import long

_FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
pytestmark = [
    long,
    pytest.mark.timeout(120),
    pytest.mark.skipif(_FIREFOX is None, reason="no Firefox here"),
]
_PREFERENCES = {
    "media.navigator.permission.disabled": True,
    "media.navigator.streams.fake": True,
    "media.autoplay.default": 0,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "browser.aboutwelcome.enabled": False,
    "network.captive-portal-service.enabled": False,
}


class Firefox:
    """One tab, driven."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self.tab = ""

    async def do(self, method: str, **params: object) -> dict[str, Any]:
        number = next(self._ids)
        await self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        with anyio.fail_after(30):
            while (answer := json.loads(await self._socket.recv())).get("id") != number:
                pass
        assert answer["type"] == "success", answer
        result: dict[str, Any] = answer["result"]
        return result

    async def ask(self, expression: str) -> Any:
        found = await self.do(
            "script.evaluate",
            expression=f"JSON.stringify({expression})",
            target={"context": self.tab},
            awaitPromise=True,
        )
        assert found["type"] == "success", found
        return json.loads(found["result"].get("value", "null"))

    async def says(self, place: str, words: str, *, seconds: float = 20) -> None:
        with anyio.fail_after(seconds):
            asked = f"document.querySelector({place!r}).textContent"
            while words not in await self.ask(asked):  # noqa: ASYNC110 - a page notifies nobody here
                await anyio.sleep(0.2)


@asynccontextmanager
async def open_firefox(profile: Path) -> AsyncIterator[Firefox]:
    assert _FIREFOX is not None
    lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in _PREFERENCES.items()]
    await anyio.Path(profile / "user.js").write_text("\n".join(lines))
    command = [_FIREFOX, "--headless", "--no-remote", "--profile", str(profile)]
    async with await anyio.open_process(
        [*command, "--remote-debugging-port=0"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr
        try:
            told = ""
            with anyio.fail_after(40):
                while "BiDi listening on ws://" not in told or not told.endswith("\n"):
                    told += (await process.stderr.receive()).decode()
            address = told.partition("BiDi listening on ")[2].split()[0]
            async with connect(f"{address}/session", max_size=None) as socket:
                firefox = Firefox(socket)
                await firefox.do("session.new", capabilities={})
                tree = await firefox.do("browsingContext.getTree")
                firefox.tab = tree["contexts"][0]["context"]
                yield firefox
        finally:
            process.terminate()


async def test_firefox_records_and_shows(open_room: OpenRoom, tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    await anyio.Path(profile).mkdir()
    async with open_room() as room, open_firefox(profile) as firefox:
        stream = await room.start()
        link = room.server.link(stream.id)
        await firefox.do("browsingContext.navigate", context=firefox.tab, url=link, wait="complete")
        await firefox.says("#where", "st_")
        await firefox.ask("(document.getElementById('start').click(), 1)")
        await firefox.says("#said", "Recording")
        await anyio.sleep(12)
        await firefox.ask("(document.getElementById('end').click(), 1)")
        await firefox.says("#said", "has ended", seconds=30)
        assert stream.failure is None
        session = room.standin.recorder.sessions[0]
        assert session.billed.seconds >= 8
        shown = await firefox.ask(
            "[...document.querySelectorAll('#messages li')].map((item) => item.textContent)"
        )
        assert shown[::-1] == session.texts == await room.messages(stream)
        assert await firefox.ask("document.getElementById('trouble').textContent") == ""
