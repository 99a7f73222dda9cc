"""What every picture says in words: whose readings these are, of what, and since when."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

from ih_mcp.settings import BASE_URLS
from ih_mcp.stand_in import LOCAL
from ih_mcp.streams.status import StreamStatus


def about(status: StreamStatus, *, stream_id: str, api: str) -> list[str]:
    """Two lines: who analysed, and by which analyst, version, endpoint, time and stream."""
    facts = [*_analyst(status), f"API {api}", f"endpoint {status.endpoint or 'not recorded'}"]
    if began := read_time(status.started_at):
        facts.append(f"started {began:%Y-%m-%d %H:%M} UTC")
    return [_who(status), " · ".join([*facts, f"stream {stream_id}"])]


def _who(status: StreamStatus) -> str:
    if status.stand_in:
        return status.stand_in
    if status.endpoint in BASE_URLS or _is_interhuman(status.endpoint):
        return f"Readings from Interhuman{f' ({status.analyst})' if status.analyst else ''}."
    if status.endpoint:
        return "Readings from a server whose address is not one of Interhuman."
    return "Readings from an endpoint that is not recorded."


def _analyst(status: StreamStatus) -> list[str]:
    """Of the stand-in: it is known of the one in this package."""
    if not status.stand_in:
        return []
    known = status.endpoint == LOCAL and status.analyst
    return [f"analyst {known or 'not recorded'}"]


def _is_interhuman(url: str) -> bool:
    try:
        return (urlsplit(url).hostname or "").endswith(".interhuman.ai")
    except ValueError:
        return False


def read_time(text: str) -> datetime | None:
    """A time of a status in UTC, which it is in where it names no zone; None where it is none."""
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
