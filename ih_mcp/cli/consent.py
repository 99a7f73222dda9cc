"""Says on the terminal what is about to be sent, and asks the person in front of it."""

from __future__ import annotations

import sys

from anyio import to_thread
from rich.console import Console

from .console import print_line
from .progress import hidden


class TerminalChannel:
    """Reaches the person at the keyboard; nobody where there is none, as in a script."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def announce(self, sentence: str) -> None:
        print_line(self._console, sentence)

    async def ask(self, question: str, *, about: str) -> bool | None:  # noqa: ARG002 - of the protocol
        """Ask for `y`; there is no option that answers for the person."""
        if not (sys.stdin.isatty() and self._console.is_terminal):
            return None
        with hidden():
            print_line(self._console, f"{question} [y/N]")
            answer = await to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
        return answer.strip().lower() in {"y", "yes"}
