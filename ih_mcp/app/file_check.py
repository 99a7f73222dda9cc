"""Whether a file would be taken, and how much media it has; nothing is sent."""

from __future__ import annotations

from ih_mcp.errors import IhMcpError, MediaError
from ih_mcp.media.ffmpeg.facts import Facts
from ih_mcp.wire.dialects import find_dialect
from ih_mcp.wire.rest import MIN_VIDEO_SECONDS

from .runtime import Runtime


async def check_file(runtime: Runtime, path: str) -> dict[str, object]:
    """What a file is, how many minutes it has, and which tools would take it.

    Raises:
        PathError: It is missing, not allowed, or not a regular file.
        MediaError: `stream_file` would refuse it; says why and what helps.
    """
    from ih_mcp.media.ffmpeg.probe import measure_seconds, probe, require_tracks  # noqa: PLC0415

    found = await runtime.find_file(path)
    ffmpeg = await runtime.ffmpeg()
    facts = await probe(ffmpeg, found.path)
    chosen = find_dialect(runtime.settings.api)
    require_tracks(facts, video=chosen.needs_video, audio=chosen.needs_audio)
    seconds = facts.duration_seconds
    if seconds is None or facts.is_estimated:
        seconds = await measure_seconds(ffmpeg, found.path, facts)
    return {
        "works": True,
        "file": found.path.name,
        "media": describe_media(facts),
        "duration_s": round(seconds, 3),
        **await runtime.minutes.facts(seconds),
        "stream_file": "takes it",
        "analyze_file": _describe_upload(found.path.name, found.size, seconds),
        "notes": [*found.notes, *facts.notes()],
    }


def describe_media(facts: Facts) -> str:
    """The container and the codecs of a file."""
    parts = [facts.container_name]
    if facts.video:
        parts.append(f"{facts.video.codec} {facts.video.width}x{facts.video.height}")
    if facts.audio:
        parts.append(facts.audio.codec)
    return ", ".join(parts)


def _describe_upload(name: str, size: int, seconds: float) -> str:
    from ih_mcp.net.rest import require_uploadable  # noqa: PLC0415

    try:
        require_uploadable(name, size)
        require_long(name, seconds)
    except MediaError as exc:
        return f"refuses it: {exc.what}"
    return "takes it"


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


def refused_file(error: IhMcpError) -> dict[str, object]:
    """The same for a file that would be refused."""
    return {"works": False, "code": error.code, "what": error.what, "help": error.help}
