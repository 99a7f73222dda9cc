"""What the command line says to a person: as it is, with nothing hidden in it.

Names of files and words of the service may hold brackets, which a rich terminal takes for markup,
or characters that steer it.
"""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from ih_mcp.tools.answers import harmless


def plain(text: str) -> Text:
    """A line for a terminal."""
    return Text(harmless(text))


def say(console: Console, text: str) -> None:
    """Print one line, however long."""
    console.print(plain(text), soft_wrap=True)
