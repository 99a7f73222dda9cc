"""Forks processes of ih-mcp: `python -m tests.forked.processes SOCKET`, until its input ends."""

from __future__ import annotations

import importlib
import logging
import pkgutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import cache
from typing import Any

import ih_mcp
from ih_mcp.errors import IhMcpError, MediaError

from .server import main

_LATER = {"ih_mcp.__main__", "ih_mcp.timeline.image"}  # runs; imports matplotlib
_WHEN_USED = (  # libraries import these when they are first used; each process would do so anew
    *("anyio._backends._asyncio", "anyio._core._sockets", "httpcore2", "importlib.readers"),
    *("importlib.resources.readers", "rich.logging", "truststore", "uvicorn.lifespan.off"),
)
_SELDOM = ("ih_mcp.standin.cues.", "ih_mcp.journal.postgres.")  # numpy and dlib; psycopg


def import_all() -> None:
    """Import what a process of ih-mcp imports when it works."""
    for module in pkgutil.walk_packages(ih_mcp.__path__, "ih_mcp."):
        if module.name not in _LATER and not module.name.startswith(_SELDOM):
            importlib.import_module(module.name)
    for name in _WHEN_USED:
        with suppress(ModuleNotFoundError):  # truststore, where Python has no need of it
            importlib.import_module(name)
    sys.modules["anyio"].run(_answer_once)
    with suppress(IhMcpError):  # one of this environment may be wrong, which is not asked here
        sys.modules["ih_mcp.settings"].read_settings()
    sys.modules["ih_mcp.cli"].__dict__["_parser"]()
    _ask_ffmpeg_once()


async def _answer_once() -> None:
    """Serve a client in memory: schemas, patterns and the like are then made for all processes."""

    @asynccontextmanager
    async def nothing(_: object) -> AsyncIterator[Any]:
        yield None

    make_server = sys.modules["ih_mcp.mcp_server.server"].make_server
    for mode in ("legacy", "auto"):
        async with sys.modules["mcp"].Client(make_server(nothing), mode=mode) as client:
            await client.list_tools()
    # The SDK has set up logging, which a process that is forked does for itself.
    logging.basicConfig(level=logging.WARNING, handlers=[], force=True)


def _ask_ffmpeg_once() -> None:
    """Remember of which version an ffmpeg is, which takes 14 ms of a processor and 40 ms.

    One that a test names is asked by each process, for it is asked here for the usual one alone.
    """
    program = sys.modules["ih_mcp.media.ffmpeg.program"]
    program.__dict__["_serving"] = cache(program.__dict__["_serving"])
    with suppress(MediaError):
        program.find_ffmpeg()


if __name__ == "__main__":
    main(sys.argv[1], import_all)
