from __future__ import annotations

import os
import select
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import pytest

from ih_mcp.mcp_server.closed_pipe import wait_until_closed

WRITE, ADD, CLEAR, EOF, ERROR = -2, 0x1, 0x20, 0x8000, 0x4000  # sys/event.h of macOS


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(writer)


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot watch a pipe")
def test_the_end_of_the_reader_is_noticed_without_writing(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.write(writer, b"not read yet")
    waiting = threading.Thread(target=wait_until_closed, args=(writer,), daemon=True)
    waiting.start()
    os.close(reader)
    waiting.join()


@dataclass
class Event:
    ident: int
    filter: int
    flags: int


@dataclass
class Kqueue:
    """That of macOS, by its manual page: gives each event once, the end of file as a flag."""

    happens: list[int]
    changes: list[Event] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.happens.append(-1)  # closed

    def control(self, changes: list[Event], max_events: int) -> list[Event]:
        assert max_events == 1
        self.changes += changes
        flags = self.happens.pop(0)
        if flags == ERROR:
            raise OSError(22, "Invalid argument")
        return [Event(self.changes[0].ident, WRITE, flags)]


@pytest.fixture
def kqueue(monkeypatch: pytest.MonkeyPatch) -> Kqueue:
    """The path of macOS, with an order of events: twice there is room, then the reader is gone."""
    made = Kqueue([CLEAR, CLEAR, CLEAR | EOF, CLEAR])
    values = {"KQ_FILTER_WRITE": WRITE, "KQ_EV_ADD": ADD, "KQ_EV_CLEAR": CLEAR, "KQ_EV_EOF": EOF}
    for name, value in {"kqueue": lambda: made, "kevent": Event, **values}.items():
        monkeypatch.setattr(select, name, value, raising=False)
    monkeypatch.delattr(select, "poll", raising=False)  # it would wait forever there
    return made


def test_on_macos_room_in_the_pipe_is_passed_over_until_the_reader_is_gone(kqueue: Kqueue) -> None:
    wait_until_closed(7)
    assert kqueue.changes == [Event(7, WRITE, ADD | CLEAR)]
    assert kqueue.happens == [CLEAR, -1], "it waits no longer, and closes its queue"


def test_on_macos_what_cannot_be_watched_is_an_error(kqueue: Kqueue) -> None:
    kqueue.happens[0] = ERROR
    with pytest.raises(OSError, match="Invalid argument"):
        wait_until_closed(7)
    assert kqueue.happens[-1] == -1
