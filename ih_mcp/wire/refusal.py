"""Makes an error of a refusal: it keeps the service's words and says what helps."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from ih_mcp.errors import ServiceError

from .error_catalog import (
    CATALOG,
    ErrorRow,
    Fault,
    Retry,
    StatusRow,
    find_close_code,
    find_error,
    find_http_status,
)

_CODES = {  # ours, for programs to branch on; the service's own id stands beside it
    Fault.CALLER: "refused",
    Fault.CREDENTIAL: "auth_failed",
    Fault.ACCOUNT: "quota_used_up",
    Fault.SERVICE: "service_error",
    Fault.NETWORK: "connection_lost",
    Fault.NOBODY: "ended_by_service",
}

_SECONDS = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")  # chosen: tenths too, though the RFC has none
_MAX_WAIT_SECONDS = 31 * 86_400.0  # chosen: quotas are counted by the month; longer is no wait


def refusal_error(
    what: str,
    *,
    error_id: str = "",
    message: str = "",
    link: str | None = None,
    correlation_id: str | None = None,
    status: int | None = None,
    close_code: int | None = None,
    retry_after: str | None = None,
    date: str | None = None,
) -> ServiceError:
    """The error for a refusal of the service.

    The error id decides first, then the HTTP status, then the close code; an unknown id is
    classified by its first digit (`error_catalog`).

    Args:
        what: What was asked, as a lower-case fragment.
        retry_after: The header's value.
        date: See `parse_retry_after`.
    """
    said = classify_refusal(error_id, status=status, close_code=close_code)
    fault, retry, advice = said.fault, said.retry, said.advice
    wait = parse_retry_after(retry_after, date=date)
    code = "rate_limited" if retry is Retry.AFTER_WAIT else _CODES[fault]
    facts: dict[str, object] = {
        "server_code": error_id or None,
        "server_message": message or None,
        "link": link,
        "correlation_id": correlation_id,
        "status": status,
        "close_code": close_code,
        "retry_after_s": wait,
    }
    if wait is not None and retry is not Retry.NEVER:
        advice = f"{advice} The service asks to wait {math.ceil(wait)} s."
    words = " ".join(word for word in (error_id, message) if word)
    if close_code:
        words = f"{words or said.meaning} (close code {close_code})"
    return ServiceError(
        f"{what}: {words}" if words else what,
        code=code,
        help=advice,
        retry=retry is not Retry.NEVER,
        facts={name: value for name, value in facts.items() if value is not None},
    )


def classify_refusal(
    error_id: str = "", *, status: int | None = None, close_code: int | None = None
) -> ErrorRow | StatusRow:
    """The row for a refusal; `refusal_error` describes which of the values decides."""
    if error_id in CATALOG or (error_id and status is None and close_code is None):
        return find_error(error_id)
    return find_http_status(status) if status is not None else find_close_code(close_code or 1006)


def parse_retry_after(retry_after: str | None, *, date: str | None = None) -> float | None:
    """How long `Retry-After` asks to wait, in seconds; None where it names no usable time.

    It is a number of seconds, or an HTTP date in one of three forms, which counts from the answer's
    own `Date`, so that a wrong clock here changes nothing (RFC 9110, 10.2.3 and 5.6.7).

    Args:
        date: The answer's `Date`; where it has none, the time of now in the same form.
    """
    if retry_after is None:
        return None
    if _SECONDS.fullmatch(said := retry_after.strip()):
        seconds = float(said)
    else:
        until, answered = _parse_http_date(said), _parse_http_date(date or "")
        if until is None or answered is None:
            return None
        seconds = (until - answered).total_seconds()
    return seconds if 0 <= seconds <= _MAX_WAIT_SECONDS else None


def _parse_http_date(http_date: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(http_date)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
