"""Checks credentials, and removes every known credential from the texts that leave.

A credential is known from the moment it is read or minted. Errors and records are redacted where
they are made, answers and log records once more where they leave. Messages of the API are not
redacted, because they are handed on byte for byte.
"""

from __future__ import annotations

import html
import json
import logging
import re
import threading
import traceback
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import quote, quote_plus

from .printable import escape_unprintable_lines

HIDDEN = "(hidden)"
MAX_CHARS = 2000
"""The longest foreign text inside a text of ours."""
_MIN_SECRET_CHARS = 8  # chosen: a shorter one would take ordinary words out as well
_MAX_MINTED = 16  # tokens expire, and a process may mint one each quarter of an hour
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2

_lasting: dict[str, None] = {}
_minted: deque[str] = deque(maxlen=_MAX_MINTED)
_held: Counter[str] = Counter()
_forms: tuple[str, ...] = ()
_LOG = logging.getLogger("ih_mcp")


def clean_credential(credential: str) -> str:
    """Strip the blanks and line breaks around a credential.

    Raises:
        ValueError: A header cannot hold it; the error names the place, and never the value.
    """
    found = credential.strip()
    for place, char in enumerate(found, 1):
        if not "!" <= char <= "~":
            raise ValueError(
                f"has {_describe_character(char)} as character {place} of {len(found)}; a "
                "credential has only visible ASCII characters, so copy it again"
            )
    return found


def _describe_character(char: str) -> str:
    if char.isspace():
        return "a blank or line break"
    return "a control character" if char.isascii() else "a character that is not ASCII"


def is_token(credential: str) -> bool:
    """Whether the name of a subprotocol can hold a credential."""
    return _TOKEN.fullmatch(credential) is not None


def register_secret(secret: str, *, expires: bool = False) -> None:
    """Redact `secret` in every text from now on."""
    if len(secret) < _MIN_SECRET_CHARS:
        return
    if not expires:
        _lasting[secret] = None
    elif secret not in _minted:
        _minted.append(secret)
    _write_forms()


def hold_secret(secret: str) -> None:
    """Redact `secret` in every text until `release_secret` was called as often."""
    if len(secret) >= _MIN_SECRET_CHARS:
        _held[secret] += 1
        _write_forms()


def release_secret(secret: str) -> None:
    """Forget a secret that `hold_secret` has made known, once."""
    if secret in _held:
        _held[secret] -= 1
        if not _held[secret]:
            del _held[secret]
            _write_forms()


def _write_forms() -> None:
    global _forms  # noqa: PLW0603 - what a process knows
    known = {form for one in (*_lasting, *_minted, *list(_held)) for form in written_forms(one)}
    _forms = tuple(sorted(known, key=len, reverse=True))  # one may be the beginning of another


def written_forms(secret: str) -> set[str]:
    """The forms in which libraries write a secret: plain, and as Python, JSON, HTML, URLs quote."""
    redact_and_cut = {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    lower = {re.sub("%..", lambda code: code[0].lower(), text) for text in redact_and_cut}
    written = {repr(secret)[1:-1], ascii(secret)[1:-1], json.dumps(secret)[1:-1]}
    return {secret, html.escape(secret), *redact_and_cut, *lower, *written}


def redact(text: str) -> str:
    """Hide every known secret in a text."""
    for form in _forms:
        if form in text:
            text = text.replace(form, HIDDEN)
    return text


def redact_values(value: object) -> object:
    """`redact_and_cut`, for all texts in a value that is ready for JSON."""
    if isinstance(value, str):
        return redact_and_cut(value)
    if isinstance(value, Mapping):
        return {redact(str(name)): redact_values(item) for name, item in value.items()}
    return [redact_values(item) for item in value] if isinstance(value, list | tuple) else value


def redact_and_cut(text: str) -> str:
    """Hide the secrets of a text that quotes somebody else, then cut it to `MAX_CHARS`."""
    found = redact(text)
    return found if len(found) <= MAX_CHARS else f"{found[: MAX_CHARS - 1]}…"


@contextmanager
def redacting_logs() -> Iterator[None]:
    """Keep known secrets and terminal controls out of log records while this block is open.

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
    except (TypeError, ValueError, KeyError):  # its arguments do not fit and are left out
        text = str(record.msg)
    record.msg, record.args = escape_unprintable_lines(redact(text)), ()
    if record.exc_info and record.exc_info[1]:
        record.exc_text = format_traceback(record.exc_info[1])
        record.exc_info = None  # a handler that draws tracebacks itself would draw this one
    if record.stack_info:
        record.stack_info = escape_unprintable_lines(redact(record.stack_info))


def format_traceback(error: BaseException) -> str:
    """The traceback of an error, without secrets and terminal controls."""
    return escape_unprintable_lines(redact("".join(traceback.format_exception(error))).rstrip())
