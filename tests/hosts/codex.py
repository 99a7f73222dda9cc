"""Codex's app server: its own MCP client, driven without a login."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tests.node import CODEX, program


class Codex:
    """JSON-RPC over the app server's pipes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._id = 0
        self.thread = ""

    def request(self, method: str, **params: object) -> Mapping[str, Any]:
        """The result; notes that come before it are passed over."""
        self._id += 1
        stdin, stdout = self._pipes()
        stdin.write(json.dumps({"id": self._id, "method": method, "params": params}) + "\n")
        stdin.flush()
        for line in stdout:
            message = json.loads(line)
            if message.get("id") == self._id and "method" not in message:
                assert "result" in message, message
                found: Mapping[str, Any] = message["result"]
                return found
        raise EOFError(method)

    def begin(self, cwd: Path) -> None:
        self.request("initialize", clientInfo={"name": "t", "title": "t", "version": "0"})
        stdin, _ = self._pipes()
        stdin.write('{"method":"initialized"}\n')
        self.thread = self.request("thread/start", cwd=str(cwd))["thread"]["id"]

    def call(self, tool: str, **arguments: object) -> list[str]:
        """Call one of our tools; gives its blocks."""
        result = self.request(
            "mcpServer/tool/call",
            threadId=self.thread,
            server="interhuman",
            tool=tool,
            arguments=arguments,
        )
        assert not result["isError"], result
        return [block["text"] for block in result["content"]]

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        assert self._process.stdin
        assert self._process.stdout
        return self._process.stdin, self._process.stdout


@contextmanager
def app_server(env: Mapping[str, str], cwd: Path) -> Iterator[Codex]:
    with (
        (cwd / "codex.log").open("w") as log,
        subprocess.Popen(
            [*program(*CODEX), "app-server"],
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
        ) as process,
    ):
        try:
            codex = Codex(process)
            codex.begin(cwd)
            yield codex
        finally:
            process.terminate()
