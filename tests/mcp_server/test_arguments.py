"""Whatever the published schema of a tool allows is taken, as JSON means it."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp.server.mcpserver.tools import Tool
from pydantic import ValidationError

from ih_mcp.mcp_server.arguments import (
    MAX_CHARS,
    MAX_ITEMS,
    MAX_NUMBER,
    Arguments,
    _over_bounds,
    problems_of,
)
from ih_mcp.mcp_server.server import make_tools
from ih_mcp.mcp_server.tool import StrictTool
from tests.conformance.arguments import value
from tests.reliability.budget import often
from tests.road.host import Host, environment, open_host

TOOLS = {tool.name: tool for tool in make_tools()}


def model_of(tool: Tool) -> type[Arguments]:
    assert isinstance(tool, StrictTool)
    return tool.arguments


def written(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """One allowed value, in every way a host may write it: 50 as 50.0, what is left out as null."""
    found = value(schema, ())
    if "integer" not in schema["type"]:
        return found
    if "enum" not in schema:  # those that a float can hold
        found = found.filter(lambda number: number is None or abs(number) <= MAX_NUMBER)
    return found.flatmap(
        lambda number: st.sampled_from([number, None if number is None else float(number)])
    )


@st.composite
def calls(draw: st.DrawFn, schema: Mapping[str, Any]) -> dict[str, Any]:
    properties, required = schema.get("properties", {}), schema.get("required", ())
    names = [*required, *draw(st.lists(st.sampled_from([*properties, ""]), unique=True))]
    return {name: draw(written(properties[name])) for name in names if name in properties}


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
@settings(max_examples=often(20, nightly=500), deadline=None)
@given(data=st.data())
def test_nothing_the_schema_allows_is_refused_for_its_type(tool: Tool, data: st.DataObject) -> None:
    sent = json.loads(json.dumps(data.draw(calls(tool.parameters))))
    checked, errors = validated(model_of(tool), sent)
    assert {error["type"] for error in errors} <= {"value_error"}  # what one says of another
    for name, sent_value in sent.items() if checked else ():
        default = model_of(tool).model_fields[name].get_default(call_default_factory=True)
        assert getattr(checked, name) == (default if sent_value is None else sent_value)


def validated(
    model: type[Arguments], sent: object
) -> tuple[Arguments | None, Sequence[Mapping[str, Any]]]:
    try:
        return model.model_validate(sent), ()
    except ValidationError as exc:
        return None, exc.errors()


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_null_for_everything_optional_is_as_if_nothing_was_sent(tool: Tool) -> None:
    properties = tool.parameters.get("properties", {})
    required = dict.fromkeys(tool.parameters.get("required", ()), "x")
    nulls = {name: None for name in properties if name not in required}
    if tool.name == "push_segment":
        required["path"] = "x"
        del nulls["path"]
    model = model_of(tool)
    assert model.model_validate(required | nulls) == model.model_validate(required)


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_what_hosts_add_to_every_call_is_left_out_and_all_else_is_refused(tool: Tool) -> None:
    required = dict.fromkeys(tool.parameters.get("required", ()), "x")
    if tool.name == "push_segment":
        required["path"] = "x"
    model = model_of(tool)
    added = {"toolCallId": "call_1", "sessionId": "s"}
    assert model.model_validate(required | added) == model.model_validate(required)
    assert not added.keys() & tool.parameters.get("properties", {}).keys()
    assert tool.parameters["additionalProperties"] is False
    for name in ("toolcallid", "chatInput", "tool", "Path"):
        assert problems(tool.name, required | {name: "x"}) == [f"unknown argument {name!r}"]


def problems(tool: str, arguments: Mapping[str, Any]) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        model_of(TOOLS[tool]).model_validate(arguments)
    return problems_of(caught.value)


@pytest.mark.parametrize(
    ("tool", "arguments", "problem"),
    [
        ("poll_events", {"limit": "10"}, "'limit': Input should be a valid integer; give it with"),
        (
            "poll_events",
            {"wait_s": "1.5"},
            "'wait_s': Input should be a valid number; give it with",
        ),
        (
            "start_stream",
            {"include": '["x"]'},
            "'include': Input should be a valid list; give it w",
        ),
        ("start_stream", {"sample_rate": "16000"}, "16000 or 24000; give it without quotes"),
    ],
)
def test_a_value_in_quotes_is_told_to_be_without(
    tool: str, arguments: dict[str, Any], problem: str
) -> None:
    (told,) = problems(tool, {"stream_id": "x"} | arguments if tool == "poll_events" else arguments)
    assert problem in told
    assert told.endswith("; give it without quotes")


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("poll_events", {"limit": "ten"}),
        ("poll_events", {"limit": 10.5}),
        ("poll_events", {"limit": True}),
        ("start_stream", {"include": "all"}),
        ("stream_file", {"path": "x", "pace": "5"}),
    ],
)
def test_what_would_be_wrong_without_quotes_too_is_not(
    tool: str, arguments: dict[str, Any]
) -> None:
    told = problems(tool, {"stream_id": "x"} | arguments if tool == "poll_events" else arguments)
    assert "quotes" not in "".join(told)


@pytest.mark.parametrize(
    ("tool", "arguments", "problem"),
    [
        ("end_stream", {"stream_id": "x" * 400_000}, f"has 400_000 characters; {MAX_CHARS:_} are"),
        ("stream_file", {"path": "a/" * 200_000}, "argument 'path' has 400_000 characters"),
        ("start_stream", {"label": "x" * 5_000}, "argument 'label' has 5_000 characters"),
        ("start_stream", {"goal_dimensions": ["x"] * 101}, f"has 101 items; {MAX_ITEMS} are"),
        ("start_stream", {"goal_dimensions": ["x" * 5_000]}, "has 5_000 characters"),
        ("create_token", {"scopes": ["x"] * 10_000}, "argument 'scopes' has 10_000 items"),
        ("create_token", {"max_bytes": -(10**400)}, "is beyond"),
        ("poll_events", {"stream_id": "x", "cursor": 2**53}, "argument 'cursor' is beyond"),
        ("poll_events", {"stream_id": "x", "cursor": 1e300}, "argument 'cursor' is beyond"),
        ("analyze_file", {"path": "x", "conversation_context": "x" * 100_001}, "100_000 are the"),
    ],
)
def test_an_argument_of_odd_size_is_refused_with_its_bound(
    tool: str, arguments: dict[str, Any], problem: str
) -> None:
    (told,) = problems(tool, arguments)
    assert problem in told
    assert len(told) < 200


@pytest.mark.parametrize(
    ("most", "more"),
    [
        ("xxxxx", "xxxxxx"),
        (MAX_NUMBER, MAX_NUMBER + 1),
        (-MAX_NUMBER, -MAX_NUMBER - 1),
        (MAX_ITEMS * ["x"], [*MAX_ITEMS * ["x"], "x"]),
        (["xxxxx"], ["x", "xxxxxx"]),
        ([[MAX_NUMBER]], [[MAX_NUMBER + 1]]),
    ],
)
def test_bounds_of_arguments_hold_both_ends(most: object, more: object) -> None:
    assert _over_bounds(most, max_chars=5) == ""
    assert _over_bounds(more, max_chars=5) != ""


# --- over the wire -------------------------------------------------------------------------------


@pytest.fixture
async def host(tmp_path: Path, dialogue: Path) -> AsyncIterator[Host]:
    shutil.copy(dialogue, tmp_path / "talk.mp4")
    env = environment(
        tmp_path / "data", IH_MCP_MEDIA_DIRS=str(tmp_path), IH_MCP_ANALYST="placeholder"
    )
    async with open_host(env) as opened:
        yield opened


async def test_calls_as_hosts_really_make_them_are_taken(host: Host) -> None:
    nulls = dict.fromkeys(("include", "goal_dimensions", "model", "api", "pace"))
    started = await host.call("stream_file", path="talk.mp4", **nulls, toolCallId="call_1")
    stream_id = started.status["stream_id"]
    polled = await host.call(
        "poll_events", stream_id=stream_id, cursor=0.0, limit=50.0, wait_s=0, max_chars=2e4
    )
    assert polled.status["cursor"] == 0
    nulls = dict.fromkeys(("cursor", "limit", "max_chars"))
    assert not (await host.call("poll_events", stream_id=stream_id, wait_s=None, **nulls)).is_error
    assert not (await host.call("check_setup", toolCallId="call_2")).is_error
    assert not (await host.call("list_streams", stream_id=None)).is_error
    wrong = await host.call("end_stream", stream_id=None)
    assert "argument 'stream_id' is missing" in wrong.text
    await host.call("end_stream", stream_id=stream_id, wait_s=0.0)
