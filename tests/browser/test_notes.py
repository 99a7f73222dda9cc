"""Notes of one's own beside the timeline: when they are of, and that none is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .conftest import OpenBrowser, Tab, open_tab
from .test_review import MARKS, link, open_video

__all__ = ["link"]
pytestmark = pytest.mark.timeout(90)
_NOTE = ".review-note textarea"
_ABOUT = ".review-note [role=status]"
_PAUSE_AT = """(seconds) => {
  const video = document.querySelector(".review video");
  video.pause();
  return new Promise((done) => {
    video.addEventListener("seeked", done, { once: true });
    video.currentTime = seconds;
  });
}"""


async def notes_of(tab: Tab) -> list[str]:
    """Each note with its time, as the page shows it."""
    found: list[Any] = await tab.page.eval_on_selector_all(
        ".review-notes li",
        "all => all.map((li) => `${li.children[0].textContent} ${li.children[1].textContent}`)",
    )
    return found


async def test_a_note_is_of_the_moment_at_which_it_was_begun(
    link: str, open_browser: OpenBrowser, dialogue: Path
) -> None:
    async with open_browser() as context:
        tab = await open_tab(context, link)
        await open_video(tab, dialogue)
        await tab.page.evaluate(_PAUSE_AT, 2.3)
        await tab.page.type(_NOTE, "h")
        await tab.says(_ABOUT, r"^at 0:02\.3$")
        await tab.page.evaluate(_PAUSE_AT, 9)
        await tab.page.type(_NOTE, "ere")
        await tab.says(_ABOUT, r"^at 0:02\.3$")
        await tab.page.click("text=Add note")
        assert await notes_of(tab) == ["0:02.3 here"]
        await tab.says(_ABOUT, "^$")
        await tab.page.type(_NOTE, "x")
        await tab.says(_ABOUT, "^at 0:09$")
        await tab.page.fill(_NOTE, "")  # nothing of it is left: the next one begins anew
        await tab.page.evaluate(_PAUSE_AT, 12)
        await tab.page.type(_NOTE, "there")
        await tab.page.click("text=Add note")
        assert await notes_of(tab) == ["0:02.3 here", "0:12 there"]
        await tab.went_well()


async def test_without_the_video_a_note_is_of_the_chosen_mark(
    link: str, open_browser: OpenBrowser, dialogue: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    async with open_browser() as context:
        tab = await open_tab(context, link)
        await open_video(tab, dialogue)
        await tab.page.set_input_files(".review input[type=file] >> nth=0", broken)
        await tab.says(".review-status", "cannot play broken.mp4")
        await tab.page.fill(_NOTE, "looks away")
        await tab.page.click("text=Add note")
        await tab.says(_ABOUT, r"^Choose a moment or open the video first\.$")
        assert await notes_of(tab) == []
        assert await tab.page.input_value(_NOTE) == "looks away"
        first = tab.page.locator(MARKS).first
        await first.evaluate("node => node.click()")
        await tab.says(_ABOUT, "^at 0:03$")
        await tab.page.click("text=Add note")
        assert await notes_of(tab) == ["0:03 looks away"]
