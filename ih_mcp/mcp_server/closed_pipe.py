"""Notices that the reader of a pipe is gone without writing to it."""

from __future__ import annotations

import select
from typing import Any


def wait_until_closed(fd: int) -> None:
    """Block until the reader of `fd`, which is a pipe or a socket, closes it.

    `poll` reports this even where it is asked for no event. That of macOS waits for nothing at
    all then (xnu makes its filters from the events that are asked for), so a kqueue is used where
    there is one. Where the reader is a file or a terminal, this blocks forever.

    Raises:
        OSError: The system cannot watch this kind of file.
    """
    if hasattr(select, "kqueue"):
        _wait_by_kqueue(fd)
        return
    poll = select.poll()
    poll.register(fd, 0)
    poll.poll()


def _wait_by_kqueue(fd: int) -> None:
    """Wait for the end of file at the other end; any other event says that there is room."""
    system: Any = select  # these names exist on macOS and the BSDs alone
    with system.kqueue() as queue:
        change = system.kevent(fd, system.KQ_FILTER_WRITE, system.KQ_EV_ADD | system.KQ_EV_CLEAR)
        changes = [change]
        while not any(event.flags & system.KQ_EV_EOF for event in queue.control(changes, 1)):
            changes = []
