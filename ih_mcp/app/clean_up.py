"""How long messages are kept, by the settings, and the clean-up of what is not kept any more."""

from __future__ import annotations

import logging

import anyio

from ih_mcp.errors import JournalError
from ih_mcp.journal import Journal, Retention
from ih_mcp.settings import Settings
from ih_mcp.wire.endings import EndReason

_TIDY_SECONDS = 3600.0
_LOG = logging.getLogger("ih_mcp.tools")
_ORPHANED = {"state": "failed", "reason": EndReason.HOST_STOPPED}


def retention_of(settings: Settings) -> Retention:
    """How long and how much this user wants kept, and what is said of a stream left behind."""
    return Retention(
        max_bytes=settings.journal_max_bytes,
        max_stream_bytes=settings.journal_max_stream_bytes,
        max_age_seconds=settings.journal_max_days * 86_400,
        strict=settings.journal_strict,
        orphaned=_ORPHANED,
    )


async def tidy_forever(journal: Journal) -> None:
    """Clean the journal at the start and every hour; a full disk is only logged here."""
    while True:
        try:
            await journal.clean_up()
        except JournalError as exc:
            _LOG.warning("the journal was not tidied: %s", exc)
        await anyio.sleep(_TIDY_SECONDS)
