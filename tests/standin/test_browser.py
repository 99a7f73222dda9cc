"""A handshake as browsers make it: a WebSocket that cannot set headers. Node speaks like one."""

from __future__ import annotations

import json
import shutil
import subprocess

import anyio
import pytest

from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import serve
from ih_mcp.wire.dialects import V1, V2

_WITH_WEBSOCKET = "--experimental-websocket"
_SCRIPT = """
const [url, key] = process.argv.slice(1);
const socket = new WebSocket(url, ["access_token", key]);
const told = {types: []};
socket.onopen = () => { told.protocol = socket.protocol; };
socket.onmessage = ({data}) => {
  told.types.push(JSON.parse(data).type);
  if (told.types.at(-1) === "session.ready") socket.send('{"type":"session.close"}');
};
socket.onclose = ({code, wasClean}) => { if (wasClean) told.code = code; };
process.on("exit", () => console.log(JSON.stringify(told)));
"""


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("no node here")
    if subprocess.run([found, _WITH_WEBSOCKET, "-e", "0"], check=False).returncode:
        pytest.skip("this node has no WebSocket")
    return found


@pytest.mark.parametrize(
    ("key", "path", "expected"),
    [
        (
            "ih_live_x",
            V2.path,
            {
                "types": ["session.ready", "session.closing", "session.ended"],
                "protocol": "access_token",
                "code": 1000,
            },
        ),
        (
            "ih_test_no_scope",
            V1.path,
            {"types": ["error"], "protocol": "access_token", "code": 4003},
        ),
        ("ih_test_unknown", V1.path, {"types": []}),
    ],
)
async def test_a_browser_gets_in_by_the_pair_of_subprotocols(
    key: str, path: str, expected: dict[str, object], node: str, ffmpeg: Ffmpeg
) -> None:
    async with serve(Options(strict=True), ffmpeg=ffmpeg) as standin:
        url = standin.url.replace("http", "ws", 1) + path
        command = [node, _WITH_WEBSOCKET, "--no-warnings", "-e", _SCRIPT, url, key]
        with anyio.fail_after(15):
            done = await anyio.run_process(command, stderr=subprocess.PIPE, check=False)
    told = json.loads(done.stdout)
    assert told == expected
    assert "authorization" not in standin.recorder.sessions[0].headers
