"""Refuses options that an API version cannot send, instead of leaving them out in silence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ih_mcp.errors import CallerError, MediaError
from ih_mcp.wire.dialects import Dialect, find_dialect
from ih_mcp.wire.messages import Config
from ih_mcp.wire.rest import MIN_VIDEO_SECONDS, UNDECODED_PICTURES, UploadVersion

if TYPE_CHECKING:  # loaded with the first file
    from ih_mcp.media.ffmpeg.facts import Facts

_SOUND_MODEL = "inter-2-audio"


def require_in_query(chosen: Dialect, config: Config) -> None:
    """Check that a version which takes its options in the address can send all of them.

    Raises:
        CallerError: It cannot; names the options.
    """
    asked = {"goal_dimensions": config.goal_dimensions, "sample_rate": config.audio_format}
    _require_none(f"streams of {chosen.name}", [name for name, value in asked.items() if value])


def require_taken(upload: UploadVersion, form: Mapping[str, Any]) -> None:
    """Check that an upload of this version takes all fields, and knows the goals.

    Raises:
        CallerError: It does not; names the fields, or the goals.
    """
    takes = {
        "model": bool(upload.models),
        "goal_dimensions": upload.has_goals,
        "conversation_context": upload.has_goals,
    }
    lost = [name for name, is_taken in takes.items() if form.get(name) and not is_taken]
    _require_none(f"uploads of {upload.name}", lost)
    find_dialect(upload.name).require_goals(form.get("goal_dimensions", ()))


def _require_none(who: str, lost: Sequence[str]) -> None:
    if lost:
        raise CallerError(
            f"{who} take no {' and no '.join(lost)}",
            help="Leave it out, or choose another version by `api`.",
        )


def require_long(name: str, seconds: float) -> None:
    """Check that a file is long enough for an upload.

    Raises:
        MediaError: It is not.
    """
    if seconds < MIN_VIDEO_SECONDS:
        raise MediaError(
            f"{name} is {seconds:.1f} s long; an upload needs {MIN_VIDEO_SECONDS:g} s",
            code="file_too_short",
            help="Give a longer clip.",
        )


def describe_undecoded(facts: Facts) -> str:
    """Why an upload of a file's picture would be refused; empty where the service decodes it."""
    if facts.video is None or facts.video.codec not in UNDECODED_PICTURES:
        return ""
    return (
        f"its picture is {facts.video.codec}, which the service does not decode; stream_file "
        "takes it, since it encodes the picture again"
    )


def foresee_refusal(upload: UploadVersion, model: str | None, facts: Facts) -> list[str]:
    """What the service will likely refuse an upload for, as sentences for who sends it."""
    needed = {"sound"} if model == _SOUND_MODEL else {"picture", "sound"}
    there = {"picture": facts.video, "sound": facts.audio}
    missing = [name for name in sorted(needed) if upload.models and there[name] is None]
    instead = f"; the model {_SOUND_MODEL} takes sound alone" if missing == ["picture"] else ""
    reasons = [f"it has no {name}, which {upload.name} needs{instead}" for name in missing]
    if model != _SOUND_MODEL and (undecoded := describe_undecoded(facts)):
        reasons.append(undecoded)
    return [f"The service will likely refuse this file: {reason}." for reason in reasons]
