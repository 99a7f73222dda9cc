"""What an answer says of the next call: the one that an experienced caller would make now."""

from __future__ import annotations

from ih_mcp.streams.status import StreamStatus

DONE = "done: nothing follows"


def next_call(status: StreamStatus, *, cursor: int | None = None) -> str:
    """The call that goes on with a stream.

    Args:
        cursor: Up to which message the caller has read; None where that is not known.
    """
    poll = "poll_events" if cursor is None else f"poll_events(cursor={cursor})"
    if status.next_seq is None:
        return poll
    return f"push_segment(seq={status.next_seq}), then {poll}"


def read_rest(status: StreamStatus) -> str:
    """The call that reads on in a stream that was asked to end."""
    if status.is_over and status.last_cursor is not None:
        return (
            "poll_events from your last next_cursor; nothing follows if that is "
            f"{status.last_cursor}"
        )
    return "poll_events from your last next_cursor, until ended"
