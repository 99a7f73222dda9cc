"""Open a link in the person's browser without showing it to others on this machine."""

from __future__ import annotations

import os
import tempfile
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from pathlib import Path

from anyio import CancelScope, to_thread

from ih_mcp.private_files import delete_left_behind

_NAME = ("ih-mcp-open-", ".html")
_FORWARDS = """<!doctype html>
<meta charset="utf-8">
<meta http-equiv="refresh" content="0;url={link}">
<title>ih-mcp</title>
<p><a href="{link}">Go to the page</a>
"""


@asynccontextmanager
async def in_browser(link: str, *, folder: Path) -> AsyncIterator[bool]:
    """Open `link`, by way of a file that only this user can read and that is removed at the end.

    A command line can be read by every user of a machine, and the ticket in a link works for
    whoever is first; so the browser is given the name of a file that forwards.

    Args:
        folder: Where the file is made.

    Yields:
        Whether there is a browser.
    """
    file = await to_thread.run_sync(_write, _FORWARDS.format(link=escape(link)), folder)
    try:
        yield await to_thread.run_sync(webbrowser.open, file.as_uri())
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(_remove, file)


def _write(page: str, folder: Path) -> Path:
    delete_left_behind(folder, *_NAME)
    descriptor, name = tempfile.mkstemp(prefix=_NAME[0], suffix=_NAME[1], dir=folder.resolve())
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:  # 0600, and nobody's link
        file.write(page)
    return Path(name)


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)
