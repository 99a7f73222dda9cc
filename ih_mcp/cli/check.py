"""`ih-mcp check`: the set-up, for a person."""

from __future__ import annotations

import json
from collections.abc import Mapping

import anyio

from ih_mcp.settings import Settings
from ih_mcp.tools.check import check
from ih_mcp.tools.runtime import open_runtime


def run(settings: Settings) -> int:
    """Print what was found; gives 0 if all is well, else 1."""
    found = anyio.run(_look, settings)
    for name, value in found.items():
        if name not in {"ok", "mend"}:
            print(f"{name:12} {_line(value)}")
    mend = found["mend"]
    assert isinstance(mend, list)
    for step in mend:
        print(f"  -> {step}")
    print("all is well" if found["ok"] else "not ready yet")
    return 0 if found["ok"] else 1


async def _look(settings: Settings) -> Mapping[str, object]:
    async with open_runtime(settings, trusted=True) as runtime:
        return await check(runtime)


def _line(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
