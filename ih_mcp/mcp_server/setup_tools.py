"""The tool that checks the set-up, and a file."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from anyio import to_thread
from mcp_types import CallToolResult
from pydantic import Field

from ih_mcp.app.setup_check import check
from ih_mcp.errors import IhMcpError

from .answers import answer
from .arguments import Arguments
from .tool import ToolCall


class CheckSetup(Arguments):
    may_name_segment: ClassVar[bool] = True

    path: str | None = Field(None, description="Would this file work? Its minutes?")


async def check_setup(call: ToolCall[CheckSetup]) -> CallToolResult:
    """Check the set-up; what to fix, with lines for your host."""
    from ih_mcp.app.host_advice import advise  # noqa: PLC0415 - only where somebody asks

    found, path = await check(call.runtime), call.arguments.path
    is_set_up = bool(found["ok"])
    then = "stream_file or start_stream" if is_set_up else "fix it, then check_setup"
    if not is_set_up and not call.is_remote:
        lines = partial(advise, call.runtime.settings, call.host_name)
        found["setup"] = await to_thread.run_sync(lines)
    if path is not None:
        found["file"] = file = await _check_file(call, path)
        if is_set_up:
            then = "stream_file with this path" if file["works"] else "do what file.help says"
    return answer(found | {"next": then})


async def _check_file(call: ToolCall[CheckSetup], path: str) -> dict[str, object]:
    from ih_mcp.app.file_check import check_file, refused_file  # noqa: PLC0415 - as above

    try:
        return await check_file(call.runtime, path)
    except IhMcpError as exc:
        return refused_file(call.explain(exc))
