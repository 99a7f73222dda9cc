"""What one caller may ask of this process: calls a minute, and calls that wait at the same time.

In memory: several processes count apart. What a tenant may have is bounded elsewhere: live streams
by its runtime, files by its folder, minutes by the journal.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp_types import CallToolResult
from starlette.datastructures import Headers
from starlette.types import Scope

from ih_mcp import observer
from ih_mcp.errors import CallerError
from ih_mcp.mcp_server.answers import failure

from .callers import Caller
from .forward import CALLER

_MAX_BUCKETS = 10_000  # of callers that are remembered; a token may name any


@dataclass(slots=True)
class _Bucket:
    """How many calls a caller may make now; it fills up evenly."""

    calls: float
    filled_at: float


class CallerLimits:
    """Counts the calls of each caller."""

    def __init__(self, *, max_calls_per_minute: int, max_waiting_polls: int) -> None:
        """Allow each caller so much.

        Args:
            max_calls_per_minute: Also how many may come at once.
            max_waiting_polls: Calls of poll_events that wait at the same time.
        """
        self._max_calls = max_calls_per_minute
        self._max_polls = max_waiting_polls
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self._polls = Counter[tuple[str, str]]()

    @property
    def waiting_polls(self) -> int:
        """How many polls of all callers wait."""
        return self._polls.total()

    def count_call(self, caller: Caller, *, now: float) -> None:
        """Count one call.

        Raises:
            CallerError: The caller made as many as it may; says when the next one may come.
        """
        bucket = self._bucket(caller, now)
        if bucket.calls < 1:
            seconds = math.ceil((1 - bucket.calls) * 60 / self._max_calls)
            raise CallerError(
                f"this caller has made the {self._max_calls} calls that it may make a minute",
                code="too_many_calls",
                retry=True,
                help=f"Call again in {seconds} s. Polls that wait need fewer calls; whoever runs "
                "this server sets IH_MCP_MAX_CALLS_PER_MINUTE.",
                facts={
                    "retry_after_s": seconds,
                    "max_calls_per_minute": self._max_calls,
                    "left": 0,
                },
            )
        bucket.calls -= 1

    @contextmanager
    def waiting(self, caller: Caller) -> Iterator[None]:
        """Count a call that waits while this is open.

        Raises:
            CallerError: As many of the caller's wait as may.
        """
        key = (caller.tenant, caller.name)
        if self._polls[key] >= self._max_polls:
            raise CallerError(
                f"{self._max_polls} calls of poll_events wait for this caller, which is the most",
                code="too_many_polls",
                retry=True,
                help="Wait for one of them to end, or poll with wait_s 0. Whoever runs this server "
                "sets IH_MCP_MAX_WAITING_POLLS.",
                facts={"retry_after_s": 5, "max_waiting_polls": self._max_polls, "left": 0},
            )
        self._polls[key] += 1
        try:
            yield
        finally:
            self._polls[key] -= 1
            if not self._polls[key]:
                del self._polls[key]

    def _bucket(self, caller: Caller, now: float) -> _Bucket:
        key = (caller.tenant, caller.name)
        bucket = self._buckets.pop(key, None) or _Bucket(self._max_calls, now)
        filled = bucket.calls + (now - bucket.filled_at) * self._max_calls / 60
        bucket.calls, bucket.filled_at = min(self._max_calls, filled), now
        self._buckets[key] = bucket  # the newest last
        if len(self._buckets) > _MAX_BUCKETS:
            del self._buckets[next(iter(self._buckets))]
        return bucket


class HeldBodies:
    """Counts the bytes of the bodies that each tenant's requests hold in memory.

    A body is counted by the length that its request declares, before any of it is read.
    """

    def __init__(self, *, max_bytes: int, max_body_bytes: int) -> None:
        """Allow each tenant so much.

        Args:
            max_body_bytes: No more of one body is ever read; so many count where a request does
                not declare its length.
        """
        self._max_bytes = max(max_bytes, 2 * max_body_bytes)
        self._max_body_bytes = max_body_bytes
        self._held = Counter[str]()

    @contextmanager
    def holding(self, tenant: str, size: int | None) -> Iterator[None]:
        """Count a body while this is open.

        Args:
            size: As declared; None where it is not.

        Raises:
            CallerError: The tenant's requests would hold too much.
        """
        size = self._max_body_bytes if size is None else min(size, self._max_body_bytes)
        if self._held[tenant] + size > self._max_bytes:
            raise CallerError(
                f"the bodies of this tenant's requests have {self._held[tenant]:_} bytes now; with "
                f"this one they would have more than {self._max_bytes:_}",
                code="too_many_bytes",
                retry=True,
                help="Send this one again when others are answered. Whoever runs this server sets "
                "IH_MCP_MAX_QUEUED_BYTES.",
                facts={"retry_after_s": 1, "max_bytes": self._max_bytes},
            )
        self._held[tenant] += size
        try:
            yield
        finally:
            self._held[tenant] -= size
            if not self._held[tenant]:
                del self._held[tenant]


def declared_bytes(scope: Scope) -> int | None:
    """How much of a request's body is held in memory; None where it does not say its length.

    A file is none of it: it goes to the disk as it comes.
    """
    if scope["method"] in {"GET", "HEAD"} or scope["path"].startswith("/files/"):
        return 0
    declared = Headers(scope=scope).get("content-length", "")
    return int(declared) if declared.isascii() and declared.isdigit() else None


class LimitingMiddleware:
    """Refuses the call of a tool that waits while too many do, as a tool's failure."""

    def __init__(self, limits: CallerLimits) -> None:
        self._limits = limits

    async def __call__(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Carry the request out, unless its caller may not make it now."""
        if ctx.method != "tools/call" or ctx.request is None:
            return await call_next(ctx)
        caller: Caller = ctx.request.scope[CALLER]
        try:
            self._limits.count_call(caller, now=anyio.current_time())
            if not _waits(ctx.params or {}):
                return await call_next(ctx)
            with self._limits.waiting(caller):
                return await call_next(ctx)
        except CallerError as exc:  # a tool's own became an answer already
            return _refusal(exc)


def _refusal(error: CallerError) -> CallToolResult:
    observer.note("ih_refused_total", 1, error.code)
    return failure(error)


def _waits(params: Mapping[str, object]) -> bool:
    arguments = params.get("arguments")
    given = arguments.get("wait_s") if isinstance(arguments, Mapping) else None
    return params.get("name") == "poll_events" and (given is None or given != 0)
