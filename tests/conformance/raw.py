"""The server process and its bare pipes: what is written is any bytes, what comes is counted."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.forked import forked, process_id
from tests.road.host import ERAS

MODERN = ERAS[1]
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "0"},
}
Message = dict[str, Any]


class Raw:
    """One server, spoken to by hand in one era."""

    def __init__(self, env: Mapping[str, str], era: str, errors: Path) -> None:
        self.era = era
        self._errors = errors
        self._log = errors.open("wb")
        self.process = subprocess.Popen(
            forked(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=dict(env),
        )
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._probes = 0
        if era != MODERN:
            info = {"name": "raw", "version": "0"}
            start = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info}
            self.write(self.line("initialize", 0, **start))
            assert self.answers(1)[0]["id"] == 0
            self.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def line(self, method: str, request_id: object, **params: object) -> bytes:
        """A good request of this era."""
        if self.era == MODERN:
            params["_meta"] = META
        message = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
        return json.dumps(message).encode()

    def call(self, request_id: object, tool: str, **arguments: object) -> bytes:
        return self.line("tools/call", request_id, name=tool, arguments=arguments)

    def write(self, *lines: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(b"".join(line + b"\n" for line in lines))
        self.process.stdin.flush()

    def answers(self, count: int) -> list[Message]:
        """The next messages, every one of them one line of JSON.

        How long they may take is for the limit of the test alone: 20,000 lines are 3 s of a
        processor, and on a busy machine a minute.
        """
        found = []
        for _ in range(count):
            line = self._lines.get()
            assert line is not None, self.errors()
            message: Message = json.loads(line)
            assert message["jsonrpc"] == "2.0"
            found.append(message)
        return found

    def until_it_answers(self) -> list[Message]:
        """Ask something harmless; gives what came before its answer."""
        self._probes += 1
        probe = f"probe-{self._probes}"
        self.write(self.call(probe, "list_streams"))
        before = []
        while (message := self.answers(1)[0]).get("id") != probe:
            before.append(message)
        assert not message["result"].get("isError"), message
        return before

    def errors(self) -> str:
        """What the server wrote to its log."""
        self._log.flush()
        return self._errors.read_text(errors="replace")

    def resident_bytes(self) -> int:
        """The memory of the server, which has answered something."""
        fields = Path(f"/proc/{process_id(self.process)}/statm").read_text().split()
        return int(fields[1]) * 4096

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        self._log.close()
