"""A real Chromium with a camera and a microphone that play a real clip."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import rich.console  # as the SDK loads it: before any event loop
import rich.logging

from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.timeline.html import file_page
from ih_mcp.timeline.model import Drawing
from tests.capture.room import open_room
from tests.reliability.budget import IS_LONG

__all__ = ["open_room", "rich"]

playwright = pytest.importorskip("playwright.async_api", reason="no playwright here")
_SHELL = "chromium-headless-shell"
"""The same browser without what is around a page: half the CPU of these tests."""
_WHOLE = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_NAMES = (*_WHOLE, _SHELL) if IS_LONG else (_SHELL, *_WHOLE)
_WITNESS = """
window.ihChunks = [];
window.ihErrors = [];
addEventListener("error", ({message}) => window.ihErrors.push(message));
addEventListener("unhandledrejection", ({reason}) => window.ihErrors.push(String(reason)));
document.addEventListener("securitypolicyviolation", (event) =>
  window.ihErrors.push(`${event.violatedDirective} ${event.blockedURI}`));
const Original = window.MediaRecorder;
window.MediaRecorder = class extends Original {
  constructor(...given) {
    super(...given);
    this.addEventListener("dataavailable", ({data}) => window.ihChunks.push(data));
  }
  static isTypeSupported(type) {
    return (window.ihOnly ? type === window.ihOnly : true) && Original.isTypeSupported(type);
  }
};
"""
_CUT = """async (sizes) => {
  const all = new Blob(window.ihChunks);
  const hashes = [];
  let at = 0;
  for (const size of sizes) {
    const bytes = await all.slice(at, at += size).arrayBuffer();
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    hashes.push([...hash].map((byte) => byte.toString(16).padStart(2, "0")).join(""));
  }
  return [hashes, all.size - at];
}"""


@dataclass
class Tab:
    """One page in the browser, and all that went wrong in it."""

    page: Any
    complaints: list[str] = field(default_factory=list)

    async def text(self, selector: str) -> str:
        return str(await self.page.text_content(selector))

    async def says(self, selector: str, pattern: str, *, seconds: float = 15) -> None:
        """Wait until an element's text has this in it."""
        await self.page.wait_for_function(
            "([selector, pattern]) => new RegExp(pattern).test("
            "document.querySelector(selector)?.textContent ?? '')",
            arg=[selector, pattern],
            timeout=seconds * 1000,
            polling=50,  # by each picture, which is the default, the browser would draw to be asked
        )

    async def recorded(self, sizes: list[int]) -> tuple[list[str], int]:
        """What the recorders handed over, cut at these sizes: hashes, and bytes that are left."""
        hashes, left = await self.page.evaluate(_CUT, sizes)
        return hashes, left

    async def went_well(self) -> None:
        """No error in a script, and nothing that the page's policy had to stop."""
        assert await self.page.evaluate("window.ihErrors") == []
        assert self.complaints == []


def page_of(folder: Path, drawing: Drawing) -> str:
    """The address of a file with a timeline, as `ih-mcp timeline` writes it."""
    path = folder / "timeline.html"
    path.write_text(file_page(drawing), encoding="utf-8")
    return path.as_uri()


OpenBrowser = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where a Chromium is; `IH_MCP_TEST_CHROMIUM` names one."""
    named = os.environ.get("IH_MCP_TEST_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip(f"no Chromium here: install Debian's {_SHELL}, or set IH_MCP_TEST_CHROMIUM")
    return found


@pytest.fixture(scope="session")
def camera(
    ffmpeg: Ffmpeg, dialogue: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A clip of people talking as what fake devices play: moving JPEG, and sound.

    Small, since the browser decodes and encodes each picture of it for as long as a page has it.
    """
    folder = tmp_path_factory.mktemp("camera")
    picture, sound = folder / "camera.mjpeg", folder / "microphone.wav"
    start = [ffmpeg.path, "-nostdin", "-v", "error", "-i", str(dialogue)]
    subprocess.run(
        [*start, "-an", "-vf", "scale=160:120,fps=15", "-q:v", "4", "-f", "mjpeg", str(picture)],
        check=True,
    )
    subprocess.run([*start, "-vn", "-ac", "1", "-ar", "48000", str(sound)], check=True)
    return picture, sound


Launch = Callable[[tuple[str, ...]], Awaitable[Any]]


@pytest.fixture(scope="package")
async def launch(chromium: str) -> AsyncIterator[Launch]:
    """Start the browser with arguments; the tests of this folder share it."""
    started: dict[tuple[str, ...], Any] = {}
    async with playwright.async_playwright() as driver:

        async def once(arguments: tuple[str, ...]) -> Any:
            if arguments not in started:
                started[arguments] = await driver.chromium.launch(
                    executable_path=chromium, args=arguments, chromium_sandbox=False
                )
            return started[arguments]

        yield once
        for browser in started.values():
            await browser.close()


@pytest.fixture
def open_browser(launch: Launch, camera: tuple[Path, Path]) -> OpenBrowser:
    """A browser as of somebody new; `has_camera=False` and `allows=False` are what can go wrong."""

    @asynccontextmanager
    async def start(
        *, has_camera: bool = True, allows: bool = True, **context: Any
    ) -> AsyncIterator[Any]:
        picture, sound = camera
        arguments = ["--autoplay-policy=no-user-gesture-required", "--disable-gpu"]
        arguments.append(f"--use-fake-ui-for-media-stream{'' if allows else '=deny'}")
        if has_camera:
            arguments += [
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-video-capture={picture}",
                f"--use-file-for-fake-audio-capture={sound}",
            ]
        browser = await launch(tuple(arguments))
        opened = await browser.new_context(**context)
        try:
            yield opened
        finally:
            await opened.close()

    return start


async def open_tab(context: Any, link: str, *, only: str | None = None) -> Tab:
    """A page at a link; `only` is the one type its recorder may have."""
    page = await context.new_page()
    tab = Tab(page)
    page.on("pageerror", lambda error: tab.complaints.append(str(error)))
    page.on(
        "console",
        lambda line: tab.complaints.append(line.text) if line.type == "error" else None,
    )
    if only:
        await page.add_init_script(f"window.ihOnly = {only!r};")
    await page.add_init_script(_WITNESS)
    await page.goto(link)
    return tab
