"""The messages between page and server on their WebSocket: JSON text, and chunks as they are.

::

    page                                          server
    hello {key, page, cursor}                 →
                                              ←   welcome {stream_id, may_record, …}
    clock {page}                              →
                                              ←   clock {page, server}
                                              ←   news {entries, changes}     again and again
    claim {takes_over}                        →
                                              ←   seated {recording, next_seq}, or refused
    chunk {recording, seq, at}, binary        →
                                              ←   full {waiting_bytes}        it has to wait
                                              ←   taken {recording, seq}, or refused
                                              ←   written {at, server}        its bytes are sent
                                              ←   restart                     with a header
    dropped {seconds}, stop, end              →
    another                                   →   once the stream is over
                                              ←   another {ticket}, or refused
                                              ←   left {why}                  another one records
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ih_mcp.errors import CallerError

_Name = Annotated[str, Field(min_length=1, max_length=100)]


class _PageMessage(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Hello(_PageMessage):
    """The page's first message; it carries the key that a ticket was exchanged for."""

    type: Literal["hello"]
    key: _Name
    page: _Name
    cursor: int = Field(0, ge=0)
    """Of the newest message this page has."""


class ClockRequest(_PageMessage):
    """The page asks for the time of the server."""

    type: Literal["clock"]
    page: float
    """The page's clock, in milliseconds; it comes back with ours."""


class RecordRequest(_PageMessage):
    """The page asks to record into the stream."""

    type: Literal["claim"]
    takes_over: bool = False


class ChunkHeader(_PageMessage):
    """Describes the chunk that the next binary message holds."""

    type: Literal["chunk"]
    recording: _Name
    seq: int = Field(ge=0)
    at: float
    """When the recorder handed it over, by the page's clock; it comes back once sent."""


class MediaDropped(_PageMessage):
    """The page dropped media that it had recorded."""

    type: Literal["dropped"]
    seconds: float = Field(ge=0, le=86_400)


class StopRecording(_PageMessage):
    """The page stopped recording; the stream goes on."""

    type: Literal["stop"]


class EndRequest(_PageMessage):
    """The page asks that the stream ends."""

    type: Literal["end"]


class AnotherRequest(_PageMessage):
    """The page, whose stream is over, asks for a new stream to record into."""

    type: Literal["another"]


PageMessage = (
    Hello
    | ClockRequest
    | RecordRequest
    | ChunkHeader
    | MediaDropped
    | StopRecording
    | EndRequest
    | AnotherRequest
)
_PAGE_MESSAGES: TypeAdapter[PageMessage] = TypeAdapter(
    Annotated[PageMessage, Field(discriminator="type")]
)


def decode_page_message(text: str) -> PageMessage:
    """The message that a page sent.

    Raises:
        CallerError: It is none of the messages above (`bad_word`).
    """
    try:
        return _PAGE_MESSAGES.validate_json(text)
    except ValidationError as exc:
        why = exc.errors(include_url=False)[0]["msg"]
        raise CallerError(
            f"the page sent a message that is not known here: {why}",
            code="bad_word",
            help="Reload the page.",
        ) from None


def encode_server_message(kind: str, **values: object) -> str:
    """A message to the page, as JSON text."""
    return json.dumps({"type": kind, **values}, separators=(",", ":"), default=str)
