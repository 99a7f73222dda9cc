"""The names by which a caller can wait for a message: its type, and what it reports. Pure."""

from __future__ import annotations

from .codec import decode_server, known_types, read_type
from .dialects import ENGAGEMENT_STATES, Dialect
from .json_fields import as_text
from .messages import Reading
from .progress import newest_items
from .spans import list_signals, name_signal, result_body


def read_names(text: str, dialect: Dialect) -> frozenset[str]:
    """The type of a message, the signals that it detects, and the states that it reports.

    Raises:
        RemoteProtocolError: As `decode_server`.
    """
    message = decode_server(text, dialect)
    if not isinstance(message, Reading):
        return frozenset({read_type(text, dialect)})
    payload = message.fields
    match message.kind:
        case "signal.detected":
            said = {name_signal(item) for item in list_signals(payload)}
        case "engagement.updated":
            said = {as_text(payload.get("state"))}
        case "result":  # docs: v0; one message has all of a segment
            body = result_body(payload)
            states = newest_items(body.get("engagement_state"))
            said = {name_signal(item) for item in list_signals(body)}
            said |= {as_text(item.get("state")) for item in states}
        case _:
            said = set()
    return frozenset({message.kind, *filter(None, said)})


def known_names(dialect: Dialect) -> tuple[str, ...]:
    """All names that a message of this version is known to have."""
    return (*known_types(dialect), *dialect.signals, *ENGAGEMENT_STATES)
