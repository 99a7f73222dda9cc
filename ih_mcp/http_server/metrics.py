"""What Prometheus reads at `/metrics` of the admin address: every metric is one row.

No label is a stream, a tenant or a text that came from outside: a value that is not known becomes
`other`, so that nobody can make series without end.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult
from mcp_types.methods import SPEC_CLIENT_METHODS, SPEC_CLIENT_NOTIFICATION_METHODS

from ih_mcp import observer
from ih_mcp.errors import ConfigurationError

OPERATION = "mcp_server_operation_duration_seconds"
REQUEST = "http_server_request_duration_seconds"
_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)  # OTel, MCP semconv
_SHORT_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5, 30)
_METHODS = SPEC_CLIENT_METHODS | SPEC_CLIENT_NOTIFICATION_METHODS
_LABEL = re.compile(r"[A-Za-z0-9_./{}-]{0,64}")
_MAX_VALUES = 100  # of one label, that our own code gives; more would be a mistake
OTHER = "other"


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric."""

    name: str
    kind: Literal["Counter", "Gauge", "Histogram"]
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


METRICS = (
    MetricRow(
        OPERATION,
        "Histogram",
        "How long MCP requests took.",
        ("mcp_method_name", "gen_ai_tool_name", "error_type", "mcp_protocol_version"),
        _SECONDS,
    ),
    MetricRow(
        REQUEST,
        "Histogram",
        "How long HTTP requests took; a poll that waits is one.",
        ("http_request_method", "http_route", "http_response_status_code"),
        _SECONDS,
    ),
    MetricRow("ih_streams", "Gauge", "Live streams.", ("state",)),
    MetricRow("ih_messages_total", "Counter", "Messages that the journal has committed."),
    MetricRow(
        "ih_visible_seconds",
        "Histogram",
        "From a message's arrival until it can be read.",
        (),
        _SHORT_SECONDS,
    ),
    MetricRow(
        "ih_journal_commit_seconds", "Histogram", "How long a commit took.", (), _SHORT_SECONDS
    ),
    MetricRow("ih_journal_waiting_bytes", "Gauge", "Messages that wait for a commit."),
    MetricRow(
        "ih_segments_total", "Counter", "Segments, when their API session is over.", ("receipt",)
    ),
    MetricRow("ih_media_seconds_total", "Counter", "Media that was sent to the service."),
    MetricRow("ih_gaps_total", "Counter", "Sessions that ended out of order.", ("reason",)),
    MetricRow(
        "ih_moves_total",
        "Counter",
        "How often a stream needed another API session, and whether it got one.",
        ("why", "result"),
    ),
    MetricRow(
        "ih_passed_on_total", "Counter", "Calls passed on to the owner of a stream.", ("result",)
    ),
    MetricRow("ih_refused_total", "Counter", "Calls of tools that were refused.", ("code",)),
    MetricRow("ih_waiting_polls", "Gauge", "Calls of poll_events that wait."),
    MetricRow(
        "ih_lease_seconds_left",
        "Gauge",
        "Until this replica's lease runs out, unless it is renewed; +Inf where it needs none.",
    ),
    MetricRow(
        "ih_journal_copy_away",
        "Gauge",
        "1 while commits wait for the synchronous copy of the database, which is away; else 0.",
    ),
)


class Metrics:
    """Counts what is noted. Nothing here is a global, so that tests do not meet."""

    def __init__(self) -> None:
        """Begin all metrics at zero.

        Raises:
            ConfigurationError: The library is not installed.
        """
        if find_spec("prometheus_client") is None:
            raise ConfigurationError(
                "IH_MCP_ADMIN_LISTEN is set, and the package prometheus-client is not installed",
                help="Install ih-mcp[team], or leave IH_MCP_ADMIN_LISTEN out.",
            )
        import prometheus_client as prometheus  # noqa: PLC0415 - with the admin address alone

        self._registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=self._registry)
        self._generate: Callable[..., bytes] = prometheus.generate_latest
        self.content_type: str = prometheus.CONTENT_TYPE_LATEST
        self._metrics: dict[str, Any] = {}
        for row in METRICS:
            more = {"buckets": row.buckets} if row.buckets else {}
            make = getattr(prometheus, row.kind)
            self._metrics[row.name] = make(
                row.name, row.meaning, row.labels, registry=self._registry, **more
            )
        self._known: dict[tuple[str, int], set[str]] = {}
        self._writes: dict[tuple[str, tuple[str, ...]], Callable[[float], None]] = {}

    def note(self, name: str, value: float, labels: tuple[str, ...]) -> None:
        """A change of a counter, or an observation of a histogram; of a gauge its new value."""
        write = self._writes.get((name, labels))
        if write is None:
            write = self._writes[name, labels] = self._find_write(name, labels)
            if len(self._writes) > _MAX_VALUES * len(METRICS):  # of values that became `other`
                self._writes.clear()
        write(value)

    def _find_write(self, name: str, labels: tuple[str, ...]) -> Callable[[float], None]:
        metric = self._metrics[name]
        if labels:
            metric = metric.labels(*(self._bounded(name, *each) for each in enumerate(labels)))
        for method in ("observe", "inc" if name.endswith("_total") else "set"):
            if write := getattr(metric, method, None):
                found: Callable[[float], None] = write
                return found
        raise AssertionError(name)

    def _bounded(self, name: str, place: int, value: str) -> str:
        known = self._known.setdefault((name, place), set())
        if value in known:
            return value
        if len(known) >= _MAX_VALUES or not _LABEL.fullmatch(value):
            return OTHER
        known.add(value)
        return value

    def render(self, streams: Mapping[str, int], gauges: Mapping[str, float]) -> bytes:
        """All metrics as Prometheus reads them.

        Args:
            streams: How many live streams have each state.
            gauges: What the other gauges have now, by name.
        """
        gauge = self._metrics["ih_streams"]
        gauge.clear()
        for state, count in streams.items():
            gauge.labels(state).set(count)
        for name, value in gauges.items():
            self._metrics[name].set(value)
        return self._generate(self._registry)


class MeasuringMiddleware:
    """Measures each MCP request."""

    def __init__(self, tools: Iterable[str]) -> None:
        """Measure.

        Args:
            tools: The names that may become a label.
        """
        self._tools = frozenset(tools)

    async def __call__(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Carry the request out, and note how long that took and how it ended."""
        if not observer.is_observed():
            return await call_next(ctx)
        started_at, error = time.perf_counter(), "cancelled"
        try:
            result = await call_next(ctx)
            error = "tool_error" if _is_tool_error(result) else ""
        except MCPError as exc:
            error = str(exc.error.code)
            raise
        except Exception as exc:
            error = type(exc).__qualname__
            raise
        finally:
            name = ctx.params.get("name") if ctx.params and ctx.method == "tools/call" else ""
            observer.note(
                OPERATION,
                time.perf_counter() - started_at,
                ctx.method if ctx.method in _METHODS else OTHER,
                name if name == "" or name in self._tools else OTHER,
                error,
                str(ctx.protocol_version),
            )
        return result


def _is_tool_error(result: HandlerResult) -> bool:
    match result:
        case CallToolResult(is_error=True) | {"isError": True}:
            return True
        case _:
            return False
