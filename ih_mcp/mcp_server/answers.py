"""What a tool's caller reads: text blocks, ours first, then the API's messages as they came.

Block 0 is one JSON object with the single key `ih_mcp`; blocks 1…n are API messages, byte for
byte, in order. Failures are text too: what happened, what to do next, then compact JSON.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping

from mcp_types import CallToolResult, TextContent

from ih_mcp.errors import IhMcpError, as_sentence
from ih_mcp.journal import Entry
from ih_mcp.printable import escape_unprintable
from ih_mcp.redaction import redact

_MAX_FAILURE_CHARS = 2000


def answer(status: Mapping[str, object], entries: Iterable[Entry] = ()) -> CallToolResult:
    """Our status, then messages.

    A binary message (the API sends none) becomes base64; `binary_cursors` of the status names it.
    """
    entries = list(entries)
    status = dict(status)
    if binary := [entry.cursor for entry in entries if isinstance(entry.body, bytes)]:
        status["binary_cursors"] = binary
    blocks = [_compact({"ih_mcp": status})]
    blocks += [as_text(entry.body) for entry in entries]
    return CallToolResult(content=[TextContent(type="text", text=text) for text in blocks])


def as_text(body: str | bytes) -> str:
    """A message as a block: text as it came, a binary one as base64."""
    return body if isinstance(body, str) else base64.b64encode(body).decode()


def failure(error: IhMcpError) -> CallToolResult:
    """A foreseen failure: what, what helps, and named facts."""
    facts = {"code": error.code, "retry": error.retry, **error.facts}
    what, helps = escape_unprintable(as_sentence(error.what)), escape_unprintable(error.help)
    lines = [what, helps, _compact({"ih_mcp": {"error": facts}})]
    text = "\n".join(line for line in lines if line)
    if len(text) > _MAX_FAILURE_CHARS:
        slim = _compact({"ih_mcp": {"error": {"code": error.code, "retry": error.retry}}})
        text = f"{what[:1200]}\n{helps[:500]}\n{slim}"
    return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True)


def _compact(value: object) -> str:
    return redact(json.dumps(value, separators=(",", ":"), default=str))
