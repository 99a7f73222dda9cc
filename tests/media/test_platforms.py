"""What other platforms do otherwise, walked here as far as it can be."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import anyio
import pytest

from ih_mcp.media import file_admission as admit
from ih_mcp.media.ffmpeg import process
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.media.file_admission import OpenedFile

from .checks import cut

ECHO = "import sys, shutil; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
WAIT = "import time; print(1, flush=True); time.sleep(600)"


def python(script: str) -> list[str]:
    return [sys.executable, "-I", "-c", script]


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`process` as it is loaded on Windows, but for the flags only Windows knows."""
    assert process.__file__
    monkeypatch.setattr(sys, "platform", "win32")
    spec = importlib.util.spec_from_file_location(
        "ih_mcp.media.ffmpeg.on_windows", process.__file__
    )
    assert spec and spec.loader  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.undo()
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0, raising=False)
    monkeypatch.setattr(subprocess, "CREATE_NO_WINDOW", 0, raising=False)
    return module


async def test_a_process_is_fed_and_read_through_threads(windows: ModuleType) -> None:
    data = os.urandom(1 << 20)
    async with (
        windows.running(python(ECHO), takes_input=True) as child,
        anyio.create_task_group() as group,
    ):

        async def feed() -> None:
            await child.write(data)
            await child.end_input()

        group.start_soon(feed)
        answer = b""
        while piece := await child.read():
            answer += piece
    assert answer == data


async def test_a_process_is_gone_without_signals_of_posix(windows: ModuleType) -> None:
    with anyio.fail_after(5):
        async with windows.running(python(WAIT)) as child:
            await child.read()
            pid = child.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_silent_process_is_given_up_though_a_thread_reads_it(windows: ModuleType) -> None:
    with anyio.fail_after(5):
        async with windows.running(python(WAIT)) as child:
            assert await child.read() == b"1\n"
            child._silence = 0.1
            with pytest.raises(Exception, match="gave nothing"):
                await child.read()


async def test_a_file_is_named_by_its_path_where_descriptors_have_no_names(
    base: Path, ffmpeg: Ffmpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = list[OpenedFile]()
    opened = admit.opened

    @asynccontextmanager
    async def watched(path: Path) -> AsyncIterator[OpenedFile]:
        async with opened(path) as source:
            sources.append(source)
            yield source

    monkeypatch.setattr(admit, "os", SimpleNamespace(**{**vars(os), "name": "nt"}))
    for user in ("ffmpeg.probe", "splitter"):
        monkeypatch.setattr(f"ih_mcp.media.{user}.opened", watched)
    outcome = await cut(base, ffmpeg)
    assert outcome.error is None
    assert {source.url for source in sources} == {f"file:{base}"}
    assert {source.descriptors for source in sources} == {()}


async def test_there_are_no_bounds_where_they_cannot_be_set(
    base: Path, ffmpeg: Ffmpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "sys", SimpleNamespace(platform="darwin"))
    monkeypatch.setitem(sys.modules, "resource", None)  # an import of it would fail
    assert (await cut(base, ffmpeg)).error is None
