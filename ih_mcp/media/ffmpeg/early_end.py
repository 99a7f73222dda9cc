"""Files that end before they should: what was cut off reads without an error."""

from __future__ import annotations

from ih_mcp.errors import MediaError

from .facts import Facts

_DECLARING = frozenset({"mov", "avi", "asf", "flv"})  # the others estimate
_TORN = "File ended prematurely"  # says ffmpeg of Matroska, whose length is that of any track
_EARLY_SECONDS, _EARLY_SHARE = 1.0, 0.02  # chosen: tracks of a sound file differ by less


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
    is_known = not facts.is_estimated and not facts.set_backs
    is_declared = facts.container_name in _DECLARING and is_known
    if is_torn and declared_seconds is None:
        declared_seconds = facts.sent_seconds
    if declared_seconds is None or not (is_declared or is_torn):
        return
    spare = max(_EARLY_SECONDS, _EARLY_SHARE * declared_seconds)
    if is_torn or end_seconds < declared_seconds - spare:
        raise MediaError(
            f"the file ends at {end_seconds:.1f} of {declared_seconds:.1f} s; "
            + ("all up to there was sent" if is_sent else "what is left is too short to be sent"),
            help="It is incomplete, as after an interrupted download; get the whole file.",
            code="ends_early",
            facts={"end_seconds": end_seconds, "declared_seconds": declared_seconds},
        )
