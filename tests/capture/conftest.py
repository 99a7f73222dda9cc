from __future__ import annotations

from .room import open_room

__all__ = ["open_room"]
