"""`ih-mcp token`: mint a token."""

from __future__ import annotations

import argparse

import anyio
from pydantic import ValidationError

from ih_mcp.app.runtime import open_runtime
from ih_mcp.errors import CallerError
from ih_mcp.mcp_server.arguments import problems_of
from ih_mcp.mcp_server.token_tools import CreateToken, mint
from ih_mcp.settings import Settings

from .console import hand_on


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Print the service's JSON, as it came.

    Raises:
        CallerError: The options cannot be; nothing was asked for.
    """
    try:
        asked = CreateToken(**{name: getattr(options, name) for name in CreateToken.model_fields})
    except ValidationError as exc:
        raise CallerError(
            f"no token was asked for: {'; '.join(problems_of(exc))}", help="See `token --help`."
        ) from None
    hand_on(anyio.run(_mint, settings, asked).encode() + b"\n")
    return 0


async def _mint(settings: Settings, asked: CreateToken) -> str:
    async with open_runtime(settings, trusted=True) as runtime:
        return await mint(runtime, asked)
