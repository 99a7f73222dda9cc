"""The log as JSON lines, for programs that collect logs."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from ih_mcp.redaction import redact

from .traces import trace_id


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message, the trace, and a traceback where one is."""

    def format(self, record: logging.LogRecord) -> str:
        found = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "trace_id": trace_id(),
            "exception": self.formatException(record.exc_info) if record.exc_info else "",
        }
        return redact(json.dumps({name: value for name, value in found.items() if value}))


def log_as_json() -> None:
    """Let every handler of this process write JSON; call it before the SDK sets up its own."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.getLogger().addHandler(handler)
    for each in logging.getLogger("ih_mcp.audit").handlers:
        each.setFormatter(JsonFormatter())
