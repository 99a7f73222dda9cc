"""What a server's folders are called in answers: a tenant has no use for where they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

FILES, DATA = "your uploaded files", "your data folder on the server"


class FolderNames:
    """Writes names in the place of a tenant's folders; what callers wrote themselves stays.

    Where there are no tenants, who calls is the user of this machine, and reads its paths.
    """

    def __init__(self, files: Path, data: Path) -> None:
        """Name these folders; blocks."""
        self._names = dict.fromkeys(_ways_to(data), DATA) | dict.fromkeys(_ways_to(files), FILES)
        paths = sorted(self._names, key=len, reverse=True)  # that of the files may be in the other
        self._found = re.compile(
            rf"(?<![\w./-])(?:{'|'.join(map(re.escape, paths))})(?![\w-]|\.\w)"
        )

    def hide(self, text: str) -> str:
        """The text with the names in it."""
        return self._found.sub(lambda found: self._names[found[0]], text)

    async def hide_in_answer(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Middleware of the MCP server: our own part of a tool's answer, which is its first block.

        Messages of the API, which follow it, stay byte for byte.
        """
        result = await call_next(ctx)
        if ctx.method == "tools/call" and isinstance(result, dict):
            for block in result.get("content", [])[:1]:
                if isinstance(block.get("text"), str):
                    block["text"] = self.hide(block["text"])
        return result


def _ways_to(folder: Path) -> Iterable[str]:
    """The ways in which texts and JSON have its path."""
    for path in (folder, folder.absolute(), folder.resolve()):
        yield from (str(path), json.dumps(str(path))[1:-1])
