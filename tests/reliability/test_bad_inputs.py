"""Bad inputs (plan 3.7), a row each: refused or handled, and the next call works.

Rows that stand elsewhere: files that are no media, and containers, in tests/media/test_hostile.py
and tests/road/test_bad_input.py; paths in test_security.py (S6); lines that are no JSON-RPC in
tests/conformance.
"""

from __future__ import annotations

import math
import os
import socket
import threading
import unicodedata
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import anyio
import pytest
from mcp import Client

from ih_mcp.app.runtime import open_runtime
from ih_mcp.errors import PathError
from ih_mcp.mcp_server.server import make_server
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.settings import read_settings
from ih_mcp.standin.faults.script import Script
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import serve
from tests.road.host import Host, Process, environment, open_host

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad") / "media"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
async def host(ffmpeg: Ffmpeg, media: Path) -> AsyncIterator[Host]:
    """One server for the whole module: it has to live through all of it."""
    script = Script.parse([{"at": "ready", "send": '{"type":"hello"}'}])
    async with serve(Options(script=script), ffmpeg=ffmpeg) as running:
        env = environment(
            media.parent / "d",
            endpoint=running.url,
            IH_MCP_MEDIA_DIRS=str(media),
            IH_MCP_MAX_STREAMS="40",
        )
        async with open_host(env, seconds=600) as opened:
            yield opened


@pytest.fixture(scope="module")
def raw(media: Path) -> Iterator[Process]:
    """For what no client would send."""
    server = Process(environment(media.parent / "raw", IH_MCP_LOG="debug"))
    yield server
    server.close()


@pytest.fixture
async def live(host: Host) -> AsyncIterator[str]:
    stream_id = (await host.call("start_stream")).status["stream_id"]
    await host.call("poll_events", stream_id=stream_id, cursor=1, wait_s=25)  # the hello
    yield stream_id
    await host.call("end_stream", stream_id=stream_id)


# --- every string --------------------------------------------------------------------------------

STRINGS = {
    "empty": "",
    "a mebibyte": "x" * 2**20,
    "nul": "a\0b",
    "newline": "a\nb\r\nc",
    "ansi": "\x1b[2J\x1b]0;x\x07",
    "bidi": "\u202eabc\u2066",
    "tags": "\U000e0041\U000e0042",
    "dots": "../../etc/passwd",
    "encoded dots": "%2e%2e%2f",
    "an option": "-y",
    "leading space": " x",
    "emoji": "\U0001f600" * 50,
    "nfc": unicodedata.normalize("NFC", "é" * 10),
    "nfd": unicodedata.normalize("NFD", "é" * 10),
    "shell": "$(touch owned); `touch owned` | touch owned",
    "percent": "%s%n%d{0}{x}",
}
PLACES = [
    *(("start_stream", "label"), ("start_stream", "model"), ("start_stream", "api")),
    *(("poll_events", "stream_id"), ("end_stream", "stream_id"), ("list_streams", "stream_id")),
    *(("push_segment", "stream_id"), ("stream_file", "path"), ("analyze_file", "path")),
    *(("get_analysis", "analysis_id"),),
]


@pytest.mark.parametrize("name", STRINGS)
async def test_any_string_anywhere_is_refused_or_handled(
    name: str, host: Host, media: Path, live: str
) -> None:
    for tool, argument in PLACES:
        arguments: dict[str, object] = {argument: STRINGS[name]}
        if tool == "push_segment":
            arguments["data_base64"] = "AAAA"
        answer = await host.call(tool, **arguments)
        if not answer.is_error and tool == "start_stream":
            await host.call("end_stream", stream_id=answer.status["stream_id"])
        assert len(answer.text) < 5000 or not answer.is_error
        assert "Traceback" not in answer.text
        if answer.is_error:
            assert answer.error["code"] != "internal", answer.text
            assert all(c.isprintable() or c == "\n" for c in answer.text)
            assert len(answer.text.splitlines()) <= 3
    assert (await host.call("poll_events", stream_id=live, wait_s=0)).status["state"] == "open"
    assert not {"owned", "owned;"} & {*os.listdir(media), *os.listdir(media.parent)}  # noqa: PTH208


def test_a_lone_surrogate_is_answered(raw: Process) -> None:
    call = {"name": "list_streams", "arguments": {"stream_id": "st_\ud800"}}
    answer = raw.request("tools/call", **call)
    assert "error" in answer or answer["result"]["isError"]
    assert not raw.call("list_streams").is_error


# --- numbers -------------------------------------------------------------------------------------

NUMBERS: list[object] = [
    *(-1, math.nan, math.inf, -math.inf, 2**63, 2**70, 10**400, "5", True, [], {}, 1.5),
]
COUNTS = ("cursor", "limit", "max_chars", "wait_s")


@pytest.mark.parametrize("number", NUMBERS, ids=[repr(n)[:20] for n in NUMBERS])
def test_any_number_anywhere_is_refused_with_what_is_right_or_handled(
    number: object, raw: Process
) -> None:
    stream_id = raw.call("start_stream").status["stream_id"]
    for name in COUNTS:
        try:
            answer = raw.call("poll_events", **{"stream_id": stream_id, "wait_s": 0, name: number})
        except KeyError:
            continue  # an error of JSON-RPC itself: what was sent is no JSON
        if answer.is_error:
            assert answer.error["code"] in {"bad_argument", "unknown_stream"}, answer.text
            assert name in answer.text
        else:
            assert (name, number) in {("cursor", 2**63), ("cursor", 2**70), ("wait_s", 1.5)} or (
                name == "cursor" and number == 10**400
            ), answer.text
            assert answer.messages == [] or name == "wait_s"
    ended = raw.call("end_stream", stream_id=stream_id)
    assert ended.status["ended"] is True


# --- ids, cursors, waiting -----------------------------------------------------------------------


async def test_a_cursor_beyond_the_end_reads_nothing_and_leads_back(host: Host, live: str) -> None:
    for cursor in (3, 10_000, 2**32 - 1, 2**32, 2**33 + 1, 2**53 - 1):
        answer = await host.call("poll_events", stream_id=live, cursor=cursor, wait_s=0)
        assert answer.messages == []
        assert answer.status["next_cursor"] == 2
        assert "notes" in answer.status


async def test_unknown_ended_and_foreign_streams(host: Host, live: str) -> None:
    await host.call("end_stream", stream_id=live)
    again = await host.call("end_stream", stream_id=live)
    assert not again.is_error
    push = await host.call("push_segment", stream_id=live, data_base64="AAAA")
    assert push.error["code"] == "stream_ended"
    gone = await host.call("configure_stream", stream_id="st_" + "f" * 32)
    analysis = await host.call("poll_events", stream_id="an_" + "f" * 32)
    assert {gone.error["code"], analysis.error["code"]} == {"unknown_stream"}


@pytest.mark.parametrize("wait", [-1, 25.01, 3600])
async def test_a_wait_that_is_too_long_is_refused(wait: float, host: Host, live: str) -> None:
    answer = await host.call("poll_events", stream_id=live, wait_s=wait)
    assert answer.error["code"] == "bad_argument"
    assert "25" in answer.text or "0" in answer.text


async def test_a_cancelled_wait_frees_everything(host: Host, live: str) -> None:
    for _ in range(50):
        with anyio.move_on_after(0.02):
            await host.call("poll_events", stream_id=live, cursor=99, wait_s=25)
    assert not (await host.call("poll_events", stream_id=live, wait_s=0)).is_error


# --- base64 --------------------------------------------------------------------------------------

BASE64 = {
    "not base64": "%%%%",
    "whitespace": "AA AA",
    "line breaks": "AAAA\nAAAA",
    "url-safe": "_-_-",
    "no padding": "AAAAA",
    "too much padding": "AA====",
    "a data URL": "data:video/webm;base64,AAAA",
    "5 MiB": "A" * (5 * 2**20 * 4 // 3 // 4 * 4),
    "8 MiB": "A" * (8 * 2**20),
}


@pytest.mark.parametrize("name", BASE64)
async def test_bad_base64_is_refused_and_the_way_by_path_is_named(
    name: str, host: Host, live: str
) -> None:
    answer = await host.call("push_segment", stream_id=live, data_base64=BASE64[name])
    assert answer.error["code"] in {"bad_base64", "call_too_large"}
    assert "path" in answer.text
    assert len(answer.text) < 2000


# --- paths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["folder", "fifo", "socket", "empty", "unreadable", "sparse"])
async def test_a_path_that_is_no_segment_is_refused(
    kind: str, host: Host, live: str, media: Path
) -> None:
    path = media / f"{kind}.webm"
    match kind:
        case "folder":
            path.mkdir(exist_ok=True)
        case "fifo":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(str(path))
        case "empty":
            path.touch()
        case "unreadable":
            path.write_bytes(b"x")
            path.chmod(0)
        case _:
            with path.open("wb") as file:
                file.truncate(100 << 30)
    with anyio.fail_after(15):
        answer = await host.call("push_segment", stream_id=live, path=str(path))
    path.rmdir() if kind == "folder" else path.unlink()
    if kind == "unreadable" and os.geteuid() == 0:
        assert answer.error["code"] == "no_header"  # root reads it; no recording begins so
    else:
        assert answer.error["code"] in {"not_a_file", "empty_file", "segment_too_large"}


# --- calls in an order nobody planned ------------------------------------------------------------


async def test_many_calls_at_once_are_each_answered(host: Host, live: str) -> None:
    codes: list[str] = []

    async def one(tool: str, **arguments: object) -> None:
        answer = await host.call(tool, **arguments)
        codes.append(str(answer.error["code"]) if answer.is_error else "ok")

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(lambda: one("poll_events", stream_id=live, wait_s=0))
        for _ in range(2):
            tasks.start_soon(lambda: one("push_segment", stream_id=live, data_base64="AAAA"))
            tasks.start_soon(lambda: one("end_stream", stream_id=live))
    assert codes.count("ok") >= 102
    assert set(codes) <= {"ok", "bad_media", "stream_ended", "no_header"}


async def test_a_hundred_starts_at_once_are_each_answered(host: Host) -> None:
    ids: list[str] = []
    refused: list[str] = []

    async def one() -> None:
        answer = await host.call("start_stream")
        if answer.is_error:
            refused.append(answer.error["code"])
        else:
            ids.append(answer.status["stream_id"])

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(one)
    assert len(ids) == 40
    assert set(refused) == {"too_many_streams"}
    async with anyio.create_task_group() as tasks:
        for stream_id in ids:
            tasks.start_soon(partial(host.call, "end_stream", stream_id=stream_id))


async def test_a_push_before_the_session_is_ready_is_told(
    ffmpeg: Ffmpeg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("stream_tools.READY_SECONDS", "push_tools.PUSH_SECONDS"):
        monkeypatch.setattr(f"ih_mcp.mcp_server.{name}", 0.2)
    script = Script.parse([{"at": "open", "stall": "telling"}])
    async with serve(Options(script=script), ffmpeg=ffmpeg) as running:
        settings = read_settings(endpoint=running.url, api_key="ih_test_k", data_dir=tmp_path)
        server = await anyio.to_thread.run_sync(make_server, lambda _: open_runtime(settings))
        async with Client(server) as client:
            host = Host(client)
            started = await host.call("start_stream")
            assert started.status["state"] == "connecting"
            stream_id = started.status["stream_id"]
            pushed = await host.call("push_segment", stream_id=stream_id, data_base64="GkXfow==")
            assert (pushed.error["code"], pushed.error["retry"]) == ("not_open", True)
            await host.call("end_stream", stream_id=stream_id)
        (session,) = running.recorder.sessions
    assert session.segments == []


async def test_a_drive_that_hangs_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a network mount does whose server is gone: the call ends, the thread is let go of."""
    hangs = threading.Event()
    monkeypatch.setattr("ih_mcp.app.disk_calls.DISK_SECONDS", 0.2)
    monkeypatch.setattr("ih_mcp.media.file_admission.find", lambda *_, **__: hangs.wait(30))
    settings = read_settings(endpoint="local", data_dir=tmp_path / "d", media_dirs=(tmp_path,))
    async with open_runtime(settings) as runtime:
        with anyio.fail_after(10), pytest.raises(PathError, match="could not be read") as told:
            await runtime.find_file("x.webm")
        hangs.set()
    assert told.value.code == "file_unreachable"
    assert told.value.retry
