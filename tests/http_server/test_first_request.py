"""The first requests of docs/team.md, as they stand there, at a server that was just started."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import anyio
import pytest

from ih_mcp.http_server.serve import open_team_server
from ih_mcp.settings import read_settings
from tests.road.host import REPOSITORY

PAGE = (REPOSITORY / "docs" / "team.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8765"


def block(kind: str, beginning: str) -> str:
    (found,) = re.findall(rf"```{kind}\n({beginning}.*?)```", PAGE, re.DOTALL)
    return str(found)


async def test_the_first_requests_of_the_docs_are_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = read_settings(endpoint="local", data_dir=tmp_path, listen="127.0.0.1:0")
    async with open_team_server(settings) as server:
        if shutil.which("curl"):
            command = shlex.split(
                block("sh", "curl").replace("\\\n", "").replace(ADDRESS, server.url)
            )
            done = await anyio.run_process([*command, "--silent", "--noproxy", "*"])
            assert b'not_shown\\":0' in done.stdout
        program = block("python", "import asyncio").replace(ADDRESS, server.url)
        names: dict[str, Any] = {}
        exec(program.partition("asyncio.run(")[0], names)  # noqa: S102 - our own page
        await names["main"]()
    assert '"not_shown":0' in capsys.readouterr().out
