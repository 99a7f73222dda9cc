"""What arrived, in order, durable before it is shown."""

from .follow import follow
from .journal import FILE_NAME, Journal, Page, Retention, StreamLog, open_journal
from .owners import Process
from .store import Entry, StreamRow

__all__ = [
    "FILE_NAME",
    "Entry",
    "Journal",
    "Page",
    "Process",
    "Retention",
    "StreamLog",
    "StreamRow",
    "follow",
    "open_journal",
]
