"""A page played by a test, over a real WebSocket: it says a page's words and hears the server's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from websockets.asyncio.client import ClientConnection, connect

from ih_mcp.capture.page_server import PageServer
from tests.plain_http import plain_http


class Page:
    """An open page."""

    def __init__(self, socket: ClientConnection, key: str) -> None:
        self.socket = socket
        self.key = key
        self.heard: list[dict[str, Any]] = []

    async def say(self, kind: str, **values: object) -> None:
        await self.socket.send(json.dumps({"type": kind, **values}))

    async def hear(self, *kinds: str, seconds: float = 10) -> dict[str, Any]:
        """The next word of these kinds; those before it are kept in `heard`."""
        with anyio.fail_after(seconds):
            while True:
                word: dict[str, Any] = json.loads(await self.socket.recv())
                self.heard.append(word)
                if word["type"] in kinds:
                    return word

    async def chunk(self, data: bytes, *, seq: int, recording: str = "r1") -> dict[str, Any]:
        """Send a chunk; gives the server's answer."""
        await self.say("chunk", recording=recording, seq=seq, at=0.0)
        await self.socket.send(data)
        with anyio.fail_after(10):
            while True:
                word: dict[str, Any] = json.loads(await self.socket.recv())
                self.heard.append(word)
                if word["type"] in {"taken", "refused"}:
                    return word

    async def claim(self) -> dict[str, Any]:
        """Claim the recorder; again where the server has not heard yet that another page left."""
        await self.say("claim")
        with anyio.fail_after(20):
            while True:
                word: dict[str, Any] = json.loads(await self.socket.recv())
                self.heard.append(word)
                if word["type"] == "seated":
                    return word
                if word["type"] == "refused" and word["code"] == "busy":
                    await self.say("claim")

    def messages(self) -> list[str]:
        return [
            entry["body"]
            for word in self.heard
            if word["type"] == "news"
            for entry in word["entries"]
        ]

    def drawing(self) -> dict[str, Any]:
        """What all changes add up to, as `apply` in timeline.js does it."""
        drawing: dict[str, Any] = {}
        for word in self.heard:
            if word["type"] != "news":
                continue
            drawing |= word["changes"].get("set", {})
            for name, change in word["changes"].get("lists", {}).items():
                items = list(drawing.get(name, []))[: change["length"]]
                items += [None] * (change["length"] - len(items))
                for index, item in change["items"]:
                    items[index] = item
                drawing[name] = items
        return drawing


async def redeem(server: PageServer, link: str) -> str:
    """Exchange the ticket of a link, as the page does."""
    async with plain_http() as client:
        answer = await client.post(
            f"{server.origin}/ticket",
            content=link.partition("#")[2],
            headers={"Origin": server.origin},
        )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["key"])


@asynccontextmanager
async def open_page(
    server: PageServer, key: str, *, page: str = "p1", cursor: int = 0
) -> AsyncIterator[Page]:
    url = server.origin.replace("http", "ws", 1) + "/live"
    async with connect(url, origin=server.origin, compression=None, max_size=None) as socket:  # type: ignore[arg-type]  # a plain string
        opened = Page(socket, key)
        await opened.say("hello", key=key, page=page, cursor=cursor)
        yield opened


@asynccontextmanager
async def open_recorder(server: PageServer, stream_id: str) -> AsyncIterator[Page]:
    """Open the page of a stream by its link, as the one that records."""
    key = await redeem(server, server.link(stream_id))
    async with open_page(server, key) as page:
        await page.hear("welcome")
        await page.claim()
        yield page


def joined(chunks: Iterable[bytes]) -> bytes:
    return b"".join(chunks)
