"""The video beside the timeline: in a file, served as a copy, after a recording."""

from __future__ import annotations

import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import anyio
import av
import pytest
from anyio import to_thread

from ih_mcp.capture.review_server import VIDEO_PATH, open_review_server
from ih_mcp.media.browser_copy import browser_type, make_browser_copy
from ih_mcp.media.ffmpeg.probe import probe
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.timeline.html import file_page
from ih_mcp.timeline.model import Drawing
from tests.capture.room import OpenRoom
from tests.plain_http import plain_http
from tests.timeline.known import drawing

from .conftest import OpenBrowser, Tab, open_tab, page_of
from .test_looks import fits, grave_findings

pytestmark = pytest.mark.timeout(120)
SECONDS = 24.667
SLOWLY = "document.querySelector('.review video').playbackRate = 0.0625"
_PLAYHEAD = """(wanted) => Math.abs(wanted - parseFloat(
  document.querySelector(".timeline-lanes").style.getPropertyValue("--playhead"))) < 2"""
MARKS = ".timeline-item:not([hidden])"
_CHUNKS = """() => new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.readAsDataURL(new Blob(window.ihChunks));
})"""  # as text: Playwright takes long for a list of a million numbers
NOTE = ".review-note textarea"


def known(**changed: object) -> Drawing:
    return {**drawing(), "source": "dialogue.mp4", "seconds": SECONDS, **changed}


@pytest.fixture
def link(tmp_path: Path) -> str:
    return page_of(tmp_path, known())


async def open_video(tab: Tab, video: Path) -> None:
    await tab.page.set_input_files(".review input[type=file] >> nth=0", video)
    await tab.page.wait_for_selector(".review-stage:not([hidden])")
    await tab.page.evaluate(SLOWLY)  # so that the place it plays from can be read


async def told(tab: Tab, name: str) -> list[Any]:
    """A value of each mark that is shown."""
    values: list[Any] = await tab.page.eval_on_selector_all(
        MARKS, f"found => found.map((node) => node.told.{name})"
    )
    return values


async def seconds_of(tab: Tab) -> float:
    """Where the video stands, once it is there."""
    await tab.page.wait_for_function("() => !document.querySelector('.review video').seeking")
    at: float = await tab.page.evaluate("document.querySelector('.review video').currentTime")
    return at


async def test_a_mark_plays_from_one_second_before_it(
    link: str, open_browser: OpenBrowser, dialogue: Path, tmp_path: Path
) -> None:
    asked = list[str]()
    async with open_browser(viewport={"width": 1280, "height": 900}) as context:
        context.on("request", lambda request: asked.append(request.url.partition(":")[0]))
        tab = await open_tab(context, link)
        assert await tab.page.locator(".review-stage").is_hidden()
        await open_video(tab, dialogue)
        await tab.says(".review-status", "^$")
        wanted = await tab.page.eval_on_selector_all(
            MARKS, "found => found.map((n) => n.told.from)"
        )
        within = [(place, start) for place, start in enumerate(wanted) if start < SECONDS]
        assert len(within) >= 8
        for place, start in within:
            await tab.page.locator(MARKS).nth(place).evaluate("node => node.click()")
            assert await seconds_of(tab) == pytest.approx(max(0.0, start - 1), abs=0.3)
        await tab.page.evaluate("document.querySelector('.review video').currentTime = 7")
        await tab.says(".review-now", "hesitation · probability high.*agreement · probability low")
        await tab.page.wait_for_function(_PLAYHEAD, arg=7 / SECONDS * 100)
        await tab.page.keyboard.press("n")  # the focus is nowhere: a letter alone does nothing
        assert await seconds_of(tab) == pytest.approx(7.0, abs=0.3)
        await tab.page.locator(MARKS).first.focus()
        await tab.page.keyboard.press("n")
        assert await seconds_of(tab) == pytest.approx(8.0, abs=0.3)  # agreement goes up at 9
        await tab.page.keyboard.press("p")
        assert await seconds_of(tab) == pytest.approx(5.0, abs=0.3)  # it begins at 6
        assert await grave_findings(tab) == []
        assert await keeps_a_note(tab, tmp_path) == "why <b>here</b>?"
        await tab.went_well()
    assert set(asked) <= {"file", "blob"}


async def keeps_a_note(tab: Tab, folder: Path) -> str:
    """Write a note, save the page, and open what was saved: the note's text there."""
    await tab.page.fill(NOTE, "why <b>here</b>?")
    await tab.page.click("text=Add note")
    async with tab.page.expect_download() as saving:
        await tab.page.click("text=Save this page with my notes")
    download = await saving.value
    assert download.suggested_filename == "dialogue-notes.html"
    saved = folder / "saved.html"
    await download.save_as(saved)
    again = await open_tab(tab.page.context, saved.as_uri())
    await again.says(".timeline-lanes", "my notes")
    await again.went_well()
    return await again.text(".review-notes span")


async def test_what_does_not_fit_or_play_is_said_and_a_transcript_is_a_lane(
    link: str, open_browser: OpenBrowser, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    short, text = tmp_path / "other.mp4", tmp_path / "talk.vtt"
    make = [ffmpeg.path, "-v", "error", "-f", "lavfi", "-i", "testsrc=d=3:s=64x48:r=5"]
    await anyio.run_process([*make, "-pix_fmt", "yuv420p", str(short)])
    await anyio.Path(text).write_text(
        "WEBVTT\n\n00:01.000 --> 00:03.000\nI <i>am</i> not sure & so\n"
    )
    narrow = {"width": 360, "height": 740}
    async with open_browser(color_scheme="dark", viewport=narrow) as context:
        tab = await open_tab(context, link)
        await open_video(tab, short)
        await tab.says(".review-status", "is of dialogue.mp4, this file is other.mp4.*has 0:03")
        assert await fits(tab)
        assert await grave_findings(tab) == []
        await tab.page.set_input_files(".review input[type=file] >> nth=1", text)
        await tab.says(".timeline-lanes", "transcript.*I am not sure & so")
        await tab.page.fill(".review input[type=search]", "nods")
        shown = await tab.page.eval_on_selector_all(
            MARKS, "found => found.map((n) => n.told.title)"
        )
        assert {title.partition(" · ")[0] for title in shown} == {"agreement"}
        await tab.page.set_input_files(".review input[type=file] >> nth=0", text)
        await tab.says(".review-status", r"cannot play talk.vtt\..*: ih-mcp review st_\w+ FILE")
        assert await tab.page.locator(".review-stage").is_hidden()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"source_seconds": SECONDS, "seconds": 9.0}, "^$", id="stopped halfway"),
        pytest.param({"source": "camera", "is_camera": True, "source_seconds": 3600.0}, "^$",
            id="camera"),
        pytest.param({"source": "camera", "is_camera": True, "source_seconds": SECONDS,
            "seconds": 9.0}, r"^The timeline is of 0:09 of media, this file has 0:24\.\d\.",
            id="another recording of a camera"),
        pytest.param({"source": "camera"}, "^The timeline is of camera, this file is dialogue.mp4",
            id="a file that is called camera"),
    ],
)  # fmt: skip
async def test_the_right_file_is_known_by_what_the_stream_is_of(
    changed: dict[str, object], said: str, open_browser: OpenBrowser, dialogue: Path, tmp_path: Path
) -> None:
    path = tmp_path / "timeline.html"
    path.write_text(await to_thread.run_sync(file_page, known(**changed)), encoding="utf-8")
    async with open_browser() as context:
        tab = await open_tab(context, path.as_uri())
        await open_video(tab, dialogue)
        await tab.says(".review-status", said)
        await tab.went_well()


async def test_a_video_that_browsers_cannot_play_is_served_as_a_copy(
    open_browser: OpenBrowser, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    source, copy = tmp_path / "talk.avi", tmp_path / "copy.mp4"
    make = [ffmpeg.path, "-v", "error", "-f", "lavfi", "-i", "testsrc=d=4:s=97x64:r=10"]
    make += ["-f", "lavfi", "-i", "sine=d=4", "-c:v", "mpeg4", "-c:a", "mp3"]
    await anyio.run_process([*make, str(source)])
    facts = await probe(ffmpeg, source)
    assert browser_type(facts) is None
    done = list[float]()
    await make_browser_copy(ffmpeg, source, facts, copy, done.append)
    assert done[-1] == pytest.approx(4, abs=0.2)
    page = await to_thread.run_sync(file_page, known(seconds=4.0), VIDEO_PATH, "other.avi")
    async with open_review_server(page, copy, "video/mp4") as address, plain_http() as http:
        part = await http.get(address + VIDEO_PATH, headers={"Range": "bytes=10-19"})
        assert (part.status_code, len(part.content)) == (206, 10)
        assert (await http.get(address.rsplit("/", 2)[0] + "/")).status_code == 404
        foreign = await http.get(address, headers={"Host": "evil.example"})
        assert foreign.status_code == 421
        async with open_browser() as context:
            tab = await open_tab(context, address)
            await tab.page.wait_for_selector(".review-stage:not([hidden])")
            await tab.says(".review-status", "is of dialogue.mp4, this file is other.avi. Marks")
            await tab.page.evaluate(SLOWLY)
            await tab.page.locator(MARKS).first.evaluate("node => node.click()")
            assert await seconds_of(tab) == pytest.approx(2.0, abs=0.3)
            await tab.went_well()


async def test_after_a_recording_it_can_be_saved_and_played(
    open_browser: OpenBrowser, open_room: OpenRoom, tmp_path: Path
) -> None:
    async with open_room() as room, open_browser(accept_downloads=True) as context:
        stream = await room.start()
        tab = await open_tab(context, room.server.link(stream.id))
        await tab.says("#state-word", "Ready")
        await tab.page.click("#start")
        await tab.says("#state-word", "Recording")
        await tab.says("#clock", "0:0[4-9]|0:[1-9]", seconds=60)
        await tab.page.click("#end")
        await tab.says("#state-word", "Ended", seconds=60)
        assert "recording is not saved" in await answer_another(tab, accepts=False)
        saved = {}
        for name in ("timeline", "recording"):
            async with tab.page.expect_download() as saving:
                await tab.page.click(f"#save-{name}")
            download = await saving.value
            began = r"\d{4}-\d\d-\d\d-\d{4}"
            named = rf"(camera|st_\w+)-{began}-{name}\.(html|webm)"
            assert re.fullmatch(named, download.suggested_filename)
            saved[name] = tmp_path / download.suggested_filename
            await download.save_as(saved[name])
        assert await anyio.Path(saved["recording"]).read_bytes() == await chunks_of(tab)
        with av.open(saved["recording"]) as container:
            assert sum(1 for _ in container.decode(video=0)) > 10
        await tab.page.wait_for_selector(".review-stage:not([hidden])")
        assert await tab.page.evaluate("document.querySelector('.review video').error") is None
        again = await open_tab(context, saved["timeline"].as_uri())
        await again.says(".timeline-about", "From the stand-in of ih-mcp, not from Interhuman")
        await again.went_well()
        await tab.went_well()
        await saves_notes_with_the_whole_table(tab)
        await tab.page.fill(NOTE, "begun")
        assert "notes are not saved" in await answer_another(tab, accepts=False)
        assert await tab.text("#where") == stream.id
        await answer_another(tab, accepts=True)  # and nothing asks a second time
        await tab.says("#state-word", "Ready")
        assert (await tab.text("#where")).startswith("st_")
        assert await tab.text("#where") != stream.id
        await tab.page.click("#start")
        await tab.says("#state-word", "Recording")
        await tab.went_well()


async def answer_another(tab: Tab, *, accepts: bool) -> str:
    """Ask for another recording, and answer the question that the page has then."""
    async with tab.page.expect_event("dialog") as asking, anyio.create_task_group() as tasks:
        tasks.start_soon(tab.page.click, "#another")  # it waits for the answer
        asked = await asking.value
        await (asked.accept() if accepts else asked.dismiss())
    return str(asked.message)


async def saves_notes_with_the_whole_table(tab: Tab) -> None:
    """A search does not thin out what is saved for a browser without scripts."""
    await tab.page.fill(NOTE, "seen")
    await tab.page.click("text=Add note")
    await tab.page.fill(".review input[type=search]", "no such word")
    await tab.says(".review-found", "No mark contains 'no such word'")
    async with tab.page.expect_download() as saving:
        await tab.page.click("#save-timeline")
    page = await anyio.Path(await (await saving.value).path()).read_text(encoding="utf-8")
    table = page.partition("<noscript>")[2].partition("</noscript>")[0]
    assert "<td>seen</td>" in table
    assert "part 1 of the media: " in table


async def chunks_of(tab: Tab) -> bytes:
    """All that the recorder of the page gave."""
    found: str = await tab.page.evaluate(_CHUNKS)
    return b64decode(found.partition(",")[2])
