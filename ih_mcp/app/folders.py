"""The folders whose files an agent may have read."""

from __future__ import annotations

import os

from ih_mcp.errors import PathError
from ih_mcp.settings import Settings


def require_folders(settings: Settings) -> None:
    """Check that there is one.

    Raises:
        PathError: There is none; says what allows one.
    """
    if not settings.folders:
        raise PathError(
            "no folder is allowed to read files from",
            help="Set IH_MCP_MEDIA_DIRS to the folders that hold your videos, separated by "
            f"{os.pathsep!r}.",
            code="no_media_dirs",
        )
