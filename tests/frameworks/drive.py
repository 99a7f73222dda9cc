"""`python drive.py FRAMEWORK VIDEO`: the main job through one framework's own MCP client.

Runs in that framework's environment. Prints one line of JSON: the messages, as they arrived.
"""

from __future__ import annotations

import ast
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import anyio
import anyio.to_thread

Call = Callable[[str, dict[str, Any]], Awaitable[list[str]]]
COMMAND, ARGUMENTS = os.environ["SERVER_PYTHON"], ["-m", "ih_mcp", "--local"]
ENVIRONMENT = dict(os.environ)


def texts(blocks: Any) -> list[str]:
    """The text of each block, whatever the framework made of it."""
    found = []
    for block in blocks if isinstance(blocks, list | tuple) else [blocks]:
        if isinstance(block, dict):
            text = block.get("text", block)
        else:
            text = getattr(block, "text", block)
        found.append(text if isinstance(text, str) else json.dumps(text))
    return found


@asynccontextmanager
async def openai_agents() -> AsyncIterator[Call]:
    from agents.mcp import MCPServerStdio

    params = {"command": COMMAND, "args": ARGUMENTS, "env": ENVIRONMENT}
    async with MCPServerStdio(params=params) as server:  # its timeout of 5 s stays

        async def call(tool: str, arguments: dict[str, Any]) -> list[str]:
            return texts((await server.call_tool(tool, arguments)).content)

        yield call


@asynccontextmanager
async def fastmcp() -> AsyncIterator[Call]:
    from fastmcp import Client

    entry = {"command": COMMAND, "args": ARGUMENTS, "env": ENVIRONMENT}
    async with Client({"mcpServers": {"interhuman": entry}}) as client:

        async def call(tool: str, arguments: dict[str, Any]) -> list[str]:
            return texts((await client.call_tool(tool, arguments)).content)

        yield call


@asynccontextmanager
async def langchain_mcp_adapters() -> AsyncIterator[Call]:
    from langchain_mcp_adapters.client import MultiServerMCPClient
    from langchain_mcp_adapters.tools import load_mcp_tools

    entry = {"transport": "stdio", "command": COMMAND, "args": ARGUMENTS, "env": ENVIRONMENT}
    client = MultiServerMCPClient({"interhuman": entry})
    async with client.session("interhuman") as session:
        tools = {tool.name: tool for tool in await load_mcp_tools(session)}

        async def call(tool: str, arguments: dict[str, Any]) -> list[str]:
            return texts(await tools[tool].ainvoke(arguments))

        yield call


@asynccontextmanager
async def google_adk() -> AsyncIterator[Call]:
    from google.adk.tools.mcp_tool import mcp_toolset
    from google.adk.tools.mcp_tool.mcp_session_manager import StdioConnectionParams
    from mcp import StdioServerParameters

    server = StdioServerParameters(command=COMMAND, args=ARGUMENTS, env=ENVIRONMENT)
    toolset = mcp_toolset.MCPToolset(
        connection_params=StdioConnectionParams(server_params=server, timeout=30)
    )
    tools = {tool.name: tool for tool in await toolset.get_tools()}

    async def call(tool: str, arguments: dict[str, Any]) -> list[str]:
        result = await tools[tool].run_async(
            args=arguments, tool_context=MagicMock(function_call_id="call")
        )
        content = (
            result.get("content", [f"error: {result}"])
            if isinstance(result, dict)
            else result.content
        )
        return texts(content)

    try:
        yield call
    finally:
        await toolset.close()


@asynccontextmanager
async def pydantic_ai_slim() -> AsyncIterator[Call]:
    from pydantic_ai.mcp import MCPToolset

    entry = {"command": COMMAND, "args": ARGUMENTS, "env": ENVIRONMENT}
    servers = {"mcpServers": {"interhuman": entry}}
    async with MCPToolset(servers, init_timeout=60) as server:  # 5 s else, on a busy machine too

        async def call(tool: str, arguments: dict[str, Any]) -> list[str]:
            return texts(await server.direct_call_tool(tool, arguments))

        yield call


@asynccontextmanager
async def smolagents() -> AsyncIterator[Call]:
    from mcp import StdioServerParameters
    from smolagents import MCPClient

    server = StdioServerParameters(command=COMMAND, args=ARGUMENTS, env=ENVIRONMENT)
    with MCPClient(server, structured_output=False) as found:
        tools = {tool.name: tool for tool in found}

        async def call(tool: str, arguments: dict[str, Any]) -> list[str]:
            return texts(await anyio.to_thread.run_sync(partial(tools[tool], **arguments)))

        yield call


@asynccontextmanager
async def llama_index_tools_mcp() -> AsyncIterator[Call]:
    from llama_index.tools.mcp import BasicMCPClient, McpToolSpec

    client = BasicMCPClient(COMMAND, args=ARGUMENTS, env=ENVIRONMENT)
    tools = {
        tool.metadata.name: tool for tool in await McpToolSpec(client=client).to_tool_list_async()
    }

    async def call(tool: str, arguments: dict[str, Any]) -> list[str]:
        output = await tools[tool].acall(**arguments)
        return texts(output.raw_output.content)  # a model reads the whole of it as one text

    yield call


@asynccontextmanager
async def crewai_tools() -> AsyncIterator[Call]:
    from crewai_tools import MCPServerAdapter
    from mcp import StdioServerParameters

    server = StdioServerParameters(command=COMMAND, args=ARGUMENTS, env=ENVIRONMENT)
    with MCPServerAdapter(server) as found:
        tools = {tool.name: tool for tool in found}

        async def call(tool: str, arguments: dict[str, Any]) -> list[str]:
            text = await anyio.to_thread.run_sync(partial(tools[tool].run, **arguments))
            return ast.literal_eval(text) if text.startswith("['") else [text]

        yield call


async def main(framework: str, video: Path) -> None:
    async with globals()[framework]() as call:
        first, *_ = await call("stream_file", {"path": str(video), "pace": "fast"})
        status = json.loads(first)["ih_mcp"]
        stream, cursor, messages = status["stream_id"], 0, []
        while not status.get("ended"):
            first, *more = await call("poll_events", {"stream_id": stream, "cursor": cursor})
            status = json.loads(first)["ih_mcp"] if first.startswith("{") else {"failed": first}
            assert "failed" not in status, status
            cursor = status["next_cursor"]
            messages += more
    print(json.dumps({"stream": stream, "messages": messages}), flush=True)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], Path(sys.argv[2]))
