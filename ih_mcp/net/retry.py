"""Decides which failure deserves another try, when, and how often. Time and chance are arguments.

A new API session costs, starts at media time 0 and needs a media header first, so one is opened
only where it can help. Each unexplained end has its policy in `wire.endings`; what the service said
is classified by `wire.error_catalog`, whose exceptions stand here. A delay is drawn from the whole
of a growing span ("full jitter"), so that many clients that lost the same service do not come back
at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ih_mcp.errors import IhMcpError, ServiceError, TransportError
from ih_mcp.wire.endings import DEFAULT_POLICY, ENDINGS, ONCE, RetryPolicy
from ih_mcp.wire.error_catalog import Retry
from ih_mcp.wire.json_fields import as_integer
from ih_mcp.wire.refusal import classify_refusal

MAX_WAIT_SECONDS = 60.0
"""Where the service asks for a longer wait, the stream fails and says when to try again."""
_HOUR_SECONDS = 3600.0
_DEFAULT_WAIT_SECONDS = 30.0  # docs: where no `Retry-After` is given


_LOSSES: Mapping[str, RetryPolicy | None] = {
    "unreachable": DEFAULT_POLICY,  # no connection could be opened
    **{reason.value: row.retry for reason, row in ENDINGS.items()},
}
_BUSY = RetryPolicy(max_outage_seconds=300.0, min_seconds=5.0, base_seconds=5.0, max_seconds=60.0)
_IDS: Mapping[str, RetryPolicy] = {
    "ih1003": _BUSY,  # skill v2: no backend; nothing was billed
    "ih5004": ONCE,  # a header may have been lost; media that is wrong stays wrong
    "ih6003": replace(DEFAULT_POLICY, waits_for_media=True),
}
_CLOSES: Mapping[int, RetryPolicy] = {1011: RetryPolicy(max_attempts=2), 1013: _BUSY}


def find_policy(failure: IhMcpError) -> RetryPolicy | None:
    """The policy for a failure of a session; None where another attempt cannot help."""
    match failure:
        case ServiceError():
            return _policy_of_refusal(failure)
        case TransportError():
            return _LOSSES.get(failure.code)
        case _:
            return None


def _policy_of_refusal(failure: ServiceError) -> RetryPolicy | None:
    facts = failure.facts
    error_id = str(facts.get("server_code") or "")
    status, close_code = as_integer(facts.get("status")), as_integer(facts.get("close_code"))
    if error_id in _IDS:
        return _IDS[error_id]
    said = classify_refusal(error_id, status=status, close_code=close_code)
    if said.retry not in {Retry.NEW_SESSION, Retry.BACK_OFF, Retry.AFTER_WAIT}:
        return None
    if not error_id and close_code is not None and close_code in _CLOSES:
        return _CLOSES[close_code]
    usual_wait = _DEFAULT_WAIT_SECONDS if said.retry is Retry.AFTER_WAIT else 0.0
    wait = facts.get("retry_after_s", usual_wait)
    if not isinstance(wait, int | float) or wait > MAX_WAIT_SECONDS:
        return None  # too long to wait for
    max_outage_seconds = DEFAULT_POLICY.max_outage_seconds + wait
    return replace(DEFAULT_POLICY, min_seconds=float(wait), max_outage_seconds=max_outage_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryAttempt:
    """The next attempt to open a session."""

    seconds: float
    """From now on."""
    number: int
    """Which attempt it is, from 1."""
    max_attempts: int
    """The most attempts of this outage."""
    waits_for_media: bool = False


class RetryBudget:
    """The budget of attempts of one stream.

    Args:
        chance: Gives a number from 0 to 1 each time.
        per_hour: New sessions in any hour, over all outages and renewals.
    """

    def __init__(self, *, chance: Callable[[], float], per_hour: int = 10) -> None:
        self._chance = chance
        self._per_hour = per_hour
        self._number = 0
        self._outage_began: float | None = None
        self._sessions_opened: deque[float] = deque()

    @property
    def is_unstable(self) -> bool:
        """Whether the budget of an hour is used up."""
        return len(self._sessions_opened) >= self._per_hour

    def next_attempt(self, failure: IhMcpError, *, now: float) -> RetryAttempt | None:
        """The next attempt after a failure; None means that the stream gives up.

        Args:
            now: Monotonic, in seconds.
        """
        policy = find_policy(failure)
        self._forget_old_sessions(now)
        if policy is None or self._number >= policy.max_attempts:
            return None
        if self.is_unstable and not policy.waits_for_media:
            return None
        since = self._outage_began = now if self._outage_began is None else self._outage_began
        span = min(policy.max_seconds, policy.base_seconds * 2**self._number)
        seconds = policy.min_seconds + self._chance() * span
        if now + seconds - since > policy.max_outage_seconds:
            return None
        self._number += 1
        if not policy.waits_for_media:  # nothing broke, and each costs its caller a segment
            self._sessions_opened.append(now)
        return RetryAttempt(
            seconds=seconds,
            number=self._number,
            max_attempts=policy.max_attempts,
            waits_for_media=policy.waits_for_media,
        )

    def may_renew(self, *, now: float) -> bool:
        """Whether a session that ended in order may be followed: it costs as much as any new one.

        Where it is, say so with `count_renewal`.
        """
        self._forget_old_sessions(now)
        return not self.is_unstable

    def count_renewal(self, *, now: float) -> None:
        """Another session follows one that ended in order."""
        self._sessions_opened.append(now)

    def _forget_old_sessions(self, now: float) -> None:
        while self._sessions_opened and now - self._sessions_opened[0] > _HOUR_SECONDS:
            self._sessions_opened.popleft()

    def reset(self) -> None:
        """Begin a new outage with the next failure, because a session proved good."""
        self._number, self._outage_began = 0, None
