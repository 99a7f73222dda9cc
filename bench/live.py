"""Live in a real browser: recorder to wire, and message to drawing, beside a bare WebSocket.

The floor is a page that records the same way and sends each chunk to a server of a dozen lines,
which tells at once when it has it, and that draws one line of text for each message. Needs a
Chromium (`apt install chromium`); `python -m bench.live [--seconds 45]`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from statistics import median

import anyio
from playwright.async_api import BrowserContext, async_playwright
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from ih_mcp.media.ffmpeg.program import find_ffmpeg

_CLIP = Path(__file__).parents[1] / "examples" / "media" / "dialogue.mp4"
_TYPE = "video/webm;codecs=vp8,opus"
_MESSAGES_SECONDS = 0.7
_FLOOR = """<!doctype html><meta charset="utf-8"><p id="shown"></p><script type="module">
window.wire = []; window.drawn = [];
const socket = new WebSocket(location.href.replace("http", "ws"));
const given = [];
socket.onmessage = ({data}) => {
  const word = JSON.parse(data);
  if (word.type === "written") {
    window.wire.push(word.server - performance.timeOrigin - given.shift());
    return;
  }
  requestAnimationFrame(() => {
    document.getElementById("shown").textContent = data;
    const channel = new MessageChannel();
    channel.port1.onmessage = () =>
      window.drawn.push(performance.timeOrigin + performance.now() - word.at);
    channel.port2.postMessage(null);
  });
};
const media = await navigator.mediaDevices.getUserMedia(
  {video: {width: 640, height: 480, frameRate: 30}, audio: true});
const recorder = new MediaRecorder(media, {mimeType: "TYPE", videoBitsPerSecond: 1000000,
  audioBitsPerSecond: 64000, videoKeyFrameIntervalDuration: 3000});
recorder.ondataavailable = ({data}) => {
  given.push(performance.now());
  socket.send(JSON.stringify({type: "chunk"}));
  socket.send(data);
};
recorder.start(3000);
</script>"""


async def _floor_talk(socket: ServerConnection) -> None:
    async def tell() -> None:
        while True:
            await anyio.sleep(_MESSAGES_SECONDS)
            await socket.send(json.dumps({"type": "message", "at": time.time() * 1000}))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tell)
        async for message in socket:
            if isinstance(message, bytes):
                await socket.send(json.dumps({"type": "written", "server": time.time() * 1000}))
        tasks.cancel_scope.cancel()


def _floor_page(_: ServerConnection, request: Request) -> Response | None:
    if "Upgrade" in request.headers:
        return None
    body = _FLOOR.replace("TYPE", _TYPE).encode()
    headers = Headers({"Content-Type": "text/html", "Content-Length": str(len(body))})
    return Response(HTTPStatus.OK, "OK", headers, body)


async def _floor(context: BrowserContext, seconds: float) -> tuple[float, float]:
    async with serve(_floor_talk, "127.0.0.1", 0, process_request=_floor_page, max_size=None,
                     compression=None) as server:  # fmt: skip
        port = server.sockets[0].getsockname()[1]
        page = await context.new_page()
        await page.goto(f"http://127.0.0.1:{port}/")
        await anyio.sleep(seconds)
        wire, drawn = await page.evaluate("[window.wire, window.drawn]")
        await page.close()
    return median(wire), median(drawn)


async def _ours(context: BrowserContext, seconds: float, link: str) -> tuple[float, float]:
    page = await context.new_page()
    await page.add_init_script(f"MediaRecorder.isTypeSupported = (type) => type === {_TYPE!r};")
    await page.goto(link)
    await page.click("#start")
    await anyio.sleep(seconds)
    told = [await page.text_content(place) for place in ("#to-wire", "#to-drawing")]
    await page.close()
    wire, drawn = (float((text or "").split()[0]) for text in told)
    return wire, drawn


@contextmanager
def _capturing(folder: str) -> Iterator[str]:
    """A stand-in and `ih-mcp capture`, each a process of its own; gives the page's link.

    The stand-in gets only the time that others leave: the service works on other machines.
    """
    command = [sys.executable, "-m", "ih_mcp"]
    names = {k: v for k, v in os.environ.items() if not k.startswith(("IH_MCP_", "INTERHUMAN_"))}
    env = {**names, "IH_MCP_DATA_DIR": folder, "INTERHUMAN_API_KEY": "ih_test_key",
           "IH_MCP_ANALYST": "placeholder"}  # fmt: skip
    polite = ["nice", "-n", "19"] if shutil.which("nice") else []
    with subprocess.Popen([*polite, *command, "standin"], env=env, stdout=subprocess.PIPE,
                          text=True, stderr=subprocess.DEVNULL) as standin:  # fmt: skip
        assert standin.stdout
        env["IH_MCP_ENDPOINT"] = standin.stdout.readline().strip()
        with subprocess.Popen([*command, "capture"], env=env, stdout=subprocess.DEVNULL, text=True,
                              stderr=subprocess.PIPE) as capture:  # fmt: skip
            assert capture.stderr
            try:
                lines = (line.partition("once): ")[2].strip() for line in capture.stderr)
                yield next(filter(None, lines))
            finally:
                capture.terminate()
                standin.terminate()


def _camera(folder: Path) -> Sequence[str]:
    ffmpeg = find_ffmpeg(os.environ.get("IH_MCP_FFMPEG")).path
    picture, sound = folder / "camera.mjpeg", folder / "microphone.wav"
    start = [ffmpeg, "-nostdin", "-v", "error", "-i", str(_CLIP)]
    scaled = ["-an", "-vf", "scale=640:480,fps=25", "-q:v", "4", "-f", "mjpeg", str(picture)]
    subprocess.run([*start, *scaled], check=True)
    subprocess.run([*start, "-vn", "-ac", "1", "-ar", "48000", str(sound)], check=True)
    return [f"--use-file-for-fake-video-capture={picture}",
            f"--use-file-for-fake-audio-capture={sound}"]  # fmt: skip


async def _measure(chromium: str, folder: str, seconds: float) -> Mapping[str, tuple[float, float]]:
    """Medians in milliseconds: recorder to wire, message to drawing."""
    arguments = ["--disable-gpu", "--use-fake-ui-for-media-stream",
                 "--use-fake-device-for-media-stream", *_camera(Path(folder))]  # fmt: skip
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=chromium, args=arguments, chromium_sandbox=False
        )
        context = await browser.new_context()
        floor = await _floor(context, seconds)
        with _capturing(folder) as link:
            ours = await _ours(context, seconds, link)
        await browser.close()
    return {"a bare page and WebSocket": floor, "the capture page": ours}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=45)
    seconds = parser.parse_args().seconds
    chromium = os.environ.get("IH_MCP_TEST_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        raise SystemExit("no Chromium here: apt install chromium, or set IH_MCP_TEST_CHROMIUM")
    with tempfile.TemporaryDirectory() as folder:
        measured = anyio.run(_measure, chromium, folder, seconds)
    load = (
        f", load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        if hasattr(os, "getloadavg")
        else ""
    )
    print(f"\nlive (medians, ms{load})")
    floor_wire, floor_drawn = measured["a bare page and WebSocket"]
    for name, (wire, drawn) in measured.items():
        print(f"  {name:<28} recorder to wire {wire:7.1f} ({wire / floor_wire:.2f} x)   "
              f"message to drawing {drawn:7.1f} ({drawn / floor_drawn:.2f} x)")  # fmt: skip


if __name__ == "__main__":
    main()
