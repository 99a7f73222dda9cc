"""States of each page, light, dark and narrow: readable by all, and drawn for the docs.

Draw them anew: `IH_MCP_PICTURES=docs/pictures make test-browser`.
"""

from __future__ import annotations

import io
import os
import signal
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from ih_mcp.app.batch import BatchItem, ItemState
from ih_mcp.app.batch_report import write_report
from ih_mcp.app.runtime import StreamOptions
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.stand_in import STAND_IN
from ih_mcp.streams.pacing import PaceName
from ih_mcp.timeline.html import file_page
from ih_mcp.timeline.picture_process import draw_in_process
from tests.capture.room import OpenRoom
from tests.road.host import environment
from tests.timeline.known import (
    CHANGING_STATUS,
    changing_drawing,
    drawing,
    hour_drawing,
    shown_drawing,
)

from .conftest import OpenBrowser, Tab, open_tab
from .test_live import VP8, end, long, record
from .test_looks import fits, grave_findings
from .test_review import MARKS, open_video, seconds_of
from .test_trouble import start_capture

pytestmark = [long, pytest.mark.timeout(240)]
_LOOKS = {"light": ("light", 1000), "dark": ("dark", 1000), "360": ("light", 360)}
_COLOURS, _GREYS = 160, 32  # in the pictures of the docs, which stay small
_WIDTHS = """() => {
  const table = document.querySelector("[role=region]");
  return [table.scrollWidth, table.clientWidth];
}"""
_IS_STILL = """() => {
  const video = document.querySelector(".review video");
  return video.readyState === HTMLMediaElement.HAVE_ENOUGH_DATA && !video.seeking;
}"""


async def look(tab: Tab, state: str) -> None:
    """A state in each look: nothing to scroll sideways, nothing that axe finds serious."""
    for name, (scheme, width) in _LOOKS.items():
        await tab.page.emulate_media(color_scheme=scheme)
        await tab.page.set_viewport_size({"width": width, "height": 720})
        assert await fits(tab), (state, name)
        assert await grave_findings(tab) == [], (state, name)
        if folder := os.environ.get("IH_MCP_PICTURES"):
            data = await tab.page.screenshot(full_page=True)
            await to_thread.run_sync(_keep, data, Path(folder) / f"{state}-{name}.png")
    await tab.page.set_viewport_size({"width": 1600, "height": 720})
    assert await fits(tab), (state, 1600)
    await tab.page.set_viewport_size({"width": 1000, "height": 720})


def _keep(data: bytes, path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    with image.open(io.BytesIO(data)) as opened:
        shown = opened.convert("RGB")
        palette = image.new("P", (1, 1))
        palette.putpalette(_palette(shown.getcolors(shown.width * shown.height)))
        shown.quantize(palette=palette, dither=image.Dither.NONE).save(path, optimize=True)


def _palette(counted: list[tuple[int, tuple[int, int, int]]]) -> list[int]:
    """The page's own colours as they are, also those that cover little; greys for the video."""
    own = [colour for _, colour in sorted(counted, reverse=True) if max(colour) - min(colour) > 2]
    greys = [(255 * step // (_GREYS - 1),) * 3 for step in range(_GREYS)]
    return [part for colour in [*greys, *own[: _COLOURS - _GREYS]] for part in colour]


async def test_the_live_page_before_while_and_after(
    open_browser: OpenBrowser, open_room: OpenRoom
) -> None:
    async with open_room() as room, open_browser() as context:
        stream = await room.start()
        tab = await open_tab(context, room.server.link(stream.id), only=VP8)
        await tab.says("#state-word", "Ready")
        await look(tab, "live-before")
        await record(tab, seconds=14)
        await look(tab, "live-recording")
        await end(tab, stream)
        await tab.page.wait_for_function(_IS_STILL)
        await look(tab, "live-ended")
        await tab.went_well()


async def test_the_live_page_of_a_session_that_the_service_ends_for_good(
    open_browser: OpenBrowser, open_room: OpenRoom
) -> None:
    """An error that ends the session, and that another session would meet again."""
    step = {"at": "segment", "n": 2, "error": "ih3003"}
    async with open_room(step) as room, open_browser() as context:
        stream = await room.start()
        tab = await open_tab(context, room.server.link(stream.id), only=VP8)
        await tab.page.click("#start")
        await tab.says("#state-word", "Ended", seconds=60)
        await tab.page.wait_for_function(_IS_STILL)
        await tab.says("#trouble", r"^The service ended .* ih3003 .*[^.]\. Stop and ask the user: ")
        await tab.says("#said", "^The session is over; what was received is kept.$")
        assert stream.failure
        await look(tab, "live-error")
        await tab.went_well()


async def test_the_live_page_whose_server_went_away(
    open_browser: OpenBrowser, tmp_path: Path
) -> None:
    process, link = await start_capture(environment(tmp_path))
    async with open_browser() as context:
        tab = await open_tab(context, link, only=VP8)
        await record(tab, seconds=14)
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        await tab.says("#trouble", "is lost; trying again. Recording goes on")
        await tab.page.click("#stop")
        await tab.page.wait_for_selector("#save-recording:not([hidden])")
        await look(tab, "live-gone")


async def test_the_live_page_without_a_camera(
    open_browser: OpenBrowser, open_room: OpenRoom
) -> None:
    async with open_room() as room, open_browser(has_camera=False) as context:
        tab = await open_tab(context, room.server.link((await room.start()).id))
        await tab.page.click("#start")
        await tab.says("#trouble", "No camera was found. Connect one")
        await look(tab, "live-no-camera")
        await tab.went_well()


async def test_the_page_that_watches_a_file(
    open_browser: OpenBrowser, open_room: OpenRoom, dialogue: Path, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    """One that is still sent when the last look is taken."""
    thrice = tmp_path / dialogue.name
    command = [ffmpeg.path, "-v", "error", "-stream_loop", "2", "-i", str(dialogue), "-c", "copy"]
    await anyio.run_process([*command, str(thrice)])
    async with open_room(media_dirs=str(tmp_path)) as room, open_browser() as context:
        stream = await room.runtime.stream_file(
            str(thrice), StreamOptions(), pace=PaceName.REALTIME
        )
        tab = await open_tab(context, room.server.link(stream.id))
        await tab.says(".timeline-summary, .timeline-bar", r"0:1\d", seconds=60)
        await look(tab, "watch")
        assert not stream.is_over
        await tab.went_well()


async def test_the_pages_of_a_timeline_and_of_its_video(
    open_browser: OpenBrowser, dialogue: Path, tmp_path: Path
) -> None:
    timeline, review, hour = (tmp_path / f"{name}.html" for name in ("timeline", "review", "hour"))
    of_video = replace(CHANGING_STATUS, source="dialogue.mp4", media_seconds=24.667, lost=None)
    drawings = (changing_drawing(), drawing(of_video), hour_drawing())
    for path, shown in zip((timeline, review, hour), drawings, strict=True):
        await anyio.Path(path).write_text(await to_thread.run_sync(file_page, shown))
    async with open_browser() as context:
        tab = await open_tab(context, timeline.as_uri())
        await look(tab, "timeline")
        await tab.went_well()
        tab = await open_tab(context, hour.as_uri())
        await tab.page.select_option(".timeline-zoom select", "300")
        await tab.page.locator(".timeline-part").fill("1700")
        await look(tab, "zoomed")
        tab = await open_tab(context, review.as_uri())
        await open_video(tab, dialogue)
        await tab.page.locator(MARKS).nth(1).click()
        await seconds_of(tab)
        await tab.page.evaluate("document.querySelector('.review video').pause()")
        await look(tab, "review")
        await tab.went_well()


async def test_the_picture_of_the_docs() -> None:
    data = await draw_in_process(shown_drawing(), "png")
    assert data.startswith(b"\x89PNG")
    if folder := os.environ.get("IH_MCP_PICTURES"):
        await anyio.Path(folder, "timeline.png").write_bytes(data)


async def test_the_report_of_a_batch(open_browser: OpenBrowser, tmp_path: Path) -> None:
    path = tmp_path / "a"
    items = [
        BatchItem(
            "interviews/P07 first conversation.mp4", path, 1480, "f", ItemState.DONE, "st_3f9a2c71",
            "4 signals, engaged 62% of the time, 3 s not analysed", 3.0,
            outputs=("interviews/P07.csv", "interviews/P07.html"),
        ),
        BatchItem("P08.mp4", path, 912, "g", ItemState.SKIPPED, "st_7b1e09d4", "1 signal", 0.0,
            outputs=("P08.mp4.csv", "P08.mp4.html", "P08.mp4.eaf")),
        BatchItem("P09.mp4", path, 0, "h", ItemState.FAILED,
            error="P09.mp4 ends in the middle of its media; copy it again from the camera"),
    ]  # fmt: skip
    await to_thread.run_sync(write_report, tmp_path, items, STAND_IN)
    async with open_browser() as context:
        tab = await open_tab(context, (tmp_path / "report.html").as_uri())
        await look(tab, "report")
        await tab.page.set_viewport_size({"width": 360, "height": 720})
        width, shown = await tab.page.evaluate(_WIDTHS)
        assert width == shown  # each file stands by itself
        await tab.went_well()
