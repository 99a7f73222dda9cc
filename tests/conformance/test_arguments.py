"""Whatever arguments a tool is called with: text that helps, never a traceback, never a fault."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp import Client
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.tools import Tool
from mcp_types import CallToolResult, ImageContent, TextContent

from ih_mcp.app.runtime import Runtime, open_runtime
from ih_mcp.mcp_server.server import make_server, make_tools
from ih_mcp.settings import read_settings

from .arguments import Known, arguments
from .test_frames import LONG

pytestmark = [
    pytest.mark.timeout(300),
    # the server runs in a thread of this process, and may draw random numbers while hypothesis does
    pytest.mark.filterwarnings("ignore:Do not use the `random` module"),
]
TOOLS = {tool.name: tool for tool in make_tools()}
NEVER = re.compile(r'Traceback|File "|pydantic|object at 0x|Error executing|\bNone\b')


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    (folder / "notes.txt").write_text("no video")
    (folder / "empty.mp4").touch()
    return folder


class Caller:
    """The official client in a thread of its own: the examples of a test share it."""

    def __init__(self, portal: BlockingPortal, client: Client) -> None:
        self._portal = portal
        self._client = client

    def call(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        result = self._portal.call(self._client.call_tool, tool, arguments)
        assert isinstance(result, CallToolResult)
        return result


@pytest.fixture(scope="module")
def caller(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    opened = open_client(folder, tmp_path_factory.mktemp("data"))
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(opened) as client,
    ):
        yield Caller(portal, client)


@asynccontextmanager
async def open_client(folder: Path, data_dir: Path) -> AsyncIterator[Client]:
    """A server that keeps one finished stream, `st_kept`."""

    @asynccontextmanager
    async def lifespan(_: MCPServer[Runtime]) -> AsyncIterator[Runtime]:
        made = read_settings(
            endpoint="local",
            analyst="placeholder",
            data_dir=data_dir,
            media_dirs=(folder,),
            max_streams=2,
        )
        async with open_runtime(made) as runtime:
            log = await runtime.journal.begin("st_kept", {"state": "ended"})
            for number in range(30):
                log.append(json.dumps({"type": "x", "n": number}), leg=0)
            await log.write_record({"state": "ended"}, ended=True)
            runtime.journal.release(log)
            yield runtime

    async with Client(make_server(lifespan)) as opened:
        yield opened


@pytest.fixture(scope="module")
def known(folder: Path) -> Known:
    paths = [
        "notes.txt",
        "empty.mp4",
        "missing.mp4",
        ".",
        "..",
        "/etc/passwd",
        "~",
        "\0",
        "a" * 999,
    ]
    return {
        "stream_id": ["st_kept", "st_nobody", ""],
        "analysis_id": ["an_nobody", "st_kept"],
        "path": [*paths, str(folder / "notes.txt"), str(folder), "file:///etc/passwd", "-i"],
        "data_base64": ["AAAA", "AAA", "é", "AA==", "GkXfo59ChoEB"],
        "model": ["inter-1", "inter-2", "inter-2-audio"],
        "goal_dimensions": ["clarity", "energy"],
        "scopes": ["stream", "upload"],
        "allowed_origins": ["https://example.org"],
    }


def told(result: CallToolResult) -> list[str]:
    assert result.structured_content is None
    assert all(isinstance(block, TextContent | ImageContent) for block in result.content)
    return [block.text for block in result.content if isinstance(block, TextContent)]


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
@settings(
    max_examples=300 if LONG else 12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_arguments_give_text_that_helps(
    tool: Tool, caller: Caller, known: Known, data: st.DataObject
) -> None:
    given_arguments: dict[str, Any] = data.draw(arguments(tool.parameters, known))
    result = caller.call(tool.name, given_arguments)
    texts = told(result)
    if not result.is_error:
        status = json.loads(texts[0])
        assert status.keys() == {"ih_mcp"}
        assert status["ih_mcp"]["next"]
        return
    (text,) = texts
    assert len(text) <= 2000
    error = json.loads(text.splitlines()[-1])["ih_mcp"]["error"]
    assert error["code"] != "internal", text
    assert isinstance(error["retry"], bool)
    if "None" not in json.dumps(given_arguments):
        assert not NEVER.search(text), text


@pytest.mark.parametrize("name", ["nobody", "", "poll_events ", "POLL_EVENTS"])
def test_a_tool_that_is_not_there_is_named(name: str, caller: Caller) -> None:
    result = caller.call(name, {})
    assert result.is_error
    assert f"Unknown tool: {name}" in told(result)[0]
