"""Everything that can go wrong, as one tree.

::

    IhMcpError
    ├── CallerError            what was asked cannot be done; the caller can ask otherwise
    │   ├── UnknownStreamError
    │   ├── StreamEndedError
    │   ├── ExpiredCursorError
    │   ├── UsedUpError        a limit of all processes together: minutes, bytes, live streams
    │   │   └── MinutesUsedUpError
    │   └── PathError          a file that is missing, not allowed, or not a regular file
    ├── ConfigurationError     a setting is missing or wrong; the user has to change it
    ├── MediaError             a file or segment that cannot become valid media, or ffmpeg failed
    ├── JournalError           the journal cannot keep what arrives; nothing more is acknowledged
    ├── LocalProtocolError     we were about to break the protocol
    ├── RemoteProtocolError    the other end broke the protocol
    ├── ServiceError           the service said no: its own code, message and link are kept
    └── TransportError         the connection failed or was lost

Every error says what happened, what helps, and whether the same call may succeed later. None shows
a secret that is known, whatever a library put into its text, and none grows with what the service
said.
Texts are fragments a caller can read without the source; facts are attributes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from typing import Self

from ih_mcp.redaction import redact_and_cut, redact_values


class IhMcpError(Exception):
    """The root: a foreseen failure, with what a reader needs to act on it.

    Args:
        what: What was asked and what happened, as a lower-case fragment.
        code: A stable word a program can branch on.
        help: The next step, as a sentence.
        retry: Whether the same call may succeed later without a change.
        facts: Named values of the failure, ready for JSON.
    """

    default_code = "error"

    def __init__(
        self,
        what: str,
        *,
        help: str = "",  # noqa: A002 - the word callers read
        code: str | None = None,
        retry: bool = False,
        facts: Mapping[str, object] | None = None,
    ) -> None:
        self.what = _with_one_stop(redact_and_cut(what))
        super().__init__(self.what)
        self.help = _with_one_stop(redact_and_cut(help))
        self.code = code or self.default_code
        self.retry = retry
        self.facts: Mapping[str, object] = {n: redact_values(v) for n, v in (facts or {}).items()}

    def with_facts(self, **facts: object) -> Self:
        """The same failure with more facts; this one stays as it is."""
        twin = copy(self)
        twin.facts = {**self.facts, **facts}
        return twin

    def with_help(self, help: str) -> Self:  # noqa: A002 - as above
        """The same failure with another next step; this one stays as it is."""
        twin = copy(self)
        twin.help = _with_one_stop(redact_and_cut(help))
        return twin


class CallerError(IhMcpError):
    default_code = "bad_argument"


class UnknownStreamError(CallerError):
    default_code = "unknown_stream"


class StreamEndedError(CallerError):
    default_code = "stream_ended"


class ExpiredCursorError(CallerError):
    default_code = "expired_cursor"


class UsedUpError(CallerError):
    """A limit of all processes together would be exceeded; `facts` says what is left."""


class MinutesUsedUpError(UsedUpError):
    """A limit of minutes would be exceeded; `facts` holds the setting and what is left."""

    default_code = "minutes_used_up"


class PathError(CallerError):
    default_code = "path_not_allowed"


class ConfigurationError(IhMcpError):
    default_code = "configuration"


class MediaError(IhMcpError):
    default_code = "bad_media"

    def about(self, name: str) -> MediaError:
        """The same of a file of this name, which the text begins with."""
        shown = ascii(name)[1:-1]
        return MediaError(
            f"{shown}: {self.what}",
            help=self.help,
            code=self.code,
            retry=self.retry,
            facts=self.facts,
        )


class JournalError(IhMcpError):
    default_code = "journal_failed"


class LocalProtocolError(IhMcpError):
    default_code = "local_protocol"


class RemoteProtocolError(IhMcpError):
    default_code = "remote_protocol"


class ServiceError(IhMcpError):
    """The service refused; `facts` holds its code, message, link and correlation id verbatim."""

    default_code = "service_refused"


class TransportError(IhMcpError):
    default_code = "connection_lost"


def _with_one_stop(text: str) -> str:
    """A text whose sentences end once, also where what they quote at their end is a sentence."""
    return _TWO_STOPS.sub(r"\1.", text)


_TWO_STOPS = re.compile(r"([\w)\]'`\"…])\.\.(?=\s|$)")


def as_sentence(fragment: str) -> str:
    """A fragment with a capital and a full stop; a name at its start keeps its case."""
    first = fragment.split(" ", 1)[0].replace("'", "")
    head = fragment[:1].upper() if first.isalpha() else fragment[:1]
    return f"{head}{fragment[1:]}{'' if fragment.endswith('.') else '.'}"


def join_help(what: str, help: str) -> str:  # noqa: A002 - the word callers read
    """What happened and what helps, one after the other; either may be a sentence already."""
    return f"{what.removesuffix('.')}. {help}".strip()


@contextmanager
def unwrap_single_error() -> Iterator[None]:
    """Task groups wrap the error of the block they surround; callers want the error itself."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None
