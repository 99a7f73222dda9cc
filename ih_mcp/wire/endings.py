"""The ways one API session can end, one row for each: what it means, what helps, what comes next.

The socket names the end it saw, the leg adds what the messages tell, the stream makes its failure
of the row, and `net.retry` takes its policy from it. What the service itself said about a refusal
is classified by `error_catalog` instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from ih_mcp.errors import TransportError


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and after which delays another session is tried."""

    max_attempts: int = 6
    """In a row, until a session proves good."""
    max_outage_seconds: float = 60.0
    """Counted from the first failure; after that nothing more is tried."""
    min_seconds: float = 0.0
    """Before every attempt."""
    base_seconds: float = 0.5
    """The first delay is at most this; each later one at most twice as long."""
    max_seconds: float = 15.0
    """The longest delay that is drawn, without `min_seconds`."""
    waits_for_media: bool = False
    """Whether an attempt waits for media to send: the session before ended because none came."""


DEFAULT_POLICY = RetryPolicy()
ONCE = RetryPolicy(max_attempts=1)


class EndReason(StrEnum):
    """Why an API session is over. The values stand in records and are error codes too."""

    BY_REQUEST = "by_request"
    """We asked for the end, and the service said its last word."""
    END_OF_FILE = "end_of_file"
    """The same, at the end of the stream's file."""
    STOPPED = "stopped"
    """The same, before the end of the stream's file."""
    BY_SERVICE = "by_service"
    """The service closed without an error, and without being asked."""
    DRAIN_TIMEOUT = "drain_timeout"
    """We asked and waited as long as the service wanted; trailing results may be missing."""
    NOT_READY = "not_ready"
    """The service never said `session.ready`."""
    REFUSED = "refused"
    """The service closed with an error."""
    CONNECTION_LOST = "connection_lost"
    """The connection was reset or cut off, without a close code."""
    PEER_SILENT = "peer_silent"
    """The other end does not answer pings any more."""
    UPLOAD_STALLED = "upload_stalled"
    """The other end does not take bytes any more."""
    MESSAGE_TOO_BIG = "message_too_big"
    """The other end sent a larger message than is accepted, and we closed."""
    BROKEN_FRAMES = "broken_frames"
    """The other end broke the WebSocket protocol, and we closed."""
    HOST_STOPPED = "host_stopped"
    """This process stopped before the service had said its last word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What one `EndReason` means."""

    in_order: bool = False
    """Whether no result can be missing: the service said its last word because we asked for it."""
    is_failure: bool = True
    """Whether the stream fails with it, unless another session follows."""
    what: str = ""
    """The failure as a fragment; empty where it is none, or where the service's own words count."""
    help: str = ""
    retry: RetryPolicy | None = None
    """None where another session cannot help, or where the service's own words decide."""


_NEW_STREAM = "Start a new stream; what was received is kept."

ENDINGS: Mapping[EndReason, Ending] = MappingProxyType(
    {
        EndReason.BY_REQUEST: Ending(in_order=True, is_failure=False),
        EndReason.END_OF_FILE: Ending(in_order=True, is_failure=False),
        EndReason.STOPPED: Ending(in_order=True, is_failure=False),
        EndReason.BY_SERVICE: Ending(is_failure=False),
        EndReason.DRAIN_TIMEOUT: Ending(is_failure=False),
        EndReason.NOT_READY: Ending(
            what="the service opened the connection but never said that it is ready",
            help="Try again; if it stays so, check the key's scope and IH_MCP_ENDPOINT.",
            retry=ONCE,
        ),
        EndReason.REFUSED: Ending(),
        EndReason.CONNECTION_LOST: Ending(
            what="the connection was lost", help=_NEW_STREAM, retry=DEFAULT_POLICY
        ),
        EndReason.PEER_SILENT: Ending(
            what="the service does not answer any more", help=_NEW_STREAM, retry=DEFAULT_POLICY
        ),
        EndReason.UPLOAD_STALLED: Ending(
            what="the connection does not take video any more",
            help="Check the uplink, then start a new stream; what was received is kept.",
            retry=DEFAULT_POLICY,
        ),
        EndReason.MESSAGE_TOO_BIG: Ending(
            what="the service sent a message of more than 8 MiB, which is too big to accept",
            help=_NEW_STREAM,
            retry=ONCE,
        ),
        EndReason.BROKEN_FRAMES: Ending(
            what="the other end does not keep to the WebSocket protocol",
            help="Check IH_MCP_ENDPOINT and proxies in between.",
        ),
        EndReason.HOST_STOPPED: Ending(
            what="ih-mcp stopped before the service had said its last word", help=_NEW_STREAM
        ),
    }
)


def loss_error(reason: EndReason, detail: str = "") -> TransportError:
    """The failure of a session that the service did not explain.

    Args:
        detail: What the other end or the system said about it.
    """
    row = ENDINGS[reason]
    return TransportError(
        f"{row.what}: {detail}" if detail else row.what,
        code=reason.value,
        help=row.help,
        retry=row.retry is not None,
    )
