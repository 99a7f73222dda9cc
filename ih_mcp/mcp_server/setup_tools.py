"""The tool that checks the set-up, and a file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

import anyio
from anyio import to_thread
from mcp_types import CallToolResult
from pydantic import Field

from ih_mcp.app.setup_check import check
from ih_mcp.errors import IhMcpError

from .answers import answer
from .arguments import Arguments
from .tool import ToolCall

_SEND = "done: nothing was sent; to send one, a tool and version that works_on names"
FOLDER_SECONDS = 20.0
"""Chosen: for how long files of a folder are begun; some hosts wait 60 s for an answer."""


class CheckSetup(Arguments):
    may_name_segment: ClassVar[bool] = True

    path: str | None = Field(None, description="Would this file (or a folder's) work?")


async def check_setup(call: ToolCall[CheckSetup]) -> CallToolResult:
    """Check the set-up; what to fix, with lines for your host."""
    from ih_mcp.app.host_advice import advise  # noqa: PLC0415 - only where somebody asks

    found, path = await check(call.runtime), call.arguments.path
    is_set_up = bool(found["ok"])
    then = (
        "done: all is set up; to send: stream_file or start_stream"
        if is_set_up
        else "fix it, then check_setup"
    )
    if not is_set_up and not call.is_remote:
        lines = partial(advise, call.runtime.settings, call.host_name)
        found["setup"] = await to_thread.run_sync(lines)
    if path is not None:
        file = await _check_file(call, path)
        names = file.get("files")
        if isinstance(names, list):
            found |= await _check_folder(call, path, names)
            next_step = _SEND
        else:
            found["file"] = file
            next_step = _next_for(file)
        then = next_step if is_set_up else then
    return answer(found | {"next": then})


def _next_for(file: Mapping[str, object]) -> str:
    if file["works"]:
        return _SEND
    return "do what file.help says" if "help" in file else "see what file says of each version"


async def _check_folder(
    call: ToolCall[CheckSetup], folder: str, names: list[str]
) -> dict[str, object]:
    """What `check_setup` says of the files of a folder, as many as there is time for."""
    until = anyio.current_time() + FOLDER_SECONDS
    checked: list[dict[str, object]] = []
    for name in names:
        if anyio.current_time() > until:
            break
        checked.append({"file": name, **await _check_file(call, f"{folder.rstrip('/')}/{name}")})
    needed = {"minutes_of_all_that_work": round(sum(map(_needed_minutes, checked)), 2)}
    return {"files": checked, "not_checked": names[len(checked) :], **needed}


def _needed_minutes(file: Mapping[str, object]) -> float:
    """What it needs, as its row says; 0 where nothing takes it."""
    minutes = file.get("minutes") if file["works"] else None
    needed = minutes.get("needed") if isinstance(minutes, Mapping) else None
    return float(needed) if isinstance(needed, int | float) else 0.0


async def _check_file(call: ToolCall[CheckSetup], path: str) -> dict[str, object]:
    from ih_mcp.app.file_check import check_file, refused_file  # noqa: PLC0415 - as above

    try:
        return await check_file(call.runtime, path)
    except IhMcpError as exc:
        return refused_file(call.explain(exc))
