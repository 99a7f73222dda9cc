"""The other end of `bench_load`, in its own process: greets, sends events at a rate, reads media.

usage: python -m bench.bench_load_peer COUNT RATE [CERTIFICATE]; prints its port. Each connection
gets COUNT events (0: until it closes), RATE a second (0: at once), over TLS where there is a
certificate. An event says when it left, by the monotonic clock, which all processes of a machine
share. `session.ended` says how many there were.
"""

from __future__ import annotations

import json
import ssl
import sys
import time
from contextlib import suppress

import anyio
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from .flood import _READY

_FILL = "x" * 300


def event(number: int) -> str:
    data = {"number": number, "sent_ns": time.monotonic_ns(), "rationale": _FILL}
    return json.dumps({"type": "signal.updated", "timestamp": "t", "data": data})


async def main(count: int, rate: float, tls: ssl.SSLContext | None) -> None:
    async def talk(connection: ServerConnection) -> None:
        sent = 0
        done = anyio.Event()

        async def tell() -> None:
            nonlocal sent
            began = anyio.current_time()
            while not done.is_set() and (not count or sent < count):
                if rate:
                    await anyio.sleep_until(began + sent / rate)
                if done.is_set():
                    break
                await connection.send(event(sent + 1))
                sent += 1

        with suppress(ConnectionClosed):
            await connection.send(json.dumps(_READY))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(tell)
                async for message in connection:
                    if isinstance(message, str) and "session.close" in message:
                        done.set()
                        break
                if not count:
                    tasks.cancel_scope.cancel()
            for kind, data in (("closing", {"max_drain_seconds": 5}), ("ended", {"events": sent})):
                said = {"type": f"session.{kind}", "timestamp": "t", "data": data}
                await connection.send(json.dumps(said))
            await connection.close()

    async with serve(
        talk,
        "127.0.0.1",
        0,
        ssl=tls,
        compression=None,
        ping_interval=None,
        max_size=2**26,
        backlog=2048,
    ) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await anyio.sleep_forever()


def context(certificate: str) -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(certificate)
    return made


if __name__ == "__main__":
    tls = context(sys.argv[3]) if len(sys.argv) > 3 else None
    anyio.run(main, int(sys.argv[1]), float(sys.argv[2]), tls)
