"""How the command line shows how far long work is."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from rich.console import Console

from ih_mcp.cli import progress
from ih_mcp.cli.analyze import _step as analyze_step
from ih_mcp.cli.progress import ProgressStep, clock, describe_step, showing
from ih_mcp.cli.timeline import _ReadProgress
from ih_mcp.journal import open_journal
from ih_mcp.streams.uploads import UploadAnalysis
from ih_mcp.timeline.model import read_timeline


@pytest.mark.parametrize(
    ("step", "elapsed_seconds", "text"),
    [
        (ProgressStep("connecting"), 5, "connecting"),
        (ProgressStep("sending", 0.0), 5, "sending: 0 %"),
        (ProgressStep("sending", 0.009), 5, "sending: 0 %"),
        (ProgressStep("sending", 0.25), 20, "sending: 25 %, about 1:00 left"),
        (ProgressStep("sending", 0.999), 1000, "sending: 99 %, about 0:01 left"),
        (ProgressStep("sending", 1.0), 20, "sending: 100 %"),
        (ProgressStep("sending", 1.7), 20, "sending: 100 %"),
    ],
)
def test_a_step_says_percent_and_the_time_that_is_left(
    step: ProgressStep, elapsed_seconds: float, text: str
) -> None:
    assert describe_step(step, elapsed_seconds=elapsed_seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (80, "1:20"), (3723, "1:02:03")]
)
def test_a_duration_is_written_as_a_clock_has_it(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.fixture
def steps() -> Iterator[ProgressStep]:
    return iter(
        [ProgressStep("at work", 0.25), ProgressStep("at work", 0.25), ProgressStep("at work")]
    )


async def test_a_log_gets_a_line_only_where_something_changed(
    steps: Iterator[ProgressStep], monkeypatch: pytest.MonkeyPatch
) -> None:
    said, is_done = io.StringIO(), anyio.Event()

    def look() -> ProgressStep:
        try:
            return next(steps)
        except StopIteration:
            is_done.set()
            return ProgressStep("at work")

    monkeypatch.setattr(progress, "_LINE_SECONDS", 0.0)
    monkeypatch.setattr(progress, "clock", lambda _: "0:09")
    with anyio.fail_after(5):
        async with showing(Console(file=said), look):
            await is_done.wait()
    assert said.getvalue() == "at work: 25 %, about 0:09 left\nat work\n"


async def test_short_work_says_nothing_into_a_log(steps: Iterator[ProgressStep]) -> None:
    said = io.StringIO()
    async with showing(Console(file=said), lambda: next(steps)):
        await anyio.wait_all_tasks_blocked()
    assert said.getvalue() == ""


async def test_a_terminal_shows_one_line_that_changes_and_harms_nothing() -> None:
    said, looks = io.StringIO(), anyio.Event()

    def look() -> ProgressStep:
        looks.set()
        return ProgressStep("sending [bold]a\x1b[31m.mp4", 0.5)

    console = Console(file=said, force_terminal=True, width=80)
    with anyio.fail_after(5):
        async with showing(console, look):
            await looks.wait()
    assert "sending [bold]a" in said.getvalue()
    assert "\x1b[31m" not in said.getvalue()


async def test_an_upload_says_how_much_is_sent_then_that_the_service_works(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        log = await journal.begin("an_1", {})
        analysis = UploadAnalysis("an_1", log, {"state": "sending"}, size=1000)
        analysis.note_sent(700)
        assert analyze_step(analysis) == ProgressStep("sending the file", 0.7)
        analysis.note_sent(1000)
        assert analyze_step(analysis) == ProgressStep("the file is sent; the service is at work")
        analysis.facts["error"] = {"what": "busy", "help": "It is asked again."}
        assert analyze_step(analysis) == ProgressStep("busy. It is asked again.")


async def test_an_export_says_how_much_is_read_then_that_it_draws(tmp_path: Path) -> None:
    reading = _ReadProgress()
    assert reading.step() == ProgressStep("reading")
    async with open_journal(tmp_path) as journal:
        log = await journal.begin("st_1", {})
        for _ in range(2500):
            log.append('{"type":"x"}', leg=0)
        await log.flush()
        steps: list[ProgressStep] = []

        def note(cursor: int, last: int) -> None:
            reading.note(cursor, last)
            steps.append(reading.step())

        await read_timeline(journal, "st_1", on_read=note)
    assert steps == [
        ProgressStep("reading", 0.4),
        ProgressStep("reading", 0.8),
        ProgressStep("drawing"),
    ]
