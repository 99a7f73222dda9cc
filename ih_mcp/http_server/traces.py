"""Traces by OpenTelemetry, where its SDK is installed and `OTEL_*` names where they go.

The SDK of MCP makes a span for each request, below the caller's by the trace keys in `_meta`. An
API session is a span of its own, since it may last an hour; it links to the call that began it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec

from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanContext, SpanKind

from ih_mcp import __version__, observer

_ASKED = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_EXPORTER = "opentelemetry.exporter.otlp.proto.http"
_LOG = logging.getLogger("ih_mcp.http_server")


class SessionTracer:
    """Makes a span of each API session."""

    def __init__(self) -> None:
        self._tracer = trace.get_tracer("ih_mcp", __version__)

    def current_call(self) -> SpanContext:
        return trace.get_current_span().get_span_context()

    @contextmanager
    def session(self, call: object, *, leg: int, api: str) -> Iterator[None]:
        is_known = isinstance(call, SpanContext) and call.is_valid
        with self._tracer.start_as_current_span(
            "api session",
            context=Context(),  # not below the call, which is over long before
            kind=SpanKind.CLIENT,
            links=[Link(call)] if is_known and isinstance(call, SpanContext) else [],
            attributes={"ih.leg": leg, "ih.api": api},
        ):
            yield


@contextmanager
def traced() -> Iterator[None]:
    """Send traces where `OTEL_*` says, while this is open; without that, only link them."""
    shut_down = _start_exporting() if any(os.environ.get(name) for name in _ASKED) else None
    try:
        with observer.tracing(SessionTracer()):
            yield
    finally:
        if shut_down:
            shut_down()


def _start_exporting() -> Callable[[], None] | None:
    try:
        is_there = find_spec(_EXPORTER) is not None
    except ModuleNotFoundError:
        is_there = False
    if not is_there:
        _LOG.warning(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and the exporter is not installed: no traces "
            "are sent. Install ih-mcp[traces]."
        )
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    name = os.environ.get("OTEL_SERVICE_NAME") or "ih-mcp"
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    shut_down: Callable[[], None] = provider.shutdown
    return shut_down


@contextmanager
def within_trace(headers: Mapping[str, str]) -> Iterator[None]:
    """What is done here belongs to the trace that a request's `traceparent` names."""
    token = contexts.attach(propagate.extract(headers))
    try:
        yield
    finally:
        contexts.detach(token)


def trace_id() -> str:
    """Of the trace that is under way here; empty where there is none."""
    found = trace.get_current_span().get_span_context()
    return f"{found.trace_id:032x}" if found.is_valid else ""
