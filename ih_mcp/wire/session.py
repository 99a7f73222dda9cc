r"""The state machine of one API session, for either end, without a clock or a socket.

::

    GREETING --Ready--> OPEN --Close--> CLOSING --Ended--> ENDED
                          \-------------Ended------------/

A dialect without a greeting starts in OPEN. The same table serves the client and the stand-in:
a rule written twice is a rule that will differ. What a row does not name is not allowed there:
sending it is our mistake (`LocalProtocolError`), receiving it is theirs (`RemoteProtocolError`),
and neither changes the state.

Drive it like this::

    session = Session(V1, Side.CLIENT)
    message = session.receive(text)         # what a text frame means; state has moved on
    number = session.send_segment(size)     # may a binary message of this size go now? its number
    text = session.send(Close())            # the text to write
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from ih_mcp.errors import LocalProtocolError, RemoteProtocolError

from . import codec
from .dialects import Acknowledgement, Dialect, Limits
from .messages import (
    ClientMessage,
    Close,
    Closing,
    Completed,
    Config,
    Configure,
    Ended,
    Error,
    Processing,
    Reading,
    Ready,
    ServerMessage,
    Transcript,
    Updated,
)


class Side(StrEnum):
    CLIENT = "client"
    SERVER = "server"


class State(StrEnum):
    GREETING = "greeting"
    """Waiting for `Ready`; media would be refused."""
    OPEN = "open"
    CLOSING = "closing"
    """`Close` was sent: no more media; results still come."""
    ENDED = "ended"


class _Media:
    """Stands for a binary message in the table."""


_TABLE: Mapping[State, Mapping[tuple[Side, type], State]] = {
    State.GREETING: {
        (Side.SERVER, Ready): State.OPEN,
        (Side.SERVER, Error): State.GREETING,
    },
    State.OPEN: {
        (Side.CLIENT, _Media): State.OPEN,
        (Side.CLIENT, Configure): State.OPEN,
        (Side.CLIENT, Transcript): State.OPEN,
        (Side.CLIENT, Close): State.CLOSING,
        (Side.SERVER, Updated): State.OPEN,
        (Side.SERVER, Processing): State.OPEN,
        (Side.SERVER, Completed): State.OPEN,
        (Side.SERVER, Reading): State.OPEN,
        (Side.SERVER, Error): State.OPEN,
        (Side.SERVER, Ended): State.ENDED,
    },
    State.CLOSING: {
        (Side.SERVER, Closing): State.CLOSING,
        (Side.SERVER, Updated): State.CLOSING,
        (Side.SERVER, Reading): State.CLOSING,
        (Side.SERVER, Error): State.CLOSING,
        (Side.SERVER, Ended): State.ENDED,
    },
    State.ENDED: {},
}


_READS = tuple(  # of so few, quicker than a set: it asks no hash
    state for state, row in _TABLE.items() if row.get((Side.SERVER, Reading)) is state
)
"""Where a reading changes nothing; drawn from the table."""


class Session:
    """One API session as one end sees it."""

    def __init__(self, dialect: Dialect, side: Side, *, correlation_id: str = "") -> None:
        self.dialect = dialect
        self.side = side
        self._is_client = side is Side.CLIENT
        self.state = State.GREETING if dialect.greets else State.OPEN
        self.limits: Limits = dialect.limits
        """Those of the dialect until `Ready` declares others, which a client bounds."""
        self.config = Config()
        """The configuration that the server confirmed last."""
        self.correlation_id = correlation_id
        self.segments = 0
        """Binary messages so far; the last one's number."""
        self.unsettled: set[int] = set()
        """Segments without `Completed` or `Error`, on a dialect that acknowledges each segment."""
        self.max_drain_seconds: float | None = None
        """How long to wait for `Ended`, once `Closing` came."""
        self.last_error: Error | None = None
        """The newest `Error`; a close right after it is explained by it."""
        self.end_reason: str | None = None

    @property
    def is_settled(self) -> bool:
        """Whether every segment has its last word, as far as the dialect gives one."""
        return not self.unsettled

    def send(self, message: ClientMessage | ServerMessage, *, timestamp: str = "") -> str:
        """The text frame for `message`, to be written now.

        Raises:
            LocalProtocolError: The session is not in a state for it.
        """
        state = self._next(self.side, type(message), LocalProtocolError)
        if isinstance(message, Configure | Close | Transcript):
            text = codec.encode_client(message)
        else:
            text = codec.encode_server(
                message, self.dialect, correlation_id=self.correlation_id, timestamp=timestamp
            )
        self._note(message, state)
        return text

    def send_segment(self, size: int) -> int:
        """Admit a binary message of `size` bytes, to be written now; gives its number, from 1.

        Raises:
            LocalProtocolError: Not in a state for media, or outside the declared size.
        """
        self._next(self.side, _Media, LocalProtocolError)
        low, high = self.limits.min_segment_bytes, self.limits.max_segment_bytes
        if not low <= size <= high:
            raise LocalProtocolError(
                f"segment {self.segments + 1} has {size:_} bytes; this API session accepts "
                f"{low:_} to {high:_}",
                code="segment_too_large" if size > high else "segment_too_small",
                help="Cut shorter segments." if size > high else "Send more media at once.",
                facts={"bytes": size, "min_bytes": low, "max_bytes": high},
            )
        return self._count_segment()

    def receive(self, text: str) -> ServerMessage | ClientMessage:
        """Decode a text frame of the other end, and move to the next state.

        Raises:
            RemoteProtocolError: It cannot be read, or has no place in this state. The session
                goes on as before.
        """
        message: ServerMessage | ClientMessage
        if self._is_client:
            message = codec.decode_server(text, self.dialect)
            if isinstance(message, Reading) and self.state in _READS:
                return message  # nearly every message: nothing moves
            sender = Side.SERVER
        else:
            message = codec.decode_client(text, self.dialect)
            sender = Side.CLIENT
        self._note(message, self._next(sender, type(message), RemoteProtocolError))
        return message

    def receive_segment(self) -> int:
        """Take note of a client's binary message; gives its number, from 1.

        Every one is counted, also one that comes too late.

        Raises:
            RemoteProtocolError: Not in a state for media.
        """
        number = self._count_segment()
        self._next(Side.CLIENT, _Media, RemoteProtocolError)
        return number

    def _count_segment(self) -> int:
        self.segments += 1
        if self.dialect.acknowledgement is Acknowledgement.PER_SEGMENT:
            self.unsettled.add(self.segments)
        return self.segments

    def _next(
        self, sender: Side, kind: type, error: type[LocalProtocolError | RemoteProtocolError]
    ) -> State:
        try:
            return _TABLE[self.state][sender, kind]
        except KeyError:
            name = "media" if kind is _Media else kind.__name__
            raise error(
                f"{name} from the {sender.value} while the session is {self.state.value}",
                code="out_of_order",
            ) from None

    def _note(self, message: ServerMessage | ClientMessage, state: State) -> None:
        self.state = state
        match message:
            case Reading():  # first: most messages are, and they steer nothing
                pass
            case Ready(limits=limits, correlation_id=correlation_id):
                self.limits = limits.bounded_by(self.dialect.limits) if self._is_client else limits
                self.correlation_id = correlation_id or self.correlation_id
            case Updated(config):
                self.config = config
            case Closing(max_drain_seconds):
                self.max_drain_seconds = max_drain_seconds
            case Ended(reason):
                self.end_reason = reason
            case Error(segment=segment):
                self.last_error = message
                self._settle(segment)
            case Completed(segment):
                self._settle(segment)
            case _:
                pass

    def _settle(self, segment: int | None) -> None:
        if segment is not None:
            self.unsettled.discard(segment)
