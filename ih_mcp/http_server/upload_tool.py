"""The tool that only a server for others has: where to send a file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mcp.server.mcpserver.tools import Tool
from mcp_types import CallToolResult
from pydantic import Field

from ih_mcp.mcp_server.answers import answer
from ih_mcp.mcp_server.arguments import Arguments
from ih_mcp.mcp_server.tool import ToolCall, make_tool

from .files import require_file_name
from .upload_tickets import TICKET_SECONDS


class UploadFile(Arguments):
    name: str = Field(description="Such as talk.mp4; then the path of stream_file.")


def make_upload_tool(issue: Callable[[str], Awaitable[str]]) -> Tool:
    """The tool `upload_file`.

    Args:
        issue: Gives the address to which a file of a name can be sent once.
    """

    async def upload_file(call: ToolCall[UploadFile]) -> CallToolResult:
        """Get an address for a video that is not on this server: PUT its bytes there, once.

        A person can open the address in a browser.
        """
        name = require_file_name(call.arguments.name)
        url = await issue(name)
        return answer(
            {
                "path": name,
                "put_url": url,
                "valid_for_s": TICKET_SECONDS,
                "command": f"curl -T {name!r} '{url}'",
                "next": f"send the file, then stream_file(path={name!r}) or analyze_file",
            }
        )

    return make_tool(upload_file, UploadFile, read_only=False, idempotent=False, open_world=False)
