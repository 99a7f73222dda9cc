"""The tool that mints tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from mcp_types import CallToolResult, TextContent
from pydantic import Field, model_validator

from ih_mcp.app.credentials import MintedToken
from ih_mcp.app.minutes import ConsentChannel
from ih_mcp.app.runtime import Runtime
from ih_mcp.errors import IhMcpError
from ih_mcp.stand_in import STAND_IN
from ih_mcp.wire.dialects import find_dialect
from ih_mcp.wire.json_members import read_members
from ih_mcp.wire.minutes import MediaUse
from ih_mcp.wire.rest import CLIENT_TOKENS_PATH, ClientTokenRequest, Token

from .answers import answer
from .arguments import MAX_NUMBER, Arguments
from .status import add_notes
from .tool import ToolCall

_CONNECT = (
    "in a browser: new WebSocket(websocket, ['access_token', TOKEN]); elsewhere: header "
    "Authorization: Bearer TOKEN"
)
_SESSION = "one connection, opened before expires_at; whether it may last longer is undocumented"
_MEANING = {
    "max_duration_seconds": "max_duration_seconds is clock time, of each session.",
    "max_bytes": "max_bytes counts the video that is sent.",
    "max_concurrent": "max_concurrent is how many sessions may be open at once.",
    "max_video_seconds": "max_video_seconds bounds all sessions and uploads together.",
}
"""What a cap bounds, for who asked for it."""
_CAPS = ("max_video_seconds", "max_duration_seconds")
_UNCAPPED = {"kind", "scopes"}


class CreateToken(Arguments):
    kind: Literal["access", "client"] = Field(
        "client", description="client: for browsers; access: from a key pair."
    )
    scopes: list[str] | None = None
    expires_in: int | None = Field(
        None, ge=60, le=3600, description="Null: 300 s. This and below: client only."
    )
    max_duration_seconds: int | None = None
    max_bytes: int | None = None
    max_concurrent: int | None = None
    max_video_seconds: int | None = None
    allowed_origins: list[str] | None = None

    @model_validator(mode="after")
    def _can_be_capped(self) -> CreateToken:
        asked = self.model_dump(exclude_none=True).keys() - _UNCAPPED
        if self.kind == "access" and asked:  # in silence it would be a token without them
            raise ValueError(
                f"{', '.join(sorted(asked))}: the service bounds tokens of the kind client only"
            )
        return self


async def create_token(call: ToolCall[CreateToken]) -> CallToolResult:
    """Mint a token (a secret) for others, who never see the key."""
    arguments, runtime = call.arguments, call.runtime
    address = find_dialect(runtime.settings.api).address(await runtime.base_url())
    asked_at = datetime.now(UTC)
    minted = await mint_token(runtime, arguments, call.channel)
    lifetime = Token.from_body(minted.body.encode()).expires_in
    status: dict[str, object] = {
        "kind": arguments.kind,
        "endpoint": runtime.settings.endpoint,
        "expires_at": (asked_at + timedelta(seconds=lifetime)).isoformat(timespec="seconds"),
        "session": _SESSION,
        "websocket": address,
        "connect": _CONNECT,
        **({"stand_in": STAND_IN} if minted.is_stand_in else {}),
        "next": "done: hand it over",
    }
    result = answer(add_notes(status, _notes(arguments, minted.body, lifetime)))
    result.content.append(TextContent(type="text", text=minted.body))
    return result


def _notes(asked: CreateToken, body: str, lifetime: float) -> list[str]:
    """What a client token allows beyond what its caller may think, as sentences."""
    if asked.kind == "access":
        return []
    granted = read_members(body, {*_CAPS, "allowed_origins"})
    notes = [
        f"The token lives for {lifetime:g} s, less than its {name} of {most:g} s: ask for a longer "
        "expires_in (3600 at most) to use it all."
        for name in _CAPS
        if isinstance(most := granted.get(name), int | float) and lifetime < most < MAX_NUMBER
    ]
    notes += [_MEANING[name] for name in asked.model_dump(exclude_none=True) if name in _MEANING]
    if not granted.get("allowed_origins"):
        notes.append("Any web page may use it; allowed_origins bounds that.")
    return notes


async def mint_token(runtime: Runtime, asked: CreateToken, channel: ConsentChannel) -> MintedToken:
    """Ask the service for a token.

    Where limits of minutes are set, what others may send with the token counts as sent.

    Raises:
        ConfigurationError: What this kind is minted from is not set.
        UsedUpError: It would exceed a limit.
        CallerError: Limits are set and the token has none, or nobody permitted it.
        ServiceError: The service refused.
    """
    budget = runtime.minutes.budget()
    if not budget.limits and budget.max_bytes_per_day is None:
        return await _mint(runtime, asked)
    account = await runtime.minutes.permit_token(asked.max_video_seconds, asked.max_bytes, channel)
    try:
        return await _mint(runtime, asked)
    except IhMcpError:
        await account.settle(MediaUse(), ended=True)
        raise


async def _mint(runtime: Runtime, asked: CreateToken) -> MintedToken:
    if asked.kind == "access":
        path = runtime.auth_path
        return await runtime.mint(path, runtime.credentials.key_pair(asked.scopes).body())
    request = ClientTokenRequest(
        api_key=runtime.credentials.api_key(),
        scopes=tuple(asked.scopes) if asked.scopes is not None else None,
        expires_in=asked.expires_in,
        max_duration_seconds=asked.max_duration_seconds,
        max_bytes=asked.max_bytes,
        max_concurrent=asked.max_concurrent,
        max_video_seconds=asked.max_video_seconds,
        allowed_origins=tuple(asked.allowed_origins)
        if asked.allowed_origins is not None  # an empty list is not "any"
        else None,
    )
    return await runtime.mint(CLIENT_TOKENS_PATH, request.body())
