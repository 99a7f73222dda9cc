"""The page and the file as people meet them: narrow, dark, by keyboard, read aloud."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from axe_playwright_python.async_playwright import Axe

from ih_mcp.timeline.picture_process import draw_in_process
from tests.capture.room import OpenRoom
from tests.timeline.known import HOUR_SECONDS, STATUS, changing_drawing, drawing, hour_drawing

from .conftest import OpenBrowser, Tab, open_tab, page_of
from .test_live import long

pytestmark = pytest.mark.timeout(90)
_GRAVE = {"serious", "critical"}


async def grave_findings(tab: Tab) -> list[str]:
    found = await Axe().run(tab.page)
    violations: list[dict[str, Any]] = found.response["violations"]
    return [
        f"{violation['id']}: {node['html']}"
        for violation in violations
        if violation["impact"] in _GRAVE
        for node in violation["nodes"]
    ]


async def fits(tab: Tab) -> bool:
    """Whether nothing has to be scrolled sideways."""
    wide: bool = await tab.page.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )
    return wide


@pytest.fixture
def link(tmp_path: Path) -> str:
    return page_of(tmp_path, drawing())


@pytest.mark.parametrize("scheme", ["dark", pytest.param("light", marks=long)])
async def test_a_file_can_be_read_by_all_in_both_schemes_and_at_any_width(
    scheme: str, link: str, open_browser: OpenBrowser
) -> None:
    narrow = {"width": 360, "height": 740}
    async with open_browser(color_scheme=scheme, viewport=narrow) as context:
        tab = await open_tab(context, link)
        assert await fits(tab)
        assert await grave_findings(tab) == []
        await tab.page.click(".timeline summary")
        await tab.says("table", "hesitation · probability high.*long <pause>")
        await tab.page.set_viewport_size({"width": 1280, "height": 800})
        assert await fits(tab)
        assert await grave_findings(tab) == []
        await tab.went_well()


@long
async def test_every_mark_of_a_file_is_drawn_where_it_belongs(
    link: str, open_browser: OpenBrowser
) -> None:
    async with open_browser(viewport={"width": 1280, "height": 800}) as context:
        tab = await open_tab(context, link)
        marks = await tab.page.eval_on_selector_all(
            ".timeline-high, .timeline-medium, .timeline-low",
            """found => found.filter((node) => node.told).map((node) => [
              node.getAttribute("aria-label").split(" · ")[0],
              parseFloat(node.style.left), parseFloat(node.style.width)])""",
        )
        known: dict[str, Any] = drawing()
        wanted = [
            [s["signal"], s["start"] / 40 * 100, (s["end"] - s["start"]) / 40 * 100]
            for s in known["phases"]
        ]
        assert len(marks) == len(wanted)
        for mark, want in zip(sorted(marks), sorted(wanted), strict=True):
            assert mark[0] == want[0]
            assert mark[1:] == pytest.approx(want[1:], abs=0.01)


@pytest.fixture
def namesakes(tmp_path: Path) -> str:
    """A file with a signal that has the name of another lane, as one of v0 has."""
    values: dict[str, Any] = drawing()
    values["phases"][0]["signal"] = "engagement"
    return page_of(tmp_path, values)


async def test_a_signal_of_the_name_of_another_lane_has_its_own(
    namesakes: str, open_browser: OpenBrowser
) -> None:
    async with open_browser() as context:
        tab = await open_tab(context, namesakes)
        shown = await tab.page.eval_on_selector_all(
            ".timeline-lane[aria-label=engagement]",
            "lanes => lanes.map((lane) => lane.querySelectorAll('.timeline-item').length)",
        )
        assert shown == [1, 2]
        await tab.went_well()


async def test_a_timeline_is_walked_by_arrow_keys(link: str, open_browser: OpenBrowser) -> None:
    async with open_browser() as context:
        tab = await open_tab(context, link)
        await tab.page.focus("text=Zoom in")  # the last control that can be used
        await tab.page.keyboard.press("Tab")
        await tab.says(".timeline-detail", "hesitation · probability high · 0:03 to 0:09.*um")
        await tab.says(".timeline-detail", "What it stands for: delays before committing: ")
        await tab.page.keyboard.press("ArrowRight")
        await tab.says(".timeline-detail", "hesitation · probability medium · 0:24")
        await tab.page.keyboard.press("ArrowDown")
        await tab.says(".timeline-detail", "agreement")
        await tab.page.keyboard.press("End")
        label = await tab.page.evaluate("document.activeElement.getAttribute('aria-label')")
        assert (
            label == "agreement · probability medium, 0:09 to 0:40, no message ended it. nods twice"
        )
        stops = await tab.page.eval_on_selector_all(
            ".timeline-item", "found => found.filter((node) => node.tabIndex === 0).length"
        )
        assert stops == 1


@pytest.fixture(scope="module")
def svg(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("svg") / "timeline.svg"
    path.write_bytes(anyio.run(draw_in_process, changing_drawing(), "svg"))
    return path.as_uri()


async def test_an_svg_is_drawn_by_a_browser_and_asks_for_nothing(
    svg: str, open_browser: OpenBrowser
) -> None:
    async with open_browser() as context:
        asked: list[str] = []
        context.on("request", lambda request: asked.append(request.url))
        tab = await open_tab(context, svg)
        for words in ("talk.mp4 · P07 · ended", "hesitation", "1:00 end", "not analysed"):
            box = await tab.page.locator("text", has_text=words).first.bounding_box()
            assert box
            assert box["width"] > 10
        assert asked == [svg]
        await tab.went_well()


@pytest.fixture
def stopped(tmp_path: Path) -> str:
    """A file of 50 s whose stream was stopped at 40 s."""
    usage = {"delivered_s": 40.0, "analysed_s": 37.0, "dropped_s": 3.0}
    status = replace(STATUS, reason="stopped", pace="auto", duration_s=50.0, usage=usage)
    return page_of(tmp_path, drawing(status))


async def test_what_of_a_file_was_not_sent_is_a_lane_and_lies_behind_the_others(
    stopped: str, open_browser: OpenBrowser
) -> None:
    async with open_browser() as context:
        tab = await open_tab(context, stopped)
        await tab.says(".timeline-bar", "stopped at 0:40 of 0:50")
        await tab.says(".timeline-key", "not sent")
        lane = tab.page.locator(".timeline-lane[aria-label='not sent'] .timeline-not_sent")
        label = await lane.get_attribute("aria-label")
        assert label == "not sent, 0:40 to 0:50. These seconds of the file were not sent."
        place = "nodes => nodes.map((node) => [node.style.left, node.style.width])"
        ground = await tab.page.locator(".timeline-gap.timeline-not_sent").evaluate_all(place)
        assert {tuple(each) for each in ground} == {("80%", "20%")}
        await tab.went_well()


_SHOWN = """found => found.filter((node) => !node.hidden).map(({told}) => told.from)"""


async def shown_marks(tab: Tab) -> list[float]:
    """Where the marks of signals begin that are to be seen."""
    marks = ".timeline-lane .timeline-item:is(.timeline-high, .timeline-medium, .timeline-low)"
    found: list[float] = await tab.page.eval_on_selector_all(marks, _SHOWN)
    return sorted(found)


@pytest.fixture
def hour(tmp_path: Path) -> str:
    return page_of(tmp_path, hour_drawing())


async def test_an_hour_is_read_by_zooming_in_and_going_on(
    hour: str, open_browser: OpenBrowser
) -> None:
    async with open_browser(viewport={"width": 1000, "height": 800}) as context:
        tab = await open_tab(context, hour)
        choice, part = ".timeline-zoom select", tab.page.locator(".timeline-part")
        everything = await shown_marks(tab)
        assert everything == list(range(4, 3580, 20))
        assert await part.is_hidden()
        await tab.page.select_option(choice, "60")
        await tab.page.locator(".timeline-part").fill("600")  # from 10:00 on
        assert await shown_marks(tab) == [604, 624, 644]
        ticks = await tab.page.locator(".timeline-tick").all_text_contents()
        assert ticks == ["10:00", "10:10", "10:20", "10:30", "10:40", "10:50"]
        await tab.page.locator(".timeline-low:not([hidden]), .timeline-medium:not([hidden])"
            ).first.focus()  # fmt: skip
        await tab.page.keyboard.press("-")
        assert await tab.page.input_value(choice) == "300"
        await tab.page.keyboard.press("+")
        await tab.page.keyboard.press("+")
        assert await tab.page.input_value(choice) == "20"
        assert await tab.page.get_by_role("button", name="Zoom in").is_disabled()
        await tab.page.keyboard.press("End")  # the last one of its lane, which is not shown yet
        (last,) = await shown_marks(tab)
        assert last > HOUR_SECONDS - 120
        assert await tab.page.evaluate("document.activeElement.told.from") == last
        await tab.page.keyboard.press("0")
        assert await shown_marks(tab) == everything
        await tab.page.get_by_role("button", name="Zoom in").click()
        assert await tab.page.input_value(choice) == "1200"
        await tab.page.click("text=Next mark")  # the first one, from the end of the hour
        assert (await shown_marks(tab))[0] == everything[0]
        assert await fits(tab)
        assert await grave_findings(tab) == []
        await tab.went_well()


async def test_the_live_page_can_be_read_by_all(
    open_browser: OpenBrowser, open_room: OpenRoom, dialogue: Path
) -> None:
    narrow = {"width": 360, "height": 740}
    async with (
        open_room(media_dirs=str(dialogue.parent)) as room,
        open_browser(viewport=narrow) as context,
    ):
        stream = await room.start()
        tab = await open_tab(context, room.server.link(stream.id))
        await tab.says("#where", "st_")
        assert await fits(tab)
        assert await grave_findings(tab) == []
        for words in ("Start recording", "End session"):
            assert await tab.page.get_by_role("button", name=words).count() == 1
        with anyio.fail_after(10):
            while await tab.page.evaluate("document.activeElement.id") != "start":
                await tab.page.keyboard.press("Tab")
        await tab.went_well()


@pytest.fixture
def hostile(tmp_path: Path) -> str:
    """A file with two thousand names, a time of thirty years, and an index below zero."""
    phase = {
        "span": 0, "layer": 0, "start": 0.0, "end": 999_999_999.0, "ends_implicitly": False,
        "probability": "high", "rationale": "</script>",
    }  # fmt: skip
    phases = [{**phase, "signal": f"[/x] {number}"} for number in range(2000)]
    period = {"start": -5, "end": 999_999_999, "values": {"quality_index": -200}}
    values = {**drawing(), "phases": phases, "quality": [period], "seconds": 999_999_999.0}
    return page_of(tmp_path, values)


async def test_a_file_of_hostile_times_and_names_is_drawn_within_bounds(
    hostile: str, open_browser: OpenBrowser
) -> None:
    async with open_browser() as context:
        tab = await open_tab(context, hostile)
        await tab.says(".timeline-bar", "and 1,960 more signals")
        counts = await tab.page.evaluate(
            "['.timeline-tick', '.timeline-lane', '.timeline-item']"
            ".map((name) => document.querySelectorAll(name).length)"
        )
        assert counts[0] <= 9
        assert 40 < counts[1] <= 46
        assert counts[2] <= 2000
        await tab.went_well()
