"""What the command line says to a person, and what it hands on to programs.

What a person reads is as it is, with nothing hidden in it: names of files and words of the service
may hold brackets, which a rich terminal takes for markup, or characters that steer it. What
programs read goes to standard output, byte for byte.
"""

from __future__ import annotations

import logging
import os
import sys

from rich.console import Console
from rich.text import Text

from ih_mcp.errors import IhMcpError
from ih_mcp.mcp_server.answers import harmless

OUTPUT_FAILED = "output_failed"


def hand_on(data: bytes) -> None:
    """Write to standard output, at once.

    Raises:
        BrokenPipeError: Its reader left.
        IhMcpError: It takes nothing more, as a file on a full disk.
    """
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as exc:
        leave_output()
        raise IhMcpError(
            f"standard output takes nothing more: {exc.strerror}",
            help="What came of a stream is kept: `ih-mcp messages` prints it again.",
            code=OUTPUT_FAILED,
        ) from exc


def leave_output() -> None:
    """Nothing more goes to standard output, what is still buffered neither."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def plain(text: str) -> Text:
    """A line for a terminal."""
    return Text(harmless(text))


class HarmlessFormatter(logging.Formatter):
    """Log lines for a terminal: texts of others stand in them, in tracebacks too."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(harmless, super().format(record).split("\n")))


def say(console: Console, text: str) -> None:
    """Print one line, however long."""
    console.print(plain(text), soft_wrap=True)
