"""Replicas in one process that are replaced all the time: before each request, or when told to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup, TaskStatus
from starlette.types import Message, Receive, Scope, Send

from ih_mcp.http_server.app import TeamApp
from ih_mcp.http_server.serve import open_team_server
from ih_mcp.net.listen import open_listener, serve_app, url_of
from ih_mcp.settings import Settings
from ih_mcp.standin.server.serve import RunningStandin
from tests.http_server.conftest import KEYS, make_settings
from tests.plain_http import plain_http
from tests.reliability.replicas import Balancer, call, open_balancer, open_client

CLUSTER = {"cluster_listen": "127.0.0.1:0", "cluster_secret": "s" * 32}


class RollingReplicas:
    """Two replicas, the older of which is replaced before each request. Use `rolling`."""

    def __init__(
        self, tasks: TaskGroup, balancer: Balancer, make: Callable[[], Settings], era: str
    ) -> None:
        self._tasks, self.balancer, self._make, self._era = tasks, balancer, make, era
        self._serving: list[tuple[TeamApp, anyio.Event]] = []
        self.replaced = 0

    async def _serve(self, *, task_status: TaskStatus[None]) -> None:
        """Serve until this one drains, and its streams and analyses are over."""
        async with open_team_server(self._make()) as server:
            drains = anyio.Event()
            self._serving.append((server.app, drains))
            self.balancer.replicas.append(server.url)
            task_status.started()
            await drains.wait()
            await server.app.wait_until_idle()

    async def start(self) -> None:
        await self._tasks.start(self._serve)

    def drain_oldest(self) -> None:
        app, drains = self._serving.pop(0)
        del self.balancer.replicas[0]
        app.drain()
        drains.set()

    async def replace_one(self) -> None:
        await self.start()
        self.drain_oldest()
        self.replaced += 1

    async def call(self, tool: str, **arguments: Any) -> tuple[dict[str, Any], list[str]]:
        await self.replace_one()
        async with open_client(self.balancer.url, self._era) as client:
            return await call(client, tool, **arguments)

    async def put(self, path: str, data: bytes, *, key: bool = True) -> dict[str, Any]:
        await self.replace_one()
        headers = {"Authorization": f"Bearer {KEYS['ann']}"} if key else {}
        async with plain_http(headers=headers) as http:
            answer = await http.put(self.balancer.url + path, content=data)
        assert answer.is_success, answer.text
        told: dict[str, Any] = answer.json()["ih_mcp"]
        return told

    async def read_all(self, stream_id: str, *, replacing: bool = True) -> list[str]:
        cursor, found = 0, list[str]()
        async with open_client(self.balancer.url, self._era) as client:
            while True:
                if replacing:
                    await self.replace_one()
                told, messages = await call(
                    client, "poll_events", stream_id=stream_id, cursor=cursor, wait_s=25
                )
                found += messages
                if told["ended"]:
                    return found
                cursor = told["next_cursor"]


@asynccontextmanager
async def rolling(
    service: RunningStandin, database: str, folder: Path, era: str
) -> AsyncIterator[RollingReplicas]:
    made = 0

    def make() -> Settings:
        nonlocal made
        made += 1
        return make_settings(
            service, folder / str(made), journal=database, uploads=folder / "uploads", **CLUSTER
        )

    async with open_balancer([]) as balancer, anyio.create_task_group() as tasks:
        replicas = RollingReplicas(tasks, balancer, make, era)
        for _ in range(2):
            await replicas.start()
        yield replicas
        while replicas._serving:
            replicas.drain_oldest()


@asynccontextmanager
async def replacing_balancer(
    replicas: RollingReplicas, heard: Callable[[Scope, bytes], None] | None = None
) -> AsyncIterator[str]:
    """An address for programs of others: before each request of MCP a replica is replaced.

    Args:
        heard: Is given each request and its body.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] == "POST":
            await replicas.replace_one()
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if heard:
            heard(scope, body)

        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return whole.pop() if whole else await receive()

        await replicas.balancer(scope, again, send)

    with open_listener("127.0.0.1", 0) as listener:
        async with serve_app(answer, listener, max_message_bytes=1 << 16):
            yield url_of(listener)
