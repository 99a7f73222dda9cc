"""What page and server say to each other over their WebSocket: JSON text, and chunks as they are.

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
                                              ←   taken {recording, seq}
                                              ←   written {at, server}        its bytes are sent
                                              ←   restart                     with a header
    dropped {seconds}, stop, end              →
                                              ←   left {why}                  no longer its seat
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ih_mcp.errors import CallerError

_Name = Annotated[str, Field(min_length=1, max_length=100)]


class _Word(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Hello(_Word):
    """The first one; shows the key a ticket was exchanged for."""

    type: Literal["hello"]
    key: _Name
    page: _Name
    cursor: int = Field(0, ge=0)
    """Of the newest message this page has."""


class Clock(_Word):
    """What time is it there?"""

    type: Literal["clock"]
    page: float
    """The page's clock, in milliseconds; it comes back with ours."""


class Claim(_Word):
    """The page wants to record."""

    type: Literal["claim"]
    takes_over: bool = False


class ChunkHead(_Word):
    """The next binary message is this chunk."""

    type: Literal["chunk"]
    recording: _Name
    seq: int = Field(ge=0)
    at: float
    """When the recorder handed it over, by the page's clock; it comes back once it is sent."""


class Dropped(_Word):
    """The page let go of what it recorded."""

    type: Literal["dropped"]
    seconds: float = Field(ge=0, le=86_400)


class Stop(_Word):
    """The recording is over; the stream goes on."""

    type: Literal["stop"]


class End(_Word):
    """The stream is to end."""

    type: Literal["end"]


Word = Hello | Clock | Claim | ChunkHead | Dropped | Stop | End
_WORDS: TypeAdapter[Word] = TypeAdapter(Annotated[Word, Field(discriminator="type")])


def read_word(text: str) -> Word:
    """What a page said.

    Raises:
        CallerError: It is none of the words above (`bad_word`).
    """
    try:
        return _WORDS.validate_json(text)
    except ValidationError as exc:
        raise CallerError(
            f"the page said what is not known here: {exc.errors(include_url=False)[0]['msg']}",
            code="bad_word",
            help="Reload the page.",
        ) from None


def write_word(kind: str, **values: object) -> str:
    """What the server says."""
    return json.dumps({"type": kind, **values}, separators=(",", ":"), default=str)
