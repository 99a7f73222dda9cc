"""The ids of streams and uploads, which share one journal."""

from __future__ import annotations

import secrets
from enum import StrEnum


class IdKind(StrEnum):
    """What an id names; the value is how it begins."""

    STREAM = "st_"
    UPLOAD = "an_"

    def make_id(self) -> str:
        """Make an id that nothing has and nobody can guess."""
        return f"{self}{secrets.token_hex(16)}"

    def has(self, name: str) -> bool:
        """Whether an id is of this kind."""
        return name.startswith(self)
