"""The key for the service that a caller sent with a call, for all that this call does.

It is found while the call lasts, also by tasks that the call starts and that go on longer: these
find none afterwards. A stream that was begun with it keeps it for itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ih_mcp.redaction import hold_secret, release_secret

_KEYS: ContextVar[tuple[list[str], ...]] = ContextVar("caller_key", default=())


@contextmanager
def using_caller_key(key: str | None) -> Iterator[None]:
    """Let `find_caller_key` find this key while the block is open; None leaves all as it is."""
    if key is None:
        yield
        return
    holder = [key]  # emptied at the end: the context of a task that was begun in here stays
    hold_secret(key)
    token = _KEYS.set((holder,))
    try:
        yield
    finally:
        _KEYS.reset(token)
        holder.clear()
        release_secret(key)


def find_caller_key() -> str | None:
    """The key of the call that is under way here; None where there is none."""
    return next((key for holder in _KEYS.get() for key in holder), None)
