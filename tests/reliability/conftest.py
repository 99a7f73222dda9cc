from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator

import pytest

from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.faults.script import Script
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import RunningStandin, serve

from .budget import report
from .writer import message

_ROW = re.compile(r"(?<![A-Za-z])([CNSTcnst]\d+)(?![A-Za-z\d.])")
_ROWS_OF_FILES = {
    "test_bad_inputs.py": "bad inputs",
    "test_properties.py": "fuzz",
    "test_push_model.py": "pushes",
    "test_schedules.py": "schedules",
    "test_pacing.py": "pacing",
    "test_checker.py": "checker",
    "test_proxy.py": "proxy",
    "test_leaks.py": "S8",
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[None]:  # what pytest makes of it is handed on
    """Write down which rows of the plan a test stood for, for the report card."""
    result = yield
    if call.when == "call" or result.skipped:  # type: ignore[attr-defined]
        name = item.path.name
        rows = _ROW.findall(item.nodeid.partition("::")[2].replace("_", " "))
        for row in rows or [_ROWS_OF_FILES.get(name, "")]:
            if row:
                outcome = "xfailed" if hasattr(result, "wasxfail") else result.outcome  # type: ignore[attr-defined]
                report(row.upper() if row[1:].isdigit() else row, name, "", outcome=outcome)
    return result


@pytest.fixture
async def flooding(ffmpeg: Ffmpeg) -> AsyncIterator[RunningStandin]:
    """A stand-in that says three hundred things at once to each session."""
    steps = [{"at": "ready", "send": message("flood", number)} for number in range(1, 301)]
    async with serve(Options(script=Script.parse(steps)), ffmpeg=ffmpeg) as running:
        yield running
