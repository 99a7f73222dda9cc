"""Files that end before they should: what was cut off reads without an error."""

from __future__ import annotations

import math
from pathlib import Path

from ih_mcp.errors import MediaError
from ih_mcp.media.clock_jumps import PacketClock
from ih_mcp.media.file_admission import opened

from .facts import Facts
from .packets import look_through
from .program import Ffmpeg
from .recipes import TRACKS

_DECLARING = frozenset({"mov", "avi", "asf", "flv"})  # the others estimate
_COUNTED = frozenset({"mpegts", "mpeg", "ogg", "mp3", "aac"})
"""They go on to their last byte, wherever that is."""
_TORN = "File ended prematurely"  # says ffmpeg of Matroska, whose length is that of any track
_OPEN_END = (
    "Nothing in the file tells how long its recording was: it may be cut off behind the {:.1f} s "
    "that are there, and nobody can tell."
)
_EARLY_SECONDS, _EARLY_SHARE = 1.0, 0.02  # chosen: tracks of a sound file differ by less


async def require_end(ffmpeg: Ffmpeg, path: Path, facts: Facts) -> None:
    """Look at the last second alone whether it is there; nothing is decoded.

    Raises:
        MediaError: The file ends before (`ends_early`), as far as it tells how long it is.
        PathError: It is not the admitted file any more.
    """
    declared = facts.sent_seconds
    if declared is None or facts.jumps_seconds:
        return
    last_seconds = max(0.0, declared - _spare_seconds(declared))
    clock, said = PacketClock(math.inf), list[str]()
    async with opened(path) as source:
        await look_through(
            clock,
            ffmpeg,
            source,
            tracks=TRACKS,
            container=facts.container_name,
            means=ffmpeg.limits.to_look(source.size),
            start_seconds=last_seconds,
            said=said,
        )
    is_there = clock.media_seconds > 0.0  # of a later packet; seeking can end at an earlier one
    if (not is_there and _is_declared(facts)) or _TORN in said[0]:
        raise MediaError(
            f"the file says that it has {declared:.1f} s, and its last part is missing",
            help="It is incomplete, as after an interrupted download; get the whole file. A stream "
            "of it sends all up to there, and then ends with this error.",
            code="ends_early",
            facts={"declared_seconds": declared},
        )


def describe_end(facts: Facts, seconds: float) -> list[str]:
    """What a caller should know of a file that looks whole and need not be, as sentences.

    Args:
        seconds: How much media it has.
    """
    declared = facts.fragments_seconds
    if declared is not None and declared - seconds > _spare_seconds(declared):
        found = f"{seconds:.1f} s are there: it may be cut off."
        return [f"Its header tells of {declared:.1f} s and {found}"]
    is_counted = facts.container_name in _COUNTED or facts.duration_seconds is None
    if is_counted or (facts.is_open_ended and declared is None):
        return [_OPEN_END.format(seconds)]
    return []


def refuse_early_end(
    facts: Facts,
    declared_seconds: float | None,
    end_seconds: float,
    log: str,
    *,
    is_sent: bool = True,
) -> None:
    """Tell that a file is incomplete.

    Args:
        facts: Of the file.
        declared_seconds: How long what was sent should be; None where nothing tells.
        end_seconds: How long it is, with what was left out.
        log: What ffmpeg wrote to standard error.
        is_sent: Whether all up to its end was sent; else what is left is too short for that.

    Raises:
        MediaError: It is (`ends_early`).
    """
    is_torn = _TORN in log
    is_declared = _is_declared(facts)
    if is_torn and declared_seconds is None:
        declared_seconds = facts.sent_seconds
    if declared_seconds is None or not (is_declared or is_torn):
        return
    if is_torn or end_seconds < declared_seconds - _spare_seconds(declared_seconds):
        raise MediaError(
            f"the file ends at {end_seconds:.1f} of {declared_seconds:.1f} s; "
            + ("all up to there was sent" if is_sent else "what is left is too short to be sent"),
            help="It is incomplete, as after an interrupted download; get the whole file.",
            code="ends_early",
            facts={"end_seconds": end_seconds, "declared_seconds": declared_seconds},
        )


def _is_declared(facts: Facts) -> bool:
    is_known = not facts.is_estimated and not facts.set_backs
    return facts.container_name in _DECLARING and is_known


def _spare_seconds(declared_seconds: float) -> float:
    return max(_EARLY_SECONDS, _EARLY_SHARE * declared_seconds)
