"""The journal: messages are durable, in order, before anybody can read them."""

from .follow import follow
from .journal import FILE_NAME, Journal, Page, StreamLog, open_journal
from .owners import Process
from .retention import Retention
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
