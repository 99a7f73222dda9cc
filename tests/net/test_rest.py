from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import anyio
import httpx2
import pytest
from anyio.abc import SocketAttribute, SocketStream

from ih_mcp.errors import ServiceError, TransportError
from ih_mcp.net import rest as rest_module
from ih_mcp.net.rest import Rest, open_rest


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[tuple[Rest, list[bytes]]]:
    """A server that gives these HTTP answers, one a connection, byte for byte."""
    left = list(answers)
    heard: list[bytes] = []

    async def answer(stream: SocketStream) -> None:
        async with stream:
            request = b""
            while b"\r\n\r\n" not in request or not _is_whole(request):
                request += await stream.receive()
            heard.append(request)
            await stream.send(left.pop(0))

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra(SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer)
        async with open_rest(f"http://127.0.0.1:{port}/") as rest:
            yield rest, heard
        tasks.cancel_scope.cancel()


def _is_whole(request: bytes) -> bool:
    head, _, body = request.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(body) >= int(value)
        if name.lower() == b"transfer-encoding":
            return body.endswith(b"0\r\n\r\n")
    return True


def http(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


ODD = '{ "b" :1.0,"a":1e2,"a":"\\u00e9é",\n"x":[ ]}'.encode()


async def test_a_body_comes_back_as_it_is() -> None:
    async with answering(http("200 OK", ODD), http("202 Accepted", ODD)) as (rest, heard):
        first = await rest.get("/v2/upload/jobs/j1", bearer="k")
        second = await rest.post("/v1/auth", {"a": 1})
    assert (first.status, first.body) == (200, ODD)
    assert (second.status, second.body) == (202, ODD)
    assert b"GET /v2/upload/jobs/j1 " in heard[0]
    assert b"authorization: bearer k" in heard[0].lower()
    assert b"authorization" not in heard[1].lower()


async def test_how_much_of_a_file_was_sent_is_said_as_it_goes(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    file.write_bytes(bytes(200_000))
    said: list[int] = []
    async with answering(http("200 OK", b"{}")) as (rest, _):
        await rest.upload("/v2/upload/analyze", file, [], bearer="k", on_read=said.append)
    assert said == sorted(said)
    assert len(set(said)) > 2
    assert said[-1] == 200_000


@pytest.mark.parametrize(
    ("name", "kind"), [("a.mp4", b"video/mp4"), ("a.unknown", b"application/octet-stream")]
)
async def test_a_file_is_sent_as_a_form(name: str, kind: bytes, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(b"\x00\x01" * 50_000)
    async with answering(http("200 OK", b"{}")) as (rest, heard):
        form = [("model", "inter-2"), ("include[]", "signals"), ("include[]", "x")]
        await rest.upload("/v2/upload/analyze", file, form, bearer="k")
    assert heard[0].count(b'name="include[]"') == 2
    assert b'name="file"; filename="%s"\r\nContent-Type: %s\r\n' % (name.encode(), kind) in heard[0]
    assert b"\x00\x01" * 50_000 in heard[0]


@pytest.mark.parametrize(
    ("status", "body", "code", "retry"),
    [
        ("401 Unauthorized", b'{"error_id":"ih2001","message":"No."}', "auth_failed", False),
        ("413 Too Large", b'{"error_id":"ih4003","message":"Big."}', "refused", False),
        ("429 Too Many", b'{"error_id":"ih3001","message":"Slow."}', "rate_limited", True),
        ("429 Too Many", b'{"error_id":"ih3003","message":"Used."}', "quota_used_up", False),
        ("503 Unavailable", b"<html>proxy</html>", "service_error", True),
        ("418 Teapot", b"[1]", "refused", False),
    ],
)
async def test_a_refusal_keeps_the_services_words(
    status: str, body: bytes, code: str, retry: bool
) -> None:
    answer = http(status, body, "Retry-After: 3", "X-Correlation-ID: c-1", "Location: http://x/")
    async with answering(answer) as (rest, _):
        with pytest.raises(ServiceError) as refused:
            await rest.get("/x", bearer="topsecret")
    assert (refused.value.code, refused.value.retry) == (code, retry)
    assert refused.value.facts["status"] == int(status[:3])
    assert refused.value.facts["retry_after_s"] == 3.0
    assert refused.value.facts["correlation_id"] == "c-1"
    assert refused.value.help
    assert ("may have given it" in refused.value.help) == (body[:1] == b"<")
    assert "topsecret" not in str(refused.value)


async def test_nobody_there_is_told() -> None:
    async with open_rest("http://127.0.0.1:9") as rest:
        with pytest.raises(TransportError, match="cannot be reached") as gone:
            await rest.get("/x", bearer="k")
    assert gone.value.retry


async def test_a_cancelled_upload_closes_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "talk.mp4"
    path.write_bytes(b"media")
    files: list[BinaryIO] = []
    is_sending = anyio.Event()

    opens = rest_module._open_upload

    def open_upload(source: Path, on_read: Callable[[int], None] | None) -> BinaryIO:
        files.append(opens(source, on_read))
        return files[-1]

    async def send_forever(*_: object, **__: object) -> None:
        is_sending.set()
        await anyio.sleep_forever()

    monkeypatch.setattr(Rest, "_call", send_forever)
    monkeypatch.setattr(rest_module, "_open_upload", open_upload)
    with anyio.fail_after(10):
        async with open_rest("http://127.0.0.1:9") as rest, anyio.create_task_group() as tasks:
            tasks.start_soon(partial(rest.upload, "/v2/upload", path, [], bearer="x"))
            await is_sending.wait()
            tasks.cancel_scope.cancel()
    assert [file.closed for file in files] == [True]


@pytest.mark.parametrize(("said", "words"), [("", "ReadError"), ("it is odd", "it is odd")])
async def test_an_error_of_the_library_is_told_by_its_words_or_else_by_its_name(
    said: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_rest("http://api.invalid") as rest:

        def fail(*_: object, **__: object) -> None:
            raise httpx2.ReadError(said)

        monkeypatch.setattr(rest._client, "stream", fail)
        with pytest.raises(TransportError) as failed:
            await rest.get("/v1/x", bearer="")
    assert failed.value.what == f"the connection to api.invalid broke during GET /v1/x: {words}"


JSON = "Content-Type: application/json"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (http("200 OK", b"{}", JSON, "Content-Length: -1"), "bad Content-Length"),
        (http("200 OK", b"{}", JSON, "Content-Length: 7"), "conflicting Content-Length headers"),
        (http("200 OK", b"{}", JSON, "Content-Encoding: gzip"), "while decompressing data"),
        (http("abc OK", b"{}"), "illegal status line"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "illegal chunk header"),
        (b"HTTP/1.1 101 Yes\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "UPGRADE event"),
        (http("200 OK", b"{}", "X: " + "a" * 200_000), "Receive buffer too long"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_answer_that_is_no_http_is_not_called_out_of_reach(
    answer: bytes, words: str
) -> None:
    async with answering(answer) as (rest, _):
        with pytest.raises(TransportError) as odd:
            await rest.post("/v1/auth", {})
    assert odd.value.what.startswith("127.0.0.1 answered POST /v1/auth with what cannot be read: ")
    assert words in odd.value.what
    assert (odd.value.code, odd.value.retry) == ("unreachable", True)


@pytest.mark.parametrize(
    "answer",
    [
        http("200 OK", b"{", "Content-Length: 9").replace(b"Content-Length: 1\r\n", b""),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
    ids=["declared", "chunked"],
)
async def test_an_answer_that_is_cut_off_is_said_to_be(answer: bytes) -> None:
    async with answering(answer) as (rest, _):
        with pytest.raises(TransportError) as cut:
            await rest.get("/x", bearer="k")
    assert cut.value.what.startswith("the connection to 127.0.0.1 broke during GET /x: peer closed")
    assert cut.value.retry


async def test_a_service_that_breaks_off_within_a_file_is_not_called_out_of_reach(
    tmp_path: Path,
) -> None:
    """As one does that refuses the file early; the answer it gave is lost with the connection."""
    path = tmp_path / "talk.mp4"
    path.write_bytes(bytes(30_000_000))  # more than the system takes before it is read

    async def refuse(stream: SocketStream) -> None:
        async with stream:
            await stream.receive(1)
            await stream.send(http("413 Too Large", b"{}"))  # the rest is not read: a reset

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra(SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, refuse)
        async with open_rest(f"http://127.0.0.1:{port}/") as rest:
            with pytest.raises(TransportError) as broken:
                await rest.upload("/v2/upload/analyze", path, [], bearer="k")
        tasks.cancel_scope.cancel()
    assert "127.0.0.1 broke during POST /v2/upload/analyze" in broken.value.what
    assert "check_setup checks the key" in broken.value.help
