"""Traces as an operator gets them: sent by the real exporter to a collector that listens here."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ih_mcp.net.listen import open_listener, serve_app, url_of
from ih_mcp.standin.server.serve import RunningStandin
from tests.plain_http import plain_http
from tests.reliability.replicas import KEY, call, open_client, open_fleet, put_segment

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="`traces` is not installed")
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

pytestmark = pytest.mark.timeout(120)
CALLER_TRACE, CALLER_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector:
    """Keeps what is sent to it by OTLP over HTTP."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.paths: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        zipped = request.headers.get("content-encoding") == "gzip"
        self.bodies.append(gzip.decompress(body) if zipped else body)
        self.paths.add(request.url.path)
        await Response(b"", media_type="application/x-protobuf")(scope, receive, send)

    @property
    def spans(self) -> list[Span]:
        requests = map(ExportTraceServiceRequest.FromString, self.bodies)
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for of_scope in resource.scope_spans
            for span in of_scope.spans
        ]

    @property
    def service_names(self) -> set[str]:
        return {
            pair.value.string_value
            for body in self.bodies
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for pair in resource.resource.attributes
            if pair.key == "service.name"
        }


def sent_to(url: str) -> dict[str, str]:
    """The environment of who sends traces there, where a test's loop may answer late."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_TIMEOUT": "300"}


@asynccontextmanager
async def open_collector() -> AsyncIterator[tuple[Collector, str]]:
    collector = Collector()
    with open_listener("127.0.0.1", 0) as listener:
        async with serve_app(collector, listener, max_message_bytes=1 << 16):
            yield collector, url_of(listener)


async def start_stream_within_a_trace(url: str) -> None:
    """As bytes: the SDK's client puts a trace of its own there, where this process makes traces."""
    headers = {
        "Accept": "application/json, text/event-stream",
        "Authorization": f"Bearer {KEY}",
        "MCP-Protocol-Version": "2025-11-25",
    }
    params = {
        "name": "start_stream",
        "arguments": {"include": []},
        "_meta": {"traceparent": f"00-{CALLER_TRACE}-{CALLER_SPAN}-01"},
    }
    call_ = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    async with plain_http(headers=headers) as http:
        answer = await http.post(f"{url}/mcp", json=call_)
    assert '"isError":false' in answer.text


async def test_traces_reach_a_collector_and_have_nothing_of_what_was_said(
    service: RunningStandin, database: str, tmp_path: Path
) -> None:
    async with (
        open_collector() as (collector, url),
        open_fleet(service.url, database, tmp_path) as fleet,
    ):
        replica = await fleet.start(
            INTERHUMAN_API_KEY="ih_k",  # of the service in here
            **sent_to(url),
            OTEL_SERVICE_NAME="of-a-test",
        )
        await start_stream_within_a_trace(replica.url)
        async with open_client(replica.url, "auto") as client:
            stream_id = (await call(client, "list_streams"))[0]["streams"][0]["stream_id"]
            await put_segment(replica.url, stream_id, 1)
            await call(client, "end_stream", stream_id=stream_id)
        replica.process.terminate()  # what was not sent yet is sent at the end
        with anyio.fail_after(60):
            assert await replica.end() == 0
    assert collector.paths == {"/v1/traces"}
    assert collector.service_names == {"of-a-test"}
    spans = collector.spans
    (start,) = [each for each in spans if each.trace_id.hex() == CALLER_TRACE and each.kind == 2]
    assert start.name == "tools/call start_stream"
    assert start.parent_span_id.hex() == CALLER_SPAN
    (session,) = [each for each in spans if each.name == "api session"]
    assert [(link.trace_id.hex(), link.span_id) for link in session.links] == [
        (CALLER_TRACE, start.span_id)
    ]
    everything = b"".join(collector.bodies)
    for secret in (KEY.encode(), b"acme", stream_id.encode(), b"session.ready"):
        assert secret not in everything
