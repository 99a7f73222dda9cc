"""`ih-mcp token`: mint a token."""

from __future__ import annotations

import argparse

import anyio

from ih_mcp.settings import Settings
from ih_mcp.tools.runtime import open_runtime
from ih_mcp.tools.token_tools import CreateToken, mint


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Print the service's JSON."""
    asked = CreateToken(**{name: getattr(options, name) for name in CreateToken.model_fields})
    print(anyio.run(_mint, settings, asked))
    return 0


async def _mint(settings: Settings, asked: CreateToken) -> str:
    async with open_runtime(settings, trusted=True) as runtime:
        return await mint(runtime, asked)
