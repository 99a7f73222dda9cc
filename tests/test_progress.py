"""How the command line shows how far long work is."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from rich.console import Console

import ih_mcp.net.rest  # noqa: F401 - reads files while it loads, which a loop may not
from ih_mcp import cli
from ih_mcp.cli import progress
from ih_mcp.cli.analyze import _step as analyze_step
from ih_mcp.cli.consent import TerminalChannel
from ih_mcp.cli.progress import ProgressStep, ReadProgress, clock, describe_step, doing, showing
from ih_mcp.errors import CallerError
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
    with anyio.fail_after(20):
        async with showing(Console(file=said), look):
            await is_done.wait()
    assert said.getvalue() == "at work: 25 %, about 0:09 left\nat work\n"


async def test_short_work_says_nothing_into_a_log(steps: Iterator[ProgressStep]) -> None:
    said = io.StringIO()
    async with showing(Console(file=said), lambda: next(steps)):
        await anyio.wait_all_tasks_blocked()
    assert said.getvalue() == ""


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_QUIET_SECONDS", 0.0)


@pytest.mark.usefixtures("at_once")
async def test_a_terminal_shows_one_line_that_changes_and_harms_nothing() -> None:
    said, looks = io.StringIO(), anyio.Event()

    def look() -> ProgressStep:
        if said.getvalue():
            looks.set()
        return ProgressStep("sending [bold]a\x1b[31m.mp4", 0.5)

    console = Console(file=said, force_terminal=True, width=80)
    with anyio.fail_after(20):
        async with showing(console, look):
            await looks.wait()
    assert "sending [bold]a" in said.getvalue()
    assert "\x1b[31m" not in said.getvalue()
    assert said.getvalue().endswith("\x1b[2K")  # the line is gone


async def test_work_that_is_over_at_once_shows_nothing_on_a_terminal() -> None:
    said = io.StringIO()
    async with doing(Console(file=said, force_terminal=True), "at work"):
        await anyio.wait_all_tasks_blocked()
    assert said.getvalue() == ""


@pytest.mark.usefixtures("at_once")
async def test_the_line_is_away_while_a_person_types_and_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "_LOOK_SECONDS", 0.0)
    said, looks = io.StringIO(), 0
    asked: list[int] = []
    seen: list[str] = []
    went_on = threading.Event()

    class Keyboard:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            asked.append(looks)
            assert went_on.wait(20)  # the line looks again, and is not shown
            seen.append(said.getvalue())
            return "y\n"

    def look() -> ProgressStep:
        nonlocal looks
        looks += 1
        if asked and looks > asked[0] + 2:
            went_on.set()
        return ProgressStep(f"look {looks}")

    monkeypatch.setattr("sys.stdin", Keyboard())
    console = Console(file=said, force_terminal=True, width=80)
    with anyio.fail_after(20):
        async with showing(console, look):
            while not said.getvalue():
                await anyio.lowlevel.checkpoint()
            assert await TerminalChannel(console).ask("Send it?", about="")
            before = len(said.getvalue())
            while "look" not in said.getvalue()[before:]:
                await anyio.lowlevel.checkpoint()
    assert seen[0].endswith("Send it? [y/N]\n")


async def test_an_error_of_the_work_comes_as_itself() -> None:
    with pytest.raises(CallerError, match="no"):
        async with doing(Console(file=io.StringIO()), "at work"):
            raise CallerError("no")


SAYS = {
    "stream": (["bad.mp4", "--local"], "reading the file"),
    "analyze": (["bad.mp4", "--local"], "reading the file"),
    "batch": (["videos", "-o", "out", "--local"], "looking for files"),
    "list": ([], "reading the journal"),
    "usage": ([], "reading the journal"),
    "messages": ([], "printing"),
    "timeline": (["-o", "a.html"], "reading the journal"),
    "review": (["st_1", "bad.mp4"], "reading the journal"),
    "export": (["--as", "csv", "-o", "a.csv"], "reading the journal"),
    "forget": (["st_1"], "removing"),
    "token": (["--local"], "asking"),
    "check": (["--local"], "checking the set-up"),
}
"""What the line of a command says first, and words with which it is soon over."""
SAYS_NOTHING = {
    "capture": "its page shows what happens",
    "watch": "shows the stream itself",
    "standin": "serves, and says where",
    "serve": "serves, and says where",
    "caller": "writes one line into a file",
    "install": "writes one file",
    "uninstall": "writes one file",
}


def test_each_command_says_how_far_it_is_or_has_a_reason() -> None:
    assert SAYS.keys() | SAYS_NOTHING.keys() == cli._COMMANDS.keys()


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("command", SAYS)
def test_a_command_says_on_a_terminal_what_it_does(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    async def keep_a_stream() -> None:
        async with open_journal(tmp_path / "data") as journal:
            log = await journal.begin("st_1", {})
            log.append('{"type":"x"}', leg=0)
            await log.write_record({"state": "ended"}, ended=True)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IH_MCP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("FORCE_COLOR", "1")  # standard error counts as a terminal
    (tmp_path / "videos").mkdir()
    (tmp_path / "bad.mp4").write_bytes(bytes(100))
    anyio.run(keep_a_stream)
    words, says = SAYS[command]
    cli.main([command, *words])
    out, err = capfd.readouterr()
    assert says in err
    assert says not in out


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
    reading = ReadProgress("reading", then="drawing")
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
