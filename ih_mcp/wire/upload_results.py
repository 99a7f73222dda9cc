"""The result of an upload as one reading, in the shape that v0 gives each segment. Pure."""

from __future__ import annotations

import json

from .codec import MAX_READ_CHARS
from .json_fields import as_mapping
from .messages import Reading
from .progress import newest_items


def read_upload_result(body: str) -> Reading | None:
    """What the service's answer says of the file; None where it cannot be read, or is too long.

    v1 answers with the result, v2 with a job that holds it (skill: v2 upload; sdk 1.3.4).
    """
    if len(body) > MAX_READ_CHARS:
        return None
    try:
        answer = as_mapping(json.loads(body))
    except (ValueError, RecursionError):
        return None
    result = as_mapping(answer.get("result")) or answer
    windows = newest_items(result.get("windows"))
    fields = {
        "signals": [item for window in windows for item in newest_items(window.get("signals"))],
        "engagement_state": [
            {
                "state": window.get("engagement_status"),
                "start": window.get("start_seconds"),
                "end": window.get("end_seconds"),
            }
            for window in windows
        ],
        **{name: result[name] for name in _AS_THEY_ARE if result.get(name) is not None},
    }
    return Reading("result", fields)


_AS_THEY_ARE = ("signals", "engagement_state", "conversation_quality")
