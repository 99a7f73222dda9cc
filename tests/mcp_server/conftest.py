"""The SDK loads its log handler, and so `rich`, when a server is made: before any event loop."""

from __future__ import annotations

import rich.console
import rich.logging

__all__ = ["rich"]
