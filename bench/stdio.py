"""A server process and a raw JSON-RPC driver on its pipes: next to nothing of a client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

MINIMAL = """
from mcp.server.mcpserver import MCPServer
server = MCPServer("noop", log_level="ERROR")

@server.tool(structured_output=False)
async def noop(stream_id: str) -> str:
    "Give it back."
    return stream_id

server.run("stdio")
"""
NOOP = [sys.executable, "-c", MINIMAL]
OURS = [sys.executable, "-m", "ih_mcp"]


def environment(data_dir: str, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "IH_MCP_ENDPOINT": "local", "IH_MCP_DATA_DIR": data_dir, **more}


class Server:
    def __init__(self, command: list[str], env: Mapping[str, str]) -> None:
        self.started_at = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(env),
        )
        self._id = 0
        self._answers: dict[object, dict[str, Any]] = {}
        """To requests that were only written, by their id."""

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def cpu_seconds(self) -> float:
        """The processor time that the server took, all threads; Linux."""
        return time.clock_gettime(
            ~self.pid << 3 | 2
        )  # the id of that clock: clock_getcpuclockid(3)

    def request(self, method: str, params: Mapping[str, object]) -> dict[str, Any]:
        self._id += 1
        self.write({"id": self._id, "method": method, "params": params})
        assert self._process.stdout
        while True:
            message: dict[str, Any] = json.loads(self._process.stdout.readline())
            if message.get("id") == self._id:
                return message
            self._answers[message.get("id")] = message

    def wait_for(self, written_id: object) -> None:
        """Read until a request that was only written is answered."""
        assert self._process.stdout
        while written_id not in self._answers:
            message: dict[str, Any] = json.loads(self._process.stdout.readline())
            self._answers[message.get("id")] = message

    def hello(self) -> float:
        """Shake hands; gives the seconds from spawning to the first answer."""
        who = {"name": "bench", "version": "0"}
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": who}
        self.request("initialize", params)
        seconds = time.perf_counter() - self.started_at
        self.write({"method": "notifications/initialized"})
        return seconds

    def call(self, tool: str, arguments: Mapping[str, object]) -> dict[str, Any]:
        answer = self.request("tools/call", {"name": tool, "arguments": arguments})
        result: dict[str, Any] = answer["result"]
        return result

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def write(self, message: Mapping[str, object]) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self._process.stdin.flush()
