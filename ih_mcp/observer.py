"""What happens in this process, for whoever observes it: `ih-mcp serve` counts and traces it.

Where nobody observes, a note costs a comparison and nothing more is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol


class Observer(Protocol):
    """Notes what happens; it must neither wait nor fail."""

    def note(self, name: str, value: float, labels: tuple[str, ...]) -> None:
        """A metric of this name changed by a value, or a value of it was measured."""


class Tracer(Protocol):
    """Makes spans."""

    def current_call(self) -> object:
        """The call that is being answered now, for `session`."""

    def session(self, call: object, *, leg: int, api: str) -> AbstractContextManager[None]:
        """A span of one API session, linked to the call that began its stream."""


_observers: tuple[Observer, ...] = ()
_tracer: Tracer | None = None


def is_observed() -> bool:
    """Whether a note is worth its preparation."""
    return bool(_observers)


def note(name: str, value: float = 1.0, *labels: str) -> None:
    """Note a change of a metric; its names are in `http_server.metrics`."""
    for observer in _observers:
        observer.note(name, value, labels)


def current_call() -> object:
    return _tracer.current_call() if _tracer else None


def trace_session(call: object, *, leg: int, api: str) -> AbstractContextManager[None]:
    return _tracer.session(call, leg=leg, api=api) if _tracer else nullcontext()


@contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Let it observe while this is open."""
    global _observers  # noqa: PLW0603 - lower layers note without being handed anything
    _observers = (*_observers, observer)
    try:
        yield
    finally:
        _observers = tuple(each for each in _observers if each is not observer)


@contextmanager
def tracing(tracer: Tracer) -> Iterator[None]:
    """Let it trace while this is open."""
    global _tracer  # noqa: PLW0603 - as above
    before, _tracer = _tracer, tracer
    try:
        yield
    finally:
        _tracer = before
