"""What the operator sees: metrics, traces, the log; and that no caller can make them grow."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry import trace

from ih_mcp import observer
from ih_mcp.errors import ConfigurationError
from ih_mcp.http_server import metrics as metrics_module
from ih_mcp.http_server.json_log import JsonFormatter
from ih_mcp.http_server.metrics import METRICS, Metrics
from ih_mcp.http_server.serve import TeamServer, open_team_server
from ih_mcp.settings import Settings
from ih_mcp.wire.endings import EndReason
from tests.plain_http import plain_http
from tests.streams.test_all_or_nothing import cluster, webm_header

from .conftest import Era, Team, said

pytest.importorskip("prometheus_client")


@pytest.fixture
async def observed(settings: Settings) -> AsyncIterator[tuple[Team, TeamServer]]:
    changed = settings.model_copy(update={"admin_listen": "127.0.0.1:0"})
    async with open_team_server(changed) as server:
        yield Team(server.url, server.app, changed), server


async def read(server: TeamServer) -> str:
    async with plain_http() as http:
        answer = await http.get(f"{server.admin_url}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return answer.text


def sample(text: str, name: str) -> float:
    """The sum of a metric's samples that begin with `name`."""
    found = [line for line in text.splitlines() if line.startswith(name)]
    assert found, name
    return sum(float(line.rpartition(" ")[2]) for line in found)


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_the_metrics_of_a_stream(observed: tuple[Team, TeamServer], era: Era) -> None:
    team, server = observed
    async with team.client(era=era) as client, team.http() as http:
        stream_id = said(await client.call_tool("start_stream", {}))["stream_id"]
        data = webm_header() + cluster(0)
        assert (await http.put(f"/streams/{stream_id}/segments/1", content=data)).is_success
        live = await read(server)
        assert sample(live, "ih_streams{") == 1
        await client.call_tool("poll_events", {"stream_id": "st_none"})
        await client.call_tool("no_such_tool", {})
        await client.call_tool("end_stream", {"stream_id": stream_id, "wait_s": 20})
        last = said(await client.call_tool("poll_events", {"stream_id": stream_id}))["next_cursor"]
    text = await read(server)
    assert sample(text, "ih_messages_total") == last > 0
    assert sample(text, "ih_visible_seconds_count") == last
    assert sample(text, "ih_journal_commit_seconds_count") >= 1
    assert sample(text, "ih_journal_waiting_bytes") == 0
    assert sample(text, "ih_segments_total{") == 1
    assert sample(text, 'ih_refused_total{code="unknown_stream"}') == 1
    assert sample(text, "ih_waiting_polls") == 0
    assert sample(text, "ih_lease_seconds_left") == math.inf
    operations = "mcp_server_operation_duration_seconds_count{"
    counted = {
        error: sum(
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith(operations)
            if 'gen_ai_tool_name="poll_events"' in line and f'error_type="{error}"' in line
        )
        for error in ("", "tool_error")
    }
    assert counted == {"": 1, "tool_error": 1}
    assert 'gen_ai_tool_name="other"' in text
    assert 'http_route="/streams/{id}/segments/{seq}"' in text
    assert "process_cpu_seconds_total" in text
    for word in (stream_id, "acme", "ann", "no_such_tool", "st_none"):
        assert word not in text


def test_a_lost_session_is_a_gap_and_a_move() -> None:
    counted = Metrics()
    with observer.observing(counted):
        for reason in EndReason:
            observer.note("ih_gaps_total", 1, reason.value)
        observer.note("ih_moves_total", 1, "renewed", "next")
    text = counted.render({}, {}).decode()
    assert sample(text, 'ih_gaps_total{reason="connection_lost"}') == 1
    assert sample(text, "ih_moves_total{") == 1
    observer.note("ih_gaps_total", 1, "connection_lost")  # nobody observes any more
    text = counted.render({}, {}).decode()
    assert sample(text, 'ih_gaps_total{reason="connection_lost"}') == 1


def test_what_comes_from_outside_cannot_make_series_without_end() -> None:
    counted = Metrics()
    for number in range(1000):
        counted.note("ih_refused_total", 1, (f"code_{number}",))
        counted.note("ih_refused_total", 1, ("a text\nof the service",))
    text = counted.render({}, {}).decode()
    assert text.count("ih_refused_total{") == metrics_module._MAX_VALUES + 1
    assert sample(text, 'ih_refused_total{code="other"}') == 2000 - metrics_module._MAX_VALUES
    assert len(counted._writes) < 2000


def test_no_label_is_a_stream_or_a_tenant() -> None:
    assert len({row.name for row in METRICS}) == len(METRICS)
    for row in METRICS:
        assert not {"stream", "stream_id", "tenant", "caller", "text", "message"} & set(row.labels)


async def test_no_page_of_a_browser_reads_the_metrics(
    observed: tuple[Team, TeamServer],
) -> None:
    team, server = observed
    async with plain_http() as http:
        refused = await http.get(f"{server.admin_url}/metrics", headers={"Origin": "http://a.b"})
        assert refused.status_code == 403
        assert (await http.get(f"{server.admin_url}/mcp")).status_code == 404
    async with team.http() as http:
        assert (await http.get("/metrics")).status_code == 404  # not where callers are


@pytest.mark.parametrize(
    ("address", "why"),
    [("nowhere", "'nowhere' is no address"), ("203.0.113.1:0", "cannot listen on 203.0.113.1:0")],
)
async def test_an_admin_address_that_is_none_is_refused(
    settings: Settings, address: str, why: str
) -> None:
    with pytest.raises(ConfigurationError, match=why) as refused:
        async with open_team_server(settings.model_copy(update={"admin_listen": address})):
            pass
    assert refused.value.help


def test_without_the_library_the_start_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics_module, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match="not installed") as refused:
        Metrics()
    assert "ih-mcp[team]" in refused.value.help


# --- traces --------------------------------------------------------------------------------------


TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def spans() -> Any:
    """The spans of this process; a provider can be set once in it."""
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    exporter = memory.InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_a_session_s_span_links_to_the_call_that_began_its_stream(
    own_team: Team, spans: Any, era: Era
) -> None:
    spans.clear()
    async with own_team.client(era=era) as client:
        with trace.get_tracer("test").start_as_current_span("agent") as agent:
            started = said(await client.call_tool("start_stream", {}))  # by keys in `_meta`
        ended = {"stream_id": started["stream_id"], "wait_s": 20}
        assert said(await client.call_tool("end_stream", ended))["ended"]
    found = {span.name: span for span in spans.get_finished_spans()}
    call, session = found["tools/call start_stream"], found["api session"]
    assert call.context.trace_id == agent.get_span_context().trace_id
    assert session.parent is None
    assert [link.context.span_id for link in session.links] == [call.context.span_id]
    assert dict(session.attributes) == {"ih.leg": 0, "ih.api": "v1"}


async def test_a_request_s_traceparent_is_the_trace_of_its_calls(
    own_team: Team, spans: Any
) -> None:
    spans.clear()
    async with own_team.http() as http:
        http.headers["traceparent"] = PARENT
        body = {
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "list_streams", "arguments": {}},
        }  # fmt: skip
        headers = {
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2025-11-25",
        }
        assert (await http.post("/mcp", json=body, headers=headers)).status_code == 200
    traces = {
        f"{span.context.trace_id:032x}"
        for span in spans.get_finished_spans()
        if span.name == "tools/call list_streams"
    }
    assert traces == {TRACE}


def test_the_log_is_json_with_the_trace(spans: Any) -> None:

    record = logging.LogRecord("ih_mcp.audit", logging.INFO, "", 0, "push %s", ("1\n2",), None)
    with trace.get_tracer("t").start_as_current_span("s") as span:
        line = JsonFormatter().format(record)
        wanted = f"{span.get_span_context().trace_id:032x}"
    found = json.loads(line)
    assert "\n" not in line
    assert found["trace_id"] == wanted
    assert (found["level"], found["logger"], found["message"]) == (
        "info",
        "ih_mcp.audit",
        "push 1\n2",
    )
    assert "trace_id" not in json.loads(JsonFormatter().format(record))
    assert spans is not None
