"""What the service refused, as an error that keeps its words and says what helps."""

from __future__ import annotations

import math

from ih_mcp.errors import ServiceError

from .catalog import CATALOG, End, Fault, Retry, Row, close_row, row, status_row

_CODES = {  # ours, for programs to branch on; the service's own id stands beside it
    Fault.CALLER: "refused",
    Fault.CREDENTIAL: "auth_failed",
    Fault.ACCOUNT: "quota_used_up",
    Fault.SERVICE: "service_error",
    Fault.NETWORK: "connection_lost",
    Fault.NOBODY: "ended_by_service",
}


def refusal(
    what: str,
    *,
    error_id: str = "",
    message: str = "",
    link: str | None = None,
    correlation_id: str | None = None,
    status: int | None = None,
    close_code: int | None = None,
    retry_after: str | None = None,
) -> ServiceError:
    """An error from whatever the service said.

    The id is believed first, then the HTTP status, then the close code; what is not known is read
    by its first digit (`catalog`).

    Args:
        what: What was asked, as a lower-case fragment.
        retry_after: The header's value; seconds are told as a number.
    """
    said = judged(error_id, status=status, close_code=close_code)
    fault, retry, advice = said.fault, said.retry, said.advice
    code = "rate_limited" if retry is Retry.AFTER_WAIT else _CODES[fault]
    facts: dict[str, object] = {
        "server_code": error_id or None,
        "server_message": message or None,
        "link": link,
        "correlation_id": correlation_id,
        "status": status,
        "close_code": close_code,
        "retry_after_s": _seconds(retry_after),
    }
    words = " ".join(word for word in (error_id, message) if word)
    return ServiceError(
        f"{what}: {words}" if words else what,
        code=code,
        help=advice,
        retry=retry is not Retry.NEVER,
        facts={name: value for name, value in facts.items() if value is not None},
    )


def judged(
    error_id: str = "", *, status: int | None = None, close_code: int | None = None
) -> Row | End:
    """The row that holds for what the service said; see `refusal` for the order of belief."""
    if error_id in CATALOG or (error_id and status is None and close_code is None):
        return row(error_id)
    return status_row(status) if status is not None else close_row(close_code or 1006)


def _seconds(retry_after: str | None) -> float | str | None:
    """`Retry-After` as a number where it is one; a date stays as it came."""
    try:
        seconds = float(retry_after) if retry_after is not None else None
    except ValueError:
        return retry_after
    return seconds if seconds is None or 0 <= seconds < math.inf else retry_after
