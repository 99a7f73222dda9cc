"""Run the stand-in on a port of this machine, in the caller's event loop."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address

from uvicorn._types import ASGISendEvent

from ih_mcp.errors import ConfigurationError
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.net.listen import open_listener, serve_app, url_of
from ih_mcp.net.server_websocket import BoundedWebSocket
from ih_mcp.standin.analysis.media_timeline import OpenDecoder
from ih_mcp.standin.options import Options
from ih_mcp.standin.recorder import Recorder
from ih_mcp.standin.sessions.client_socket import FAR_ABOVE, TRANSPORT

from .app import create_app
from .origin_guard import guard_standin
from .state import StandinState

_FAR_ABOVE = 1.25  # chosen: one byte over 32 MiB is answered (docs), about 45 MB is not (seen)
_TOO_BIG = 1009


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningStandin:
    """A stand-in that accepts connections."""

    url: str
    """`http://127.0.0.1:PORT`, the base URL for any client."""
    recorder: Recorder
    """The record of what the stand-in sent and received."""


@asynccontextmanager
async def serve(
    options: Options | None = None,
    *,
    ffmpeg: Ffmpeg,
    host: str = "127.0.0.1",
    port: int = 0,
    open_decoder: OpenDecoder | None = None,
) -> AsyncIterator[RunningStandin]:
    """Run a stand-in while this is open; leaving cancels the sessions that are still open.

    Args:
        ffmpeg: Decodes media.
        host: A loopback address; the server answers only under names of this machine.
        port: 0 chooses a free one.
        open_decoder: Makes the decoders of streams; by default they use `ffmpeg`.

    Raises:
        ConfigurationError: Other machines could reach that address.
        OSError: The port is taken.
    """
    if not ip_address(host).is_loopback:
        raise ConfigurationError(
            f"the stand-in would be open to others at {host}, and takes any key",
            help="Let it listen at 127.0.0.1; reach it from elsewhere by a tunnel, such as ssh -L.",
        )
    options = options or Options()
    app = create_app(options, ffmpeg=ffmpeg, open_decoder=open_decoder)
    state: StandinState = app.state.standin
    with open_listener(host, port) as listener:
        async with (
            state.run(),
            serve_app(
                guard_standin(app, is_private=options.key is not None),
                listener,
                max_message_bytes=int(_FAR_ABOVE * options.max_segment_bytes),  # up to here: ih6002
                ws=_StandinWebSocket,
                ws_ping_timeout=None,  # while analysis pushes back, pongs are not read either
            ),
        ):
            try:
                yield RunningStandin(url=url_of(listener), recorder=state.recorder)
            finally:
                state.stop()


class _StandinWebSocket(BoundedWebSocket):
    """Lets the application reset the connection; treats a refused handshake as handled.

    It resets the connection when a message is far above the limit, while that message still
    arrives and without a close frame (seen: 45 MB).
    """

    def handle_parser_exception(self) -> None:
        sent = self.conn.close_sent
        if sent is None or sent.code != _TOO_BIG:
            super().handle_parser_exception()
            return
        self.queue.put_nowait(
            {"type": "websocket.disconnect", "code": _TOO_BIG, "reason": FAR_ABOVE}
        )
        self._reset()

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True  # else uvicorn 0.54 logs an error for every refusal

    async def run_asgi(self) -> None:
        self.scope["extensions"][TRANSPORT] = {
            "reset": self._reset,
            "send_frames": self._send_frames,
        }
        await super().run_asgi()

    def _send_frames(self, data: bytes, max_bytes: int) -> None:
        for at in range(0, max(1, len(data)), max_bytes):
            send = self.conn.send_continuation if at else self.conn.send_text
            send(data[at : at + max_bytes], fin=at + max_bytes >= len(data))
        self.transport.write(b"".join(self.conn.data_to_send()))

    def _reset(self) -> None:
        connection = self.transport.get_extra_info("socket")
        option = struct.pack("ii", 1, 0)  # closing then sends RST instead of FIN
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
        self.transport.abort()
