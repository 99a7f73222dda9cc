"""A picture is drawn by a process that gets nothing else of ours, and leaves nothing."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from ih_mcp.errors import ConfigurationError, IhMcpError
from ih_mcp.timeline import picture_process
from ih_mcp.timeline.image import draw
from ih_mcp.timeline.picture_process import draw_in_process

from .known import drawing

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="scripts of a POSIX shell")


Script = Callable[[str], None]


@pytest.fixture
def instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Writes the shell script that is started instead of Python."""
    script = tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(script))

    def write(text: str) -> None:
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o700)

    return write


async def failure() -> IhMcpError:
    with pytest.raises(IhMcpError) as caught:
        await draw_in_process(drawing(), "png")
    assert "format html" in caught.value.help
    return caught.value


async def test_a_hostile_working_folder_has_no_say_in_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = await to_thread.run_sync(draw, drawing(), "svg")
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfigure.dpi: 7\n")  # runs latex
    for name in ("json", "numpy", "matplotlib", "ih_mcp"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('of the working folder')")
    monkeypatch.chdir(tmp_path)
    assert await draw_in_process(drawing(), "svg") == wanted


@POSIX
async def test_the_keys_stay_here(
    instead: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERHUMAN_API_KEY", "sk-secret")
    monkeypatch.setenv("IH_MCP_LABEL", "sk-secret")
    seen = tmp_path / "environment"
    instead(f"env > {seen}")
    assert await draw_in_process(drawing(), "png") == b""
    environment = await anyio.Path(seen).read_text()
    assert "PYTHONPATH=" in environment
    assert "sk-secret" not in environment


@POSIX
async def test_a_process_that_fails_is_told_with_its_status(instead: Script) -> None:
    instead("exit 3")
    assert (await failure()).what == (
        "the picture could not be drawn: its process ended with status 3"
    )
    instead("kill -9 $$")
    error = await failure()
    assert error.what.endswith("with status -9")
    assert (error.code, error.retry) == ("picture_failed", True)


@pytest.mark.usefixtures("instead")
async def test_a_process_that_cannot_be_started_is_told() -> None:
    assert (await failure()).what == (
        "the picture could not be drawn: its process cannot be started: No such file or directory"
    )


@POSIX
async def test_a_process_that_never_ends_is_killed(
    instead: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead("exec sleep 600")
    monkeypatch.setattr(picture_process, "_SECONDS", 0.1)
    assert (await failure()).what.endswith("it took longer than 0 s")


@POSIX
@pytest.mark.parametrize("has_started", [False, True])
async def test_a_caller_that_waits_no_longer_leaves_no_process(
    instead: Script, has_started: bool
) -> None:
    instead("exec sleep 600")
    started: list[anyio.abc.Process] = []
    open_process = anyio.open_process

    async def opened(*arguments: object, **options: object) -> anyio.abc.Process:
        if not has_started:
            tasks.cancel_scope.cancel()
        started.append(await open_process(*arguments, **options))  # type: ignore[arg-type]
        tasks.cancel_scope.cancel()
        return started[0]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(anyio, "open_process", opened)
        async with anyio.create_task_group() as tasks:
            await draw_in_process(drawing(), "png")
    assert started[0].returncode == -9


@pytest.mark.parametrize("line", ["", '{"state":', f"{json.dumps(drawing())}\n"])
def test_the_process_ends_when_nobody_wants_its_picture_any_more(line: str) -> None:
    command = [sys.executable, "-P", "-m", "ih_mcp.timeline.picture_process", "png"]
    ended = subprocess.run(command, input=line.encode(), capture_output=True, check=False)
    assert ended.returncode == 1
    assert ended.stdout == b""


async def test_nothing_is_started_where_the_library_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(anyio, "open_process", None)
    with pytest.raises(ConfigurationError, match="needs matplotlib"):
        await draw_in_process(drawing(), "png")
