"""A process that writes messages at a pace: `bench.bench_team` starts four.

usage: python -m bench.bench_team_pace DATABASE PREFIX MESSAGES_A_SECOND SECONDS; prints how many
were kept while it wrote, and in all.
"""

from __future__ import annotations

import json
import sys

import anyio

from ih_mcp.journal import StreamLog, open_journal

STREAMS = 12
TICK_SECONDS = 0.02
BODY = '{"type":"signal.updated","pad":"' + "x" * 415 + '"}'


async def main(database: str, prefix: str, a_second: int, seconds: int) -> None:
    async with open_journal(database) as journal:
        logs = [await journal.begin(f"{prefix}{number}", {}) for number in range(STREAMS)]
        begun, written = anyio.current_time(), 0
        while (passed := anyio.current_time() - begun) < seconds:
            due = int(passed * a_second)
            for number in range(written, due):
                logs[number % STREAMS].append(BODY, leg=0)
            written = due
            await anyio.sleep(TICK_SECONDS)
        in_time = _kept(logs)
        for log in logs:
            await log.flush()
        print(json.dumps({"in_time": in_time, "kept": _kept(logs)}), flush=True)


def _kept(logs: list[StreamLog]) -> int:
    return sum(log.last for log in logs)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
