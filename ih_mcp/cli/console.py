"""Standard error for people, standard output for programs.

What a person reads is as it is, with nothing hidden in it: names of files and words of the service
may hold brackets, which a rich terminal takes for markup, or characters that steer it. What
programs read goes to standard output, byte for byte; where that is a terminal, with escapes.
"""

from __future__ import annotations

import os
import sys

from rich.console import Console
from rich.text import Text

from ih_mcp.errors import IhMcpError
from ih_mcp.printable import escape_unprintable, escape_unprintable_lines

OUTPUT_FAILED = "output_failed"


def write_output(data: bytes, *, is_raw: bool) -> None:
    """Write what the service said to standard output, at once.

    Args:
        is_raw: A terminal gets the bytes too, as files and pipes do.

    Raises:
        BrokenPipeError: Its reader left.
        IhMcpError: It takes nothing more, as a file on a full disk.
    """
    if not is_raw and sys.stdout.isatty():
        data = escape_unprintable_lines(data.decode(errors="backslashreplace")).encode()
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


def shown(text: str) -> str:
    """A text for standard output: with escapes on a terminal, else as it is."""
    return escape_unprintable_lines(text) if sys.stdout.isatty() else text


def leave_output() -> None:
    """Send nothing more to standard output, not even what is still buffered."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def plain(text: str) -> Text:
    """A line for a terminal."""
    return Text(escape_unprintable(text))


def print_line(console: Console, text: str) -> None:
    """Print one line, however long."""
    console.print(plain(text), soft_wrap=True)
