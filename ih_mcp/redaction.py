"""Credentials as text: which of them can be sent, and texts that leave without those we know.

A credential is known from the moment it is read or minted. Errors and records are redacted where
they are made, answers and log records once more where they leave. Messages of the API are not:
they are handed on byte for byte.
"""

from __future__ import annotations

import html
import json
import logging
import re
import threading
import traceback
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import quote, quote_plus

from .harmless import harmless_lines

HIDDEN = "(hidden)"
MAX_CHARS = 2000
"""Of a text that somebody else wrote, in a text of ours."""
_MIN_SECRET_CHARS = 8  # chosen: a shorter one would take ordinary words out as well
_MAX_MINTED = 16  # tokens expire, and a process may mint one each quarter of an hour
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2

_lasting: dict[str, None] = {}
_minted: deque[str] = deque(maxlen=_MAX_MINTED)
_forms: tuple[str, ...] = ()
_LOG = logging.getLogger("ih_mcp")


def checked(credential: str) -> str:
    """A credential without the blanks and line breaks around it.

    Raises:
        ValueError: No header can hold it; the text names the place, and never the value.
    """
    found = credential.strip()
    for place, char in enumerate(found, 1):
        if not "!" <= char <= "~":
            raise ValueError(
                f"has {_kind(char)} as character {place} of {len(found)}; a credential has only "
                "visible ASCII characters, so copy it again"
            )
    return found


def _kind(char: str) -> str:
    if char.isspace():
        return "a blank or line break"
    return "a control character" if char.isascii() else "a character that is not ASCII"


def is_token(credential: str) -> bool:
    """Whether a subprotocol's name can hold it."""
    return _TOKEN.fullmatch(credential) is not None


def register(secret: str, *, expires: bool = False) -> None:
    """From here on no text of ours shows `secret`."""
    global _forms  # noqa: PLW0603 - what a process knows
    if len(secret) < _MIN_SECRET_CHARS:
        return
    if not expires:
        _lasting[secret] = None
    elif secret not in _minted:
        _minted.append(secret)
    known = {form for one in (*_lasting, *_minted) for form in forms(one)}
    _forms = tuple(sorted(known, key=len, reverse=True))  # one may be the beginning of another


def forms(secret: str) -> set[str]:
    """A secret as libraries write it: as it is, and as Python, JSON, HTML and URLs quote it."""
    quoted = {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    lower = {re.sub("%..", lambda code: code[0].lower(), text) for text in quoted}
    written = {repr(secret)[1:-1], ascii(secret)[1:-1], json.dumps(secret)[1:-1]}
    return {secret, html.escape(secret), *quoted, *lower, *written}


def redact(text: str) -> str:
    """The text without any secret that is known."""
    for form in _forms:
        if form in text:
            text = text.replace(form, HIDDEN)
    return text


def redacted(value: object) -> object:
    """`quoted`, for all texts in a value that is ready for JSON."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping):
        return {redact(str(name)): redacted(item) for name, item in value.items()}
    return [redacted(item) for item in value] if isinstance(value, list | tuple) else value


def quoted(text: str) -> str:
    """A text that may hold what somebody else said: without secrets first, then cut to a bound."""
    found = redact(text)
    return found if len(found) <= MAX_CHARS else f"{found[: MAX_CHARS - 1]}…"


@contextmanager
def redacting_logs() -> Iterator[None]:
    """While this is open, no log record shows a known secret or steers a terminal.

    This holds for every library and handler, and for tracebacks of threads, which are logged.
    """
    make, hook = logging.getLogRecordFactory(), threading.excepthook

    def made(*given: object, **named: object) -> logging.LogRecord:
        record: logging.LogRecord = make(*given, **named)
        _redact_record(record)
        return record

    def log_thread(failed: threading.ExceptHookArgs) -> None:
        _LOG.error("a thread broke", exc_info=failed.exc_value)

    logging.setLogRecordFactory(made)
    threading.excepthook = log_thread
    try:
        yield
    finally:
        logging.setLogRecordFactory(make)
        threading.excepthook = hook


def _redact_record(record: logging.LogRecord) -> None:
    try:
        text = record.getMessage()
    except (TypeError, ValueError, KeyError):  # its arguments do not fit: they are left out
        text = str(record.msg)
    record.msg, record.args = harmless_lines(redact(text)), ()
    if record.exc_info and record.exc_info[1]:
        record.exc_text = broken(record.exc_info[1])
        record.exc_info = None  # a handler that draws tracebacks itself would draw this one
    if record.stack_info:
        record.stack_info = harmless_lines(redact(record.stack_info))


def broken(error: BaseException) -> str:
    """The traceback of an error, without secrets and without characters that steer a terminal."""
    return harmless_lines(redact("".join(traceback.format_exception(error))).rstrip())
