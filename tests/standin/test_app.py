from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ih_mcp.errors import IhMcpError, MediaError, PathError
from ih_mcp.media.ffmpeg.facts import Facts
from ih_mcp.media.ffmpeg.probe import probe
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.analysis.analyst import Observations
from ih_mcp.standin.analysis.windows import Window
from ih_mcp.standin.faults.script import Script
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import RunningStandin, serve
from ih_mcp.wire.dialects import DIALECTS, REALTIME, V0, V1, V2, Dialect
from tests.facts import shows
from tests.plain_http import plain_http

from .fakes import ScriptedAnalyst, open_toy, seen, toy

KEY = "ih_live_x"
BEARER = {"Authorization": f"Bearer {KEY}"}


@asynccontextmanager
async def running(ffmpeg: Ffmpeg, *steps: object, **options: Any) -> AsyncIterator[RunningStandin]:
    """A stand-in on a port; the media of its streams are toys."""
    options.setdefault("analyst", ScriptedAnalyst)
    set_up = Options(script=Script.parse(list(steps)), **options)
    with anyio.fail_after(15):
        async with serve(set_up, ffmpeg=ffmpeg, open_decoder=open_toy) as standin:
            yield standin


def opened(url: str, path: str = V1.path, **more: Any) -> connect:
    more.setdefault("additional_headers", None if "subprotocols" in more else BEARER)
    return connect(url.replace("http", "ws", 1) + path, compression=None, max_size=None, **more)


async def until(socket: ClientConnection, kind: str) -> list[str]:
    texts: list[str] = []
    while not texts or json.loads(texts[-1]).get("type") != kind:
        texts.append(str(await socket.recv()))
    return texts


async def get(url: str, path: str, **more: Any) -> httpx2.Response:
    async with plain_http(base_url=url) as client:
        return await client.get(path, **more)


async def post(url: str, path: str, **more: Any) -> httpx2.Response:
    async with plain_http(base_url=url) as client:
        return await client.post(path, **more)


async def test_the_health_page_says_what_this_is(ffmpeg: Ffmpeg) -> None:
    async with running(ffmpeg) as standin:
        answer = await get(standin.url, "/")
    told = answer.json()
    assert "ih-mcp stand-in" in told["standin"]
    assert "not Interhuman" in told["standin"]
    assert told["analyst"]["sends_data_away"] is False
    assert "own formula" in told["conversation_quality"]
    assert {dialect.path for dialect in DIALECTS.values()} < set(told["paths"])
    assert {"/v0/realtime/analyze", "/v0/upload/analyze"} < set(told["paths"])


@pytest.mark.parametrize("path", [dialect.path for dialect in (*DIALECTS.values(), REALTIME)])
async def test_the_101_names_the_correlation_id_of_every_message(path: str, ffmpeg: Ffmpeg) -> None:
    async with running(ffmpeg) as standin, opened(standin.url, path) as socket:
        await socket.send("{}")
        message = json.loads(await socket.recv())
        assert socket.response is not None
        assert socket.response.headers["X-Correlation-ID"] == message["correlation_id"]
        assert socket.response.headers["Server"].startswith("ih-mcp-standin/")
        assert standin.recorder.sessions[0].correlation_id == message["correlation_id"]


@pytest.mark.parametrize(
    ("more", "strict", "selected"),
    [
        ({"subprotocols": ["access_token", KEY]}, True, "access_token"),
        ({"subprotocols": [KEY]}, False, KEY),
        ({"additional_headers": {"Authorization": f"bearer  {KEY}"}}, True, None),
    ],
)
async def test_a_credential_may_come_in_these_forms(
    more: dict[str, Any], strict: bool, selected: str | None, ffmpeg: Ffmpeg
) -> None:
    async with running(ffmpeg, strict=strict) as standin:
        async with opened(standin.url, **more) as socket:
            assert socket.subprotocol == selected
            assert await until(socket, "session.ready")
        kept = standin.recorder.sessions[0].headers
        assert not {"authorization", "sec-websocket-protocol"} & set(kept)


@pytest.mark.parametrize(
    ("more", "path", "strict", "status", "code"),
    [
        ({"subprotocols": [KEY]}, V1.path, True, 401, "ih2001"),
        ({"subprotocols": [f"bearer.{KEY}"]}, V1.path, False, 401, "ih2001"),
        ({"additional_headers": {}}, V1.path, False, 401, "ih2002"),
        ({"additional_headers": {}}, f"{V1.path}?access_token={KEY}", False, 401, "ih2002"),
        ({"additional_headers": {"Authorization": f"Basic {KEY}"}}, V1.path, False, 401, "ih2002"),
        ({}, "/v3/stream/analyze", False, 404, None),
        ({}, "/v1/stream", True, 404, None),
    ],
)
async def test_other_handshakes_are_refused(
    more: dict[str, Any],
    path: str,
    strict: bool,
    status: int,
    code: str | None,
    ffmpeg: Ffmpeg,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(ffmpeg, strict=strict) as standin:
        with pytest.raises(InvalidStatus) as refused:
            async with opened(standin.url, path, **more):
                pass
    response = refused.value.response
    assert caplog.records == []
    assert response.status_code == status
    assert response.headers["X-Correlation-ID"]
    if code is not None:
        assert json.loads(response.body)["error_id"] == code


@shows("refusals-a-browser-cannot-see")
@pytest.mark.parametrize(
    ("key", "model", "code", "close"),
    [(KEY, "inter-9", "ih4005", 1008), ("ih_test_no_backend", "inter-2", "ih1003", 1013)],
)
async def test_a_refused_model_is_told_by_header_and_hidden_by_subprotocol(
    key: str, model: str, code: str, close: int, ffmpeg: Ffmpeg
) -> None:
    path = f"{V2.path}?model={model}"
    async with running(ffmpeg) as standin:
        async with opened(
            standin.url, path, additional_headers={"Authorization": f"Bearer {key}"}
        ) as socket:
            assert json.loads(str(await socket.recv()))["data"]["code"] == code
            await socket.wait_closed()
        async with opened(standin.url, path, subprotocols=["access_token", key]) as hidden:
            with pytest.raises(ConnectionClosed) as closed:
                await hidden.recv()
    assert socket.close_code == close
    assert closed.value.rcvd is None
    assert standin.recorder.sessions[1].end == f"refused unseen: {code}"


async def test_texts_by_order_cross_the_network_byte_for_byte(
    tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    raw = [
        '{"type" :  "x.y" , "b":1,"a":[ 1.0, 1e2, -0 ]}',
        '{"a":1,"a":2,"type":"dup"}',
        '{"type":"ä\\u00e4 \U0001f600\u2028","data":{"rationale":"' + "é" * 100_000 + '"}}',
        " ",
    ]
    steps = [{"at": "ready", "send": text} for text in raw]
    record = tmp_path / "record.jsonl"
    async with running(ffmpeg, *steps, record_path=record) as standin:
        async with opened(standin.url) as socket:
            received = await until(socket, "session.ready")
            received += [str(await socket.recv()) for _ in raw]
            await socket.send(toy(0, 9))
            await socket.send('{"type":"session.close"}')
            received += [str(text) async for text in socket]
        assert socket.close_code == 1000
        assert received[1:5] == raw
        assert standin.recorder.sessions[0].texts == received
        told = (await get(standin.url, "/standin/sessions")).json()
        assert told[0]["texts"] == received
        assert told[0]["end"] == "session.ended"
    lines = record.read_text(encoding="utf-8").split("\n")
    assert [json.loads(line) for line in lines if line] == received


@pytest.mark.parametrize("size", [1, 7, 10_000_000])
async def test_a_message_may_leave_in_frames_that_cut_a_character(
    size: int, ffmpeg: Ffmpeg
) -> None:
    steps = [{"at": "ready", "send": "é€😀" * 50}, {"at": "message", "frames": size}]
    async with running(ffmpeg, *steps) as standin:
        async with opened(standin.url) as socket:
            frames = [[part async for part in socket.recv_streaming()] for _ in range(2)]
        assert ["".join(map(str, parts)) for parts in frames] == standin.recorder.sessions[0].texts
    assert (len(frames[1]) > 1) is (size < 100)


async def test_a_reset_reaches_the_client_as_a_lost_connection(ffmpeg: Ffmpeg) -> None:
    async with running(ffmpeg, {"at": "segment", "n": 2, "reset": True}) as standin:
        async with opened(standin.url) as socket:
            await until(socket, "session.ready")
            await socket.send(toy(0, 1))
            await socket.send(toy(1, 2, header=False))
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
        assert closed.value.rcvd is None
        assert standin.recorder.sessions[0].end == "reset by script"


async def test_a_segment_above_the_limit_is_answered_and_not_the_end(ffmpeg: Ffmpeg) -> None:
    async with running(ffmpeg) as standin, opened(standin.url) as socket:
        await until(socket, "session.ready")
        await socket.send(bytes(33_554_433))
        error = json.loads((await until(socket, "error"))[-1])
        assert (error["data"]["code"], error["data"]["segment"]) == ("ih6002", 1)
        await socket.send("{}")
        assert await until(socket, "session.updated")


async def _sent_and_heard(socket: ClientConnection, fragments: Sequence[bytes]) -> None:
    await socket.send(fragments)  # it may be cut off already here
    await socket.recv()


@shows("far-above-the-limit")
@pytest.mark.parametrize("fragments", [1, 50])
async def test_a_segment_far_above_the_limit_is_cut_off_without_a_word(
    fragments: int, ffmpeg: Ffmpeg
) -> None:
    async with running(ffmpeg, max_segment_bytes=100_000) as standin:
        async with opened(standin.url) as socket:
            await until(socket, "session.ready")
            with pytest.raises(ConnectionClosed) as closed:
                await _sent_and_heard(socket, [bytes(200_000 // fragments)] * fragments)
        assert closed.value.rcvd is None
        await standin.recorder.sessions[0].over.wait()
        assert standin.recorder.sessions[0].end == "reset: a message far above the limit"


async def test_a_segment_may_come_in_fragments(ffmpeg: Ffmpeg) -> None:
    media = toy(0, 9)
    async with running(ffmpeg) as standin, opened(standin.url) as socket:
        await until(socket, "session.ready")
        await socket.send(media[at : at + 500] for at in range(0, len(media), 500))
        await until(socket, "signal.detected")
        assert [size for size, _ in standin.recorder.sessions[0].segments] == [len(media)]


async def test_slow_analysis_stops_the_socket_and_not_the_memory(ffmpeg: Ffmpeg) -> None:
    gate = anyio.Event()

    def analyst() -> ScriptedAnalyst:
        return ScriptedAnalyst(gate=gate)

    options = Options(analyst=analyst, max_concurrent_windows=1, max_waiting_windows=1)
    megabytes = b"\n" * 4_000_000
    with anyio.fail_after(15):
        async with (
            serve(options, ffmpeg=ffmpeg, open_decoder=open_toy) as standin,
            opened(standin.url) as socket,
        ):
            await until(socket, "session.ready")
            with anyio.move_on_after(1.0) as stopped:
                for at in range(0, 600, 3):
                    await socket.send(toy(at, at + 3, header=at == 0) + megabytes)
            assert stopped.cancelled_caught
            assert len(standin.recorder.sessions[0].segments) < 12
            gate.set()


async def test_a_client_that_vanishes_is_noted(ffmpeg: Ffmpeg) -> None:
    async with running(ffmpeg) as standin:
        async with opened(standin.url) as socket:
            await until(socket, "session.ready")
            socket.transport.abort()
            await socket.wait_closed()
        await standin.recorder.sessions[0].over.wait()
        assert standin.recorder.sessions[0].end == "client went away"


async def test_stopping_cuts_off_sessions_and_is_quick(ffmpeg: Ffmpeg) -> None:
    async with running(ffmpeg, {"at": "ready", "stall": "reading"}) as standin:
        socket = await opened(standin.url)
        await until(socket, "session.ready")
        began = anyio.current_time()
    assert anyio.current_time() - began < 1.0
    await socket.wait_closed()
    assert standin.recorder.sessions[0].end == "the stand-in stopped"


async def test_a_taken_port_is_an_error_of_the_system(ffmpeg: Ffmpeg) -> None:
    async with running(ffmpeg) as standin:
        port = int(standin.url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            async with serve(ffmpeg=ffmpeg, port=port):
                pass


async def test_billing_can_be_read(ffmpeg: Ffmpeg) -> None:
    async with running(ffmpeg) as standin:
        async with opened(standin.url, V2.path) as socket:
            await until(socket, "session.ready")
            await socket.send(toy(0, 12))
            await socket.send('{"type":"session.close"}')
            await until(socket, "session.ended")
        told = (await get(standin.url, "/standin/billing")).json()
    assert told["stream_seconds"] == 12.0
    assert told["upload_seconds"] == 0.0


async def test_what_was_seen_can_be_read_with_its_figures_and_is_in_no_message(
    ffmpeg: Ffmpeg,
) -> None:
    figures = {"cycles": 3.5, "size_percent": 10.0}

    def sees(window: Window) -> Observations:
        found = replace(seen(), evidence=figures, start_seconds=window.start_seconds + 1)
        return Observations(signals=[found], engagement="neutral")

    async with running(ffmpeg, analyst=lambda: ScriptedAnalyst(sees=sees)) as on:
        async with opened(on.url) as socket:
            await until(socket, "session.ready")
            await socket.send(toy(0, 12))
            await socket.send('{"type":"session.close"}')
            texts = await until(socket, "session.ended")
        (told,) = (await get(on.url, "/standin/evidence")).json()
    assert [window["start"] for window in told["windows"]] == [0, 3, 6]
    assert told["windows"][0]["engagement"] == "neutral"
    assert told["windows"][0]["signals"] == [
        {
            "signal_type": "agreement",
            "probability": "high",
            "start": 1.0,
            "end": None,
            "rationale": "why",
            "evidence": figures,
        }
    ]
    assert not any("size_percent" in text for text in texts)


async def test_a_client_token_is_held_to_its_caps_at_the_door(ffmpeg: Ffmpeg) -> None:
    async with running(ffmpeg) as standin:
        body = {"api_key": KEY, "allowed_origins": ["https://a.example"]}
        token = (await post(standin.url, "/v1/client_tokens", json=body)).json()["access_token"]
        pair = ["access_token", token]
        async with opened(standin.url, subprotocols=pair, origin="https://a.example") as socket:
            await until(socket, "session.ready")
            for origin, status in (("https://b.example", 403), ("https://a.example", 429)):
                with pytest.raises(InvalidStatus) as refused:
                    async with opened(standin.url, subprotocols=pair, origin=origin):
                        pass
                assert refused.value.response.status_code == status


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v0/auth", b"{", 400, "ih4006"),
        ("/v1/auth", b"[]", 400, "ih4005"),
        ("/v1/auth", b'{"key_id":"k","scopes":["x"]}', 400, "ih2005"),
        ("/v1/auth", b'{"key_id":"k","key_secret":"s","scopes":[]}', 400, "ih4005"),
        ("/v1/client_tokens", b"{}", 401, "ih2002"),
        ("/v1/client_tokens", b'{"api_key":"ih_x","max_bytes":"many"}', 400, "ih4005"),
        ("/v1/client_tokens/revoke", b'{"api_key":"ih_x"}', 400, "ih4005"),
    ],
)
async def test_a_wrong_token_request_is_refused(
    path: str, body: bytes, status: int, code: str, ffmpeg: Ffmpeg
) -> None:
    async with running(ffmpeg) as standin:
        answer = await post(standin.url, path, content=body)
    assert answer.status_code == status
    told = answer.json()
    assert told["error_id"] == code
    assert told["correlation_id"] == answer.headers["X-Correlation-ID"]
    assert told["link"].startswith("https://docs.interhuman.ai/")


async def test_revoking_answers_with_nothing(ffmpeg: Ffmpeg) -> None:
    async with running(ffmpeg) as standin:
        body = {"api_key": KEY, "token": "ct_gone"}
        answer = await post(standin.url, "/v1/client_tokens/revoke", json=body)
    assert (answer.status_code, answer.content) == (204, b"")


async def test_answers_can_be_ordered_for_handshakes_and_requests(ffmpeg: Ffmpeg) -> None:
    steps = [
        {"at": "upgrade", "session": 1, "status": 503, "retry_after": 2},
        {"at": "upgrade", "session": 2, "status": 429, "error": "ih3001"},
        {"at": "request", "n": 1, "path": "/v1/auth", "status": 502},
    ]
    async with running(ffmpeg, *steps) as standin:
        answers = []
        for _ in range(2):
            with pytest.raises(InvalidStatus) as refused:
                async with opened(standin.url):
                    pass
            answers.append(refused.value.response)
        async with opened(standin.url) as socket:
            assert await until(socket, "session.ready")
        body = {"key_id": "k", "key_secret": "s", "scopes": ["interhumanai.stream"]}
        tries = [await post(standin.url, "/v1/auth", json=body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [503, 429]
    assert answers[0].headers["Retry-After"] == "2"
    assert json.loads(answers[1].body)["error_id"] == "ih3001"
    assert [answer.status_code for answer in tries] == [502, 200]


# --- uploads -------------------------------------------------------------------------------------


@shows("empty-upload")
@pytest.mark.parametrize(
    ("key", "path", "form", "media", "status", "code"),
    [
        (None, "/v1/upload/analyze", {}, b"x", 401, "ih2002"),
        ("ih_test_stream_only", "/v1/upload/analyze", {}, b"x", 403, "ih2003"),
        ("ih_test_no_quota", "/v1/upload/analyze", {}, b"x", 429, "ih3003"),
        (KEY, "/v1/upload/analyze", {}, None, 400, "ih4001"),
        (KEY, "/v0/upload/analyze", {}, b"", 400, "ih4001"),
        (KEY, "/v1/upload/analyze", {}, b"", 400, "ih4001"),
        (KEY, "/v2/upload/analyze", {"model": "inter-2"}, b"", 400, "ih4001"),
        (KEY, "/v1/upload/analyze", {}, b"x", 400, "ih4002"),
        (KEY, "/v1/upload/analyze", {}, bytes(1999), 400, "ih4002"),
        (KEY, "/v1/upload/analyze", {}, b"plain text", 400, "ih4002"),
        (KEY, "/v1/upload/analyze", {}, b"\x1a\x45\xdf\xa3broken", 422, "ih5002"),
        (KEY, "/v1/upload/analyze", {}, bytes(2001), 413, "ih4003"),
        (KEY, "/v2/upload/analyze", {}, b"x", 400, "ih4005"),
        (KEY, "/v2/upload/analyze", {"model": "inter-2", "wait_seconds": "x"}, b"x", 400, "ih4005"),
        (KEY, "/v2/upload/analyze", {"model": "inter-2-audio"}, b"x", 503, "ih1003"),
    ],
)
async def test_an_upload_is_looked_at_before_it_is_taken(
    key: str | None,
    path: str,
    form: dict[str, str],
    media: bytes | None,
    status: int,
    code: str,
    ffmpeg: Ffmpeg,
) -> None:
    async with running(ffmpeg, max_upload_bytes=2000, models=("inter-2",)) as standin:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        files = {"file": ("clip.mp4", media)} if media is not None else {"other": ("x", b"")}
        answer = await post(standin.url, path, headers=headers, data=form, files=files)
    assert (answer.status_code, answer.json()["error_id"]) == (status, code)


class _Vanishing:
    """Files that are found out to be none, whichever look it is."""

    def __init__(self, error: IhMcpError, *, facts: Facts | None = None) -> None:
        self._error = error
        self._facts = facts

    async def facts(self, path: Path) -> Facts:
        del path
        if self._facts is None:
            raise self._error
        return self._facts

    def chunks(self, path: Path) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        del path
        raise self._error


@pytest.mark.parametrize("error", [PathError("it is not the file any more"), MediaError("torn")])
@pytest.mark.parametrize("seconds", [10.0, None])
@pytest.mark.parametrize("is_known", [True, False])
async def test_whatever_is_found_wrong_with_a_file_is_no_fault_of_the_server(
    error: IhMcpError,
    seconds: float | None,
    is_known: bool,
    dialogue: Path,
    ffmpeg: Ffmpeg,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = await anyio.Path(dialogue).read_bytes()
    facts = replace(await probe(ffmpeg, dialogue), duration_seconds=seconds)
    files = _Vanishing(error, facts=facts if is_known else None)
    monkeypatch.setattr("ih_mcp.standin.server.app.MediaFiles", lambda _: files)
    async with running(ffmpeg) as standin:
        answers = [
            await post(
                standin.url,
                path,
                headers=BEARER,
                data=form,
                files={"file": ("clip.mp4", content)},
            )
            for path, form in (
                ("/v0/upload/analyze", {}),
                ("/v1/upload/analyze", {}),
                ("/v2/upload/analyze", {"model": "inter-2", "wait_seconds": "9"}),
            )
        ]
    said = [answer.json().get("error", answer.json()) for answer in answers]
    assert {body["error_id"] for body in said} == {"ih5002"}
    assert {answer.status_code for answer in answers} <= {200, 422}
    assert all(error.what in body["message"].lower() for body in said)


@pytest.mark.parametrize(
    ("name", "model", "code"),
    [
        ("film-dialogue-6s.mp4", "inter-2", None),
        ("film-dialogue-6s.mp4", "inter-2-audio", None),
        ("portrait-noaudio-22s.mp4", "inter-2", "ih5008"),
        ("portrait-noaudio-22s.mp4", "inter-2-audio", "ih5008"),
        ("talking-head-mpeg4-8s.mp4", "inter-2", "ih5003"),
        ("flower-vp8-vorbis-5s.webm", "inter-2", None),
    ],
)
async def test_real_files_are_taken_or_refused_for_their_tracks(
    name: str, model: str, code: str | None, shared_media: Path, ffmpeg: Ffmpeg
) -> None:
    content = await anyio.Path(shared_media / name).read_bytes()
    async with serve(Options(strict=True), ffmpeg=ffmpeg) as standin:
        answer = await post(
            standin.url,
            "/v2/upload/analyze",
            headers=BEARER,
            data={"model": model, "wait_seconds": "15"},
            files={"file": (name, content)},
            timeout=30,
        )
    told = answer.json()
    if code is not None:
        assert told["error_id"] == code
    else:
        assert (answer.status_code, told["status"]) == (200, "completed")
        assert told["result"]["windows"][-1]["end_seconds"] == told["result"]["duration_seconds"]


_SPAN = ("type", "start", "end", "probability")


@pytest.fixture(scope="module")
def part_2(dialogue: Path, ffmpeg: Ffmpeg) -> bytes:
    """The clip as MPEG-4 Part 2, in fragments."""
    encode = ["-t", "5", "-c:v", "mpeg4", "-c:a", "aac", "-movflags", "+frag_keyframe+empty_moov"]
    command = [ffmpeg.path, "-v", "error", "-i", str(dialogue), *encode, "-f", "mp4", "-"]
    return subprocess.run(command, check=True, capture_output=True).stdout


_LAST = {"session.ended", "completed"}


@shows("codecs")
@pytest.mark.parametrize("dialect", [V0, V1, V2, REALTIME], ids=lambda d: d.name)
async def test_a_stream_of_another_codec_is_refused_and_the_session_goes_on(
    dialect: Dialect, part_2: bytes, whole: Sequence[bytes], ffmpeg: Ffmpeg
) -> None:
    async with serve(ffmpeg=ffmpeg) as standin, opened(standin.url, dialect.path) as socket:
        for clip in (part_2, *whole[:2]):
            await socket.send(clip)
        if dialect is not V0:
            await socket.send('{"type":"session.close"}')
        told: list[dict[str, Any]] = []
        while not told or (told[-1].get("type") or told[-1]["status"]) not in _LAST:
            told.append(json.loads(str(await socket.recv())))
    assert any({"start", "signals"} & set(m.get("data", m)) for m in told)
    (error,) = [m.get("data", m) for m in told if "error" in {m.get("type"), m.get("status")}]
    assert (error.get("code") or error["error_id"], error["segment"]) == ("ih5004", 1)
    assert "codec mpeg4 is not taken; send H.264, VP8 or VP9" in error["message"]
    assert len(error["message"]) < 150


async def test_an_upload_of_another_codec_is_refused(part_2: bytes, ffmpeg: Ffmpeg) -> None:
    async with serve(ffmpeg=ffmpeg) as standin:
        files = {"file": ("clip.mp4", part_2)}
        answer = await post(standin.url, "/v1/upload/analyze", headers=BEARER, files=files)
    assert (answer.status_code, answer.json()["error_id"]) == (422, "ih5003")


@shows("upload-v0-is-signals")
async def test_a_v0_upload_answers_with_signals_alone(dialogue: Path, ffmpeg: Ffmpeg) -> None:
    content = await anyio.Path(dialogue).read_bytes()
    async with serve(ffmpeg=ffmpeg) as standin:
        files = {"file": ("clip.mp4", content)}
        both = [
            await post(standin.url, path, headers=BEARER, files=files, timeout=30)
            for path in ("/v0/upload/analyze", "/v1/upload/analyze")
        ]
        refused = await post(standin.url, "/v0/upload/analyze", headers=BEARER)
    v0, v1 = (answer.json() for answer in both)
    assert set(v0) == {"signals"}
    assert v0["signals"]
    assert {key for item in v0["signals"] for key in item} == {*_SPAN, "rationale"}
    spans = [[[item[key] for key in _SPAN] for item in told["signals"]] for told in (v0, v1)]
    assert spans[0] == spans[1]
    assert (refused.status_code, refused.json()["error_id"]) == (400, "ih4001")


async def test_what_an_upload_stands_on_is_kept_beside_its_answer(
    dialogue: Path, ffmpeg: Ffmpeg
) -> None:
    figures = {"cycles": 3.5}
    observed = Observations(signals=[replace(seen(), evidence=figures)], engagement="neutral")
    options = Options(analyst=lambda: ScriptedAnalyst(sees=lambda _: observed))
    files = {"file": ("clip.mp4", await anyio.Path(dialogue).read_bytes())}
    job = {"model": "inter-2", "wait_seconds": "15"}
    async with serve(options, ffmpeg=ffmpeg) as on:
        answers = [
            await post(on.url, path, headers=BEARER, data=form, files=files, timeout=30)
            for path, form in (("/v1/upload/analyze", {}), ("/v2/upload/analyze", job))
        ]
        told = (await get(on.url, "/standin/evidence")).json()
    assert [(item["path"], item["correlation_id"]) for item in told] == [
        (f"/v{number}/upload/analyze", answer.headers["X-Correlation-ID"])
        for number, answer in enumerate(answers, 1)
    ]
    result = answers[1].json()["result"]
    assert [window["end"] for window in told[1]["windows"]] == [
        pytest.approx(window["end_seconds"], abs=0.001) for window in result["windows"]
    ]
    for item in told:
        assert {window["engagement"] for window in item["windows"]} == {"neutral"}
        assert [w["signals"][0]["evidence"] for w in item["windows"]] == [figures] * len(
            item["windows"]
        )
    assert not any("cycles" in answer.text for answer in answers)


async def test_a_recording_that_does_not_tell_its_length_is_measured(
    shared_media: Path, ffmpeg: Ffmpeg
) -> None:
    recording = anyio.Path(shared_media / "mediarecorder" / "chromium-vp8-1s")
    chunks = [await p.read_bytes() for p in sorted([p async for p in recording.glob("chunk-*")])]
    async with serve(Options(max_upload_seconds=5), ffmpeg=ffmpeg) as standin:
        answers = [
            await post(
                standin.url,
                path,
                headers=BEARER,
                data={"model": "inter-2"},
                files={"file": ("recording.webm", b"".join(some))},
                timeout=30,
            )
            for path, some in (
                ("/v1/upload/analyze", chunks),
                ("/v2/upload/analyze", chunks),
                ("/v1/upload/analyze", chunks[:2]),
            )
        ]
    assert [answer.status_code for answer in answers] == [200, 400, 400]
    assert [answer.json().get("error_id") for answer in answers] == [None, "ih4004", "ih4007"]


class _Failing(ScriptedAnalyst):
    async def feed(self, item: object) -> None:
        raise ValueError(f"a {type(item).__name__} is no business of mine")


async def test_an_analyst_that_fails_is_an_error_of_ours(dialogue: Path, ffmpeg: Ffmpeg) -> None:
    content = await anyio.Path(dialogue).read_bytes()
    async with serve(Options(analyst=_Failing), ffmpeg=ffmpeg) as standin:
        files = {"file": ("clip.mp4", content)}
        result = await post(standin.url, "/v1/upload/analyze", headers=BEARER, files=files)
        form = {"model": "inter-2", "wait_seconds": "9"}
        job = await post(
            standin.url, "/v2/upload/analyze", headers=BEARER, data=form, files=files, timeout=30
        )
        async with opened(standin.url, V0.path) as socket:
            await socket.send(content)
            assert json.loads(await socket.recv())["status"] == "processing"
            assert json.loads(await socket.recv())["error_id"] == "ih1001"
    assert (result.status_code, result.json()["error_id"]) == (500, "ih1001")
    assert (job.status_code, job.json()["error"]["error_id"]) == (200, "ih1001")


async def test_a_job_that_is_not_waited_for_is_answered_with_202(
    dialogue: Path, ffmpeg: Ffmpeg
) -> None:
    content = await anyio.Path(dialogue).read_bytes()
    async with serve(ffmpeg=ffmpeg) as standin:
        answer = await post(
            standin.url,
            "/v2/upload/analyze",
            headers=BEARER,
            data={"model": "inter-2"},
            files={"file": ("clip.mp4", content)},
        )
        told = answer.json()
        other = {"Authorization": "Bearer ih_live_other"}
        foreign = await get(standin.url, told["status_url"], headers=other)
    assert answer.status_code == 202
    assert told["status"] in {"queued", "running"}
    assert set(told) == {"job_id", "status", "model", "created_at", "expires_at", "status_url"}
    assert len(told["job_id"]) == 32
    assert foreign.json()["error_id"] == "ih4021"
