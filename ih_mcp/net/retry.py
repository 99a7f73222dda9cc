"""Which failure deserves another try, when, and how often: pure, time and chance are arguments.

A new API session costs, starts at media time 0 and needs a media header first, so it is opened
only where it can help. What the service said is judged by `wire.catalog`; the exceptions stand in
the tables here. Delays are drawn from the whole of a growing span ("full jitter"), so that many
clients that lost the same service do not come back at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ih_mcp.errors import IhMcpError, ServiceError, TransportError
from ih_mcp.wire.error_catalog import Retry
from ih_mcp.wire.refusal import judged

from .socket import Loss

NOT_READY = "not_ready"
"""The code of a session that opened but never said that it is ready."""
MOST_WAIT_SECONDS = 60.0
"""A service that asks for a longer wait is left; the caller is told when it may try again."""
_HOUR_SECONDS = 3600.0
_WAIT_SECONDS = 30.0  # docs: where no `Retry-After` is given


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How a kind of failure is answered."""

    tries: int = 6
    """In a row, until a session proves good."""
    outage_seconds: float = 60.0
    """From the first failure on; after that nothing more is tried."""
    least_seconds: float = 0.0
    """Before every try."""
    base_seconds: float = 0.5
    """The first delay is up to this; each later one up to twice as long."""
    cap_seconds: float = 15.0
    waits_for_media: bool = False
    """Only once there is something to send: the old session ended because there was nothing."""


_USUAL = Rule()
_ONCE = Rule(tries=1)
_LOSSES: Mapping[str, Rule] = {
    "unreachable": _USUAL,
    Loss.CONNECTION_LOST: _USUAL,
    Loss.PEER_SILENT: _USUAL,
    Loss.UPLOAD_STALLED: _USUAL,
    Loss.MESSAGE_TOO_BIG: _ONCE,
    NOT_READY: _ONCE,
}
_BUSY = Rule(outage_seconds=300.0, least_seconds=5.0, base_seconds=5.0, cap_seconds=60.0)
_IDS: Mapping[str, Rule] = {
    "ih1003": _BUSY,  # skill v2: no backend; nothing was billed
    "ih5004": _ONCE,  # a header may have been lost; media that is wrong stays wrong
    "ih6003": replace(_USUAL, waits_for_media=True),
}
_CLOSES: Mapping[int, Rule] = {1011: Rule(tries=2), 1013: _BUSY}


def rule(failure: IhMcpError) -> Rule | None:
    """How a failure of a session is answered; None where another try cannot help."""
    match failure:
        case ServiceError():
            return _refused(failure)
        case TransportError():
            return _LOSSES.get(failure.code)
        case _:
            return None


def _refused(failure: ServiceError) -> Rule | None:
    facts = failure.facts
    error_id = str(facts.get("server_code") or "")
    status, close_code = _number(facts.get("status")), _number(facts.get("close_code"))
    if error_id in _IDS:
        return _IDS[error_id]
    said = judged(error_id, status=status, close_code=close_code)
    if said.retry not in {Retry.NEW_SESSION, Retry.BACK_OFF, Retry.AFTER_WAIT}:
        return None
    if not error_id and close_code is not None and close_code in _CLOSES:
        return _CLOSES[close_code]
    wait = facts.get("retry_after_s", _WAIT_SECONDS if said.retry is Retry.AFTER_WAIT else 0.0)
    if not isinstance(wait, int | float) or wait > MOST_WAIT_SECONDS:
        return None  # too long to sit and wait for
    return replace(_USUAL, least_seconds=float(wait), outage_seconds=_USUAL.outage_seconds + wait)


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Another try."""

    seconds: float
    """From now on."""
    number: int
    """Of the try, from 1."""
    tries: int
    """How many there will be at most."""
    waits_for_media: bool = False


class Retries:
    """The budget of one stream.

    Args:
        chance: Gives a number from 0 to 1 each time.
        per_hour: New sessions in any hour, over all outages and renewals.
    """

    def __init__(self, *, chance: Callable[[], float], per_hour: int = 10) -> None:
        self._chance = chance
        self._per_hour = per_hour
        self._number = 0
        self._since: float | None = None
        self._spent: deque[float] = deque()

    @property
    def is_unstable(self) -> bool:
        """Whether the budget of an hour is used up."""
        return len(self._spent) >= self._per_hour

    def after(self, failure: IhMcpError, *, now: float) -> Again | None:
        """What to do after a failure; None means give up.

        Args:
            now: Monotonic, in seconds.
        """
        answer = rule(failure)
        self._let_go(now)
        if answer is None or self._number >= answer.tries:
            return None
        if self.is_unstable and not answer.waits_for_media:
            return None
        since = self._since = now if self._since is None else self._since
        span = min(answer.cap_seconds, answer.base_seconds * 2**self._number)
        seconds = answer.least_seconds + self._chance() * span
        if now + seconds - since > answer.outage_seconds:
            return None
        self._number += 1
        if not answer.waits_for_media:  # nothing broke, and each costs its caller a segment
            self._spent.append(now)
        return Again(
            seconds=seconds,
            number=self._number,
            tries=answer.tries,
            waits_for_media=answer.waits_for_media,
        )

    def may_renew(self, *, now: float) -> bool:
        """Whether a session that ended in order may be followed: it costs as much as any new one.

        Where it is, say so with `renewed`.
        """
        self._let_go(now)
        return not self.is_unstable

    def renewed(self, *, now: float) -> None:
        """Another session follows one that ended in order."""
        self._spent.append(now)

    def _let_go(self, now: float) -> None:
        while self._spent and now - self._spent[0] > _HOUR_SECONDS:
            self._spent.popleft()

    def recovered(self) -> None:
        """A session proved good: the next failure is the first of a new outage."""
        self._number, self._since = 0, None
