"""What an MCP client sees before it calls anything."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.server.mcpserver import MCPServer
from splintr import Tokenizer

from ih_mcp.app.runtime import Runtime, open_runtime
from ih_mcp.mcp_server.event_tools import PollEvents
from ih_mcp.mcp_server.server import INSTRUCTIONS, make_server, make_tools
from ih_mcp.settings import read_settings
from ih_mcp.stand_in import STAND_IN

NAMES = [
    "start_stream",
    "configure_stream",
    "push_segment",
    "stream_file",
    "poll_events",
    "end_stream",
    "start_capture",
    "render_timeline",
    "list_streams",
    "analyze_file",
    "get_analysis",
    "create_token",
    "check_setup",
]
FOLDERS_HELP = "Set IH_MCP_MEDIA_DIRS to the folders that hold your videos, separated by"
MAX_TOKENS = 2000
SELF_EXPLAINING = {  # a description would only repeat the name, and costs every model its tokens
    "stream_id", "analysis_id", "wait_s", "include", "model", "api", "limit", "max_chars", "label",
    "format", "scopes", "allowed_origins", "goal_dimensions",
    "max_duration_seconds", "max_bytes", "max_concurrent", "max_video_seconds",
}  # fmt: skip


@asynccontextmanager
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """The official client, joined to the server without a process."""

    @asynccontextmanager
    async def lifespan(_: MCPServer[Runtime]) -> AsyncIterator[Runtime]:
        settings = read_settings(endpoint="local", data_dir=tmp_path)
        async with open_runtime(settings) as runtime:
            yield runtime

    async with Client(make_server(lifespan)) as opened:
        yield opened


async def listed(tmp_path: Path) -> list[dict[str, Any]]:
    async with client(tmp_path) as opened:
        tools = (await opened.list_tools()).tools
    return [tool.model_dump(by_alias=True, exclude_none=True) for tool in tools]


async def test_the_tools_are_named_as_the_design_names_them(tmp_path: Path) -> None:
    assert [tool["name"] for tool in await listed(tmp_path)] == NAMES


async def test_answers_are_text_only_so_no_tool_has_an_output_schema(tmp_path: Path) -> None:
    assert [tool["name"] for tool in await listed(tmp_path) if "outputSchema" in tool] == []


async def test_every_tool_carries_all_four_hints(tmp_path: Path) -> None:
    hints = {
        tool["name"]: [
            tool["annotations"][f"{hint}Hint"]
            for hint in ("readOnly", "destructive", "idempotent", "openWorld")
        ]
        for tool in await listed(tmp_path)
    }
    assert all(isinstance(value, bool) for values in hints.values() for value in values)
    assert [name for name, (read_only, *_) in hints.items() if read_only] == [
        "poll_events",
        "list_streams",
        "get_analysis",
        "check_setup",
    ]
    assert not any(destructive for _, destructive, *_ in hints.values())
    assert {name for name, (*_, idempotent, _) in hints.items() if not idempotent} == {
        *("start_stream", "push_segment", "stream_file", "start_capture", "analyze_file"),
        "create_token",
    }
    assert [name for name, (*_, is_open) in hints.items() if not is_open] == [
        "render_timeline",
        "list_streams",
    ]


async def test_every_schema_is_closed_and_its_arguments_are_told(tmp_path: Path) -> None:
    for tool in await listed(tmp_path):
        schema = tool["inputSchema"]
        assert schema["additionalProperties"] is False
        for name, argument in schema.get("properties", {}).items():
            assert "title" not in argument
            assert "anyOf" not in argument, (tool["name"], name)
            assert name in SELF_EXPLAINING or argument["description"], (tool["name"], name)


STRICT_KEYWORDS = {"type", "description", "enum", "items", "minimum", "maximum"}


async def test_every_schema_works_in_the_strict_mode_of_openai(tmp_path: Path) -> None:
    """There all arguments are required; what is optional may be null, and there is no `default`."""
    for tool in await listed(tmp_path):
        schema = tool["inputSchema"]
        for name, argument in schema.get("properties", {}).items():
            assert argument.keys() <= STRICT_KEYWORDS, (tool["name"], name)
            is_optional = name not in schema.get("required", ())
            kinds = argument["type"] if is_optional else [argument["type"], "null"]
            assert kinds[1:] == ["null"], (tool["name"], name)
            assert "enum" not in argument or (None in argument["enum"]) is is_optional


async def test_the_whole_list_stays_within_its_tokens(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    text = json.dumps(await listed(tmp_path), separators=(",", ":"), ensure_ascii=False)
    tokens = len(Tokenizer.from_pretrained("o200k_base").encode(text))
    sys.stdout.write(f"tools/list: {tokens} tokens (o200k_base), {len(text)} characters\n")
    record_property("tools_list_tokens", tokens)
    assert 500 < tokens < MAX_TOKENS


def test_the_instructions_fit_and_teach_the_loop() -> None:
    assert len(INSTRUCTIONS) <= 1500
    tools = ("stream_file", "start_stream", "push_segment", "poll_events")
    for word in (*tools, "next_cursor", "seq"):
        assert word in INSTRUCTIONS


def test_descriptions_fit_where_hosts_cut_them() -> None:
    for tool in make_tools():
        assert 40 < len(tool.description) < 600, tool.name


async def test_a_tool_that_breaks_shows_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object, **_named: object) -> None:
        raise RuntimeError("secret detail")

    async with client(tmp_path) as opened:
        monkeypatch.setattr("ih_mcp.streams.registry.Registry.statuses", broken)
        result = await opened.call_tool("list_streams", {})
    assert result.is_error
    text = result.content[0].text  # type: ignore[union-attr]
    assert "the mistake is in ih-mcp" in text
    assert "secret" not in text
    assert "secret detail" in caplog.text


async def test_the_set_up_is_checked_part_by_part(tmp_path: Path) -> None:
    async with client(tmp_path) as opened:
        result = await opened.call_tool("check_setup", {})
    found = json.loads(result.content[0].text)["ih_mcp"]  # type: ignore[union-attr]
    assert found["ok"] is False  # no folder is allowed yet
    assert found["mend"] == found["fixes"] == [f"{FOLDERS_HELP} {os.pathsep!r}."]
    assert found["api_key"] == "not needed"
    assert found["endpoint"].startswith(f"local. {STAND_IN} Its analyst is ")
    assert "sets INTERHUMAN_API_KEY" in found["real_service"]
    assert found["journal"] == {"folder": str(tmp_path), "streams": 0, "bytes": 0}


def test_who_gives_no_cursor_reads_from_the_first_message() -> None:
    assert PollEvents.model_validate({"stream_id": "st_1"}).cursor == 0
