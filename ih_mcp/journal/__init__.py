"""The journal: messages are durable, in order, before anybody can read them."""

from .backend import JournalPlace
from .follow import follow
from .journal import Journal
from .opening import FILE_NAME, load_open_engine, open_journal
from .owners import Process
from .page import Page
from .retention import Retention, find_end
from .store import Entry, StreamRow
from .stream_log import StreamLog
from .usage import StreamAccount, UsageRow, UsageTable

__all__ = [
    "FILE_NAME",
    "Entry",
    "Journal",
    "JournalPlace",
    "Page",
    "Process",
    "Retention",
    "StreamAccount",
    "StreamLog",
    "StreamRow",
    "UsageRow",
    "UsageTable",
    "find_end",
    "follow",
    "load_open_engine",
    "open_journal",
]
