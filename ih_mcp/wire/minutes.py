"""How much media was used, and how much may be: the rules that bound the bill. Pure.

The service bills seconds that it analysed and delivered (docs: launch blog); what it drops or
refuses is free. What became of media is often known late or never, so a budget counts every second
that was given to a connection, before it is sent, and takes back only what the service reports as
dropped or refused. It may count too much after a lost connection, and never too little.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from ih_mcp.errors import MinutesUsedUpError, UsedUpError

from .ranges import Ranges

PER_STREAM = "IH_MCP_MAX_MINUTES_PER_STREAM"
PER_DAY = "IH_MCP_MAX_MINUTES_PER_DAY"
PER_MONTH = "IH_MCP_MAX_MINUTES_PER_MONTH"
BYTES_PER_DAY = "IH_MCP_MAX_BYTES_PER_DAY"
LIVE_STREAMS = "IH_MCP_MAX_LIVE_STREAMS"
ASK_OVER = "IH_MCP_ASK_OVER_MINUTES"
_SLACK_SECONDS = 1e-6  # of sums of fractions


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaUse:
    """How much media was used, in seconds."""

    delivered_seconds: float = 0.0
    """Given to a connection; the service may have received less."""
    analysed_seconds: float = 0.0
    """Analysed, as far as the service reports it."""
    dropped_seconds: float = 0.0
    """Received and not analysed, as the service reports: dropped or refused."""

    def __add__(self, other: MediaUse) -> MediaUse:
        return MediaUse(
            delivered_seconds=self.delivered_seconds + other.delivered_seconds,
            analysed_seconds=self.analysed_seconds + other.analysed_seconds,
            dropped_seconds=self.dropped_seconds + other.dropped_seconds,
        )

    def __sub__(self, other: MediaUse) -> MediaUse:
        return MediaUse(
            delivered_seconds=self.delivered_seconds - other.delivered_seconds,
            analysed_seconds=self.analysed_seconds - other.analysed_seconds,
            dropped_seconds=self.dropped_seconds - other.dropped_seconds,
        )

    @property
    def unknown_seconds(self) -> float:
        """Delivered, and nothing is known of it: it may be billed."""
        known = self.analysed_seconds + self.dropped_seconds
        return max(0.0, self.delivered_seconds - known)

    @property
    def counted_seconds(self) -> float:
        """What a budget counts: all that may be billed."""
        return max(0.0, self.delivered_seconds - self.dropped_seconds)

    def to_json(self) -> dict[str, float]:
        """The seconds by name; `unknown_s` only where there are any."""
        seconds = {
            "delivered_s": round(self.delivered_seconds, 3),
            "analysed_s": round(self.analysed_seconds, 3),
            "dropped_s": round(self.dropped_seconds, 3),
        }
        unknown = round(self.unknown_seconds, 3)
        return seconds | ({"unknown_s": unknown} if unknown else {})


class SessionMeter:
    """What became of the media of one API session, in seconds of the session's clock."""

    def __init__(self) -> None:
        self._sent = Ranges()
        self._left_out = Ranges()
        self._delivered_seconds = 0.0
        self._until_seconds = 0.0
        self._has_untimed = False

    def send(self, start: float | None, end: float | None, seconds: float) -> None:
        """Note media that was given to the connection.

        Args:
            start: Where it begins; None where its times cannot be read.
            end: Where it ends.
            seconds: Its length; where that cannot be read, the most it can be.
        """
        self._delivered_seconds += seconds
        if start is None or end is None:
            self._has_untimed = True
        else:
            self._sent.add(start, end)

    def reach(self, seconds: float) -> None:
        """Note that the service has analysed the media up to here."""
        if seconds > self._until_seconds:  # noqa: PLR1730 - nearly every message comes here
            self._until_seconds = seconds
        if self._has_untimed:  # its times are not known, but it was sent
            self._sent.add(0.0, seconds)

    def leave_out(self, start: float, end: float) -> None:
        """Note media that the service reports as not analysed."""
        self._left_out.add(start, end)

    @property
    def use(self) -> MediaUse:
        dropped = sum(
            self._left_out.within(item.start_seconds, item.end_seconds).seconds
            for item in self._sent
        )
        analysed = sum(
            self._left_out.missing(item.start_seconds, item.end_seconds).seconds
            for item in self._sent.within(-math.inf, self._until_seconds)
        )
        return MediaUse(
            delivered_seconds=max(self._delivered_seconds, analysed + dropped),
            analysed_seconds=analysed,
            dropped_seconds=dropped,
        )


class Per(StrEnum):
    """What a limit is of."""

    STREAM = "stream"
    DAY = "day"
    MONTH = "month"

    def seconds_left(self, now: datetime) -> int | None:
        """How long this day or month, of UTC, lasts from now on; None for a stream."""
        if self is Per.STREAM:
            return None
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        end = midnight + timedelta(days=1)
        if self is Per.MONTH:
            end = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
        return math.ceil((end - now).total_seconds())


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteLimit:
    """How much media may be sent."""

    setting: str
    """The variable that sets it."""
    per: Per
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MinutesBudget:
    """What media is counted under, and how much of it may be sent."""

    endpoint: str = ""
    is_free: bool = False
    """Whether nothing is billed there, as for the stand-in: it is counted apart."""
    tenant: str = ""
    """Whose it is; empty for the one user of a machine."""
    limits: tuple[MinuteLimit, ...] = ()
    max_bytes_per_day: int | None = None
    max_live_streams: int | None = None
    """Of streams and uploads, in all processes together."""

    def has(self, per: Per) -> bool:
        """Whether something is limited by this."""
        return any(limit.per is per for limit in self.limits)

    def require(
        self,
        seconds: float,
        *,
        of_stream: float,
        of_day: float,
        of_month: float = 0.0,
        now: datetime,
    ) -> None:
        """Check that so much more media may be sent.

        Args:
            seconds: Of the media; 0 asks whether any may be sent at all.
            of_stream: How many seconds of the stream count already.
            of_day: How many seconds of the day count already.
            of_month: How many seconds of the month count already.
            now: The time of UTC, by which a refusal says when a limit begins anew.

        Raises:
            MinutesUsedUpError: It may not; names the limit and what is left.
        """
        used_seconds = {Per.STREAM: of_stream, Per.DAY: of_day, Per.MONTH: of_month}
        for limit in self.limits:
            used = used_seconds[limit.per]
            is_over = used + seconds > limit.seconds + _SLACK_SECONDS
            if is_over or (not seconds and used >= limit.seconds - _SLACK_SECONDS):
                raise minutes_error(limit, seconds, left=max(0.0, limit.seconds - used), now=now)

    def require_bytes(self, size: int, *, of_day: int, now: datetime) -> None:
        """Check that so many more bytes of media may be sent.

        Raises:
            UsedUpError: They may not (`bytes_used_up`).
        """
        most = self.max_bytes_per_day
        if most is None or of_day + size <= most:
            return
        left = max(0, most - of_day)
        raise UsedUpError(
            f"{size:_} bytes of media would exceed the limit of {most:_} a day; {left:_} are left",
            code="bytes_used_up",
            help=f"{_NEXT_DAY}, or ask the person who runs ih-mcp to raise {BYTES_PER_DAY}.",
            facts={
                "setting": BYTES_PER_DAY,
                "limit_bytes": most,
                "left_bytes": left,
                "needed_bytes": size,
                "retry_after_s": Per.DAY.seconds_left(now),
            },
        )

    def require_live_streams(self, live: int) -> None:
        """Check that one more stream or upload may begin.

        Args:
            live: How many there are, in all processes.

        Raises:
            UsedUpError: It may not (`streams_used_up`).
        """
        most = self.max_live_streams
        if most is None or live < most:
            return
        raise UsedUpError(
            f"{live} streams and uploads are under way in all processes together, and no more than "
            f"{most} may be",
            code="streams_used_up",
            retry=True,
            help="End one with end_stream, or wait for one to end; list_streams names them. The "
            f"person who runs ih-mcp can raise {LIVE_STREAMS}.",
            facts={"setting": LIVE_STREAMS, "live": live, "left": 0, "retry_after_s": 5},
        )


UNLIMITED = MinutesBudget()
_NEXT_DAY = "Wait for the next day, which begins at 00:00 UTC"
_HELP = {
    PER_STREAM: "Send a shorter part",
    PER_DAY: _NEXT_DAY,
    PER_MONTH: "Wait for the next month, which begins on its first day at 00:00 UTC",
    ASK_OVER: "Send a shorter part",
}


def minutes_error(
    limit: MinuteLimit, seconds: float, *, left: float, now: datetime
) -> MinutesUsedUpError:
    """The refusal of media that exceeds a limit."""
    after = limit.per.seconds_left(now)
    need = f"{_count(to_minutes(seconds, up=True))} of media" if seconds else "more media"
    rest = f"; {to_minutes(left, up=False):g} are left"
    if limit.per is Per.STREAM and left == limit.seconds:
        rest = ", which each stream and each upload has for itself: nothing of it was used"
    return MinutesUsedUpError(
        f"{need} would exceed the limit of {_count(limit.seconds / 60)} a {limit.per.value}{rest}",
        help=f"{_HELP[limit.setting]}, or ask the person who runs ih-mcp to raise {limit.setting}.",
        facts={
            "setting": limit.setting,
            "limit_minutes": limit.seconds / 60,
            "left_minutes": to_minutes(left, up=False),
            "needed_minutes": to_minutes(seconds, up=True),
        }
        | ({} if after is None else {"retry_after_s": after}),
    )


def _count(minutes: float) -> str:
    return "1 minute" if minutes == 1 else f"{minutes:g} minutes"


def to_minutes(seconds: float, *, up: bool) -> float:
    """Seconds as minutes with two digits, as every answer, table and sentence shows them.

    Args:
        up: Round up, for what is needed or was used; what is left is rounded down.
    """
    if not math.isfinite(seconds):
        return seconds
    hundredths = round(seconds, 3) / 60 * 100  # of milliseconds, as records have them
    tidy = round(hundredths, 6)  # 0.30000000000000004 is no more than 0.3
    return (math.ceil(tidy) if up else math.floor(tidy)) / 100


def sum_use(uses: Iterable[MediaUse]) -> MediaUse:
    """All of them together."""
    return sum(uses, start=MediaUse())
