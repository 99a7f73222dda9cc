"""Notes of one's own beside the timeline: when they are of, and that none is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .conftest import OpenBrowser, Tab, open_tab
from .test_review import MARKS, NOTE, link
from .test_review import open_video as begin_to_open

__all__ = ["link"]
pytestmark = pytest.mark.timeout(90)
_ABOUT = ".review-note [role=status]"
_PAUSE_AT = """(seconds) => {
  const video = document.querySelector(".review video");
  video.pause();
  return new Promise((done) => {
    video.addEventListener("seeked", done, { once: true });
    video.currentTime = seconds;
  });
}"""


async def open_video(tab: Tab, video: Path) -> None:
    """Open it, and wait until its first picture said where its clock starts."""
    await begin_to_open(tab, video)
    await tab.says(".review-status", "^$")


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
        await tab.page.type(NOTE, "h")
        await tab.says(_ABOUT, r"^at 0:02\.3$")
        await tab.page.evaluate(_PAUSE_AT, 9)
        await tab.page.type(NOTE, "ere")
        await tab.says(_ABOUT, r"^at 0:02\.3$")
        await tab.page.click("text=Add note")
        assert await notes_of(tab) == ["0:02.3 here"]
        await tab.says(_ABOUT, "^$")
        await tab.page.type(NOTE, "x")
        await tab.says(_ABOUT, "^at 0:09$")
        await tab.page.fill(NOTE, "")  # nothing of it is left: the next one begins anew
        await tab.page.evaluate(_PAUSE_AT, 12)
        await tab.page.type(NOTE, "there")
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
        await tab.page.fill(NOTE, "looks away")
        await tab.page.click("text=Add note")
        await tab.says(_ABOUT, r"^Choose a moment or open the video first\.$")
        assert await notes_of(tab) == []
        assert await tab.page.input_value(NOTE) == "looks away"
        first = tab.page.locator(MARKS).first
        await first.evaluate("node => node.click()")
        await tab.says(_ABOUT, "^at 0:03$")
        await tab.page.click("text=Add note")
        assert await notes_of(tab) == ["0:03 looks away"]


async def leave(tab: Tab) -> Any:
    """Reload the page as a person does; the question that it asks."""
    async with tab.page.expect_event("dialog") as asking:
        await tab.page.evaluate("void setTimeout(() => location.reload())")
    return await asking.value


async def saved_page(tab: Tab, folder: Path) -> Path:
    async with tab.page.expect_download() as saving:
        await tab.page.click("text=Save this page with my notes")
    path = folder / "saved.html"
    await (await saving.value).save_as(path)
    return path


async def test_notes_that_are_not_saved_are_not_lost_without_a_question(
    link: str, open_browser: OpenBrowser, dialogue: Path, tmp_path: Path
) -> None:
    async with open_browser() as context:
        tab = await open_tab(context, link)
        await open_video(tab, dialogue)
        await tab.page.click(NOTE)
        await tab.page.keyboard.type("begun")
        asked = await leave(tab)
        assert asked.type == "beforeunload"
        await asked.dismiss()
        await tab.page.click("text=Add note")
        await (await leave(tab)).dismiss()
        assert len(await notes_of(tab)) == 1
        await saved_page(tab, tmp_path)
        await tab.page.click("text=Remove")
        await (await leave(tab)).dismiss()  # the copy has it still, the page does not
        await saved_page(tab, tmp_path)
        await tab.went_well()
        async with tab.page.expect_navigation():  # a question would be dismissed, and stop it
            await tab.page.evaluate("void setTimeout(() => location.reload())")


async def test_a_page_saved_twice_shows_each_note_once_without_scripts(
    link: str, open_browser: OpenBrowser, dialogue: Path, tmp_path: Path
) -> None:
    async with (
        open_browser() as context,
        open_browser(java_script_enabled=False) as without_scripts,
    ):
        tab = await open_tab(context, link)
        await open_video(tab, dialogue)
        await tab.page.evaluate(_PAUSE_AT, 2.3)
        await tab.page.fill(NOTE, "why </tbody></noscript><b>here</b> & $1?")
        await tab.page.click("text=Add note")
        first = await saved_page(tab, tmp_path)
        again = await open_tab(context, first.as_uri())
        await open_video(again, dialogue)
        await again.page.evaluate(_PAUSE_AT, 9)
        await again.page.fill(NOTE, "there")
        await again.page.click("text=Add note")
        page = await without_scripts.new_page()
        await page.goto((await saved_page(again, tmp_path)).as_uri())
        rows = await page.locator("#noted td").all_text_contents()
        assert rows == ["0:02.3", "why </tbody></noscript><b>here</b> & $1?", "0:09", "there"]
        assert "probability low" in await page.locator("table").first.text_content()
        await again.went_well()


async def test_what_a_search_or_the_choice_of_lanes_hides_is_said(
    link: str, open_browser: OpenBrowser, dialogue: Path
) -> None:
    now, found, find = ".review-now", ".review-found", ".review input[type=search]"
    async with open_browser() as context:
        tab = await open_tab(context, link)
        await tab.says(".review-hint", r"^Open the video to write notes of your own\.$")
        await tab.page.fill(find, "Nobody Says")
        await tab.says(found, r"^No mark contains 'Nobody Says'\.$")
        await tab.page.fill(find, "")
        await tab.says(found, "^$")
        await open_video(tab, dialogue)
        assert await tab.page.locator(".review-hint").is_hidden()
        await tab.page.evaluate(_PAUSE_AT, 7)
        await tab.says(now, "hesitation · probability high")
        await tab.page.fill(find, "Disengaged")
        await tab.says(now, r"^Nothing that matches 'Disengaged' is open now\.$")
        await tab.page.fill(find, "")
        await tab.says(now, "hesitation · probability high")
        await tab.page.click("text=Choose lanes")
        for box in await tab.page.locator(".review-lanes input").all():
            await box.uncheck()
        await tab.says(now, r"^Nothing in the chosen lanes is open now\.$")
        await tab.says(found, r"^No lane with marks is chosen\.$")
        await tab.page.fill(find, "high")
        await tab.says(found, r"^No mark in the chosen lanes contains 'high'\.$")
        await tab.went_well()
