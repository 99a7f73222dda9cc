"""Whether a file would be taken, and how much media it has; nothing is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from ih_mcp.errors import IhMcpError, MediaError
from ih_mcp.wire.dialects import DIALECTS
from ih_mcp.wire.rest import MIN_VIDEO_SECONDS, UPLOADS

from .runtime import Runtime
from .version_options import describe_undecoded, require_long

if TYPE_CHECKING:  # loads with the first file
    from ih_mcp.media.ffmpeg.facts import Facts
    from ih_mcp.media.file_admission import Admitted


async def check_file(runtime: Runtime, path: str) -> dict[str, object]:
    """What a file is, how many minutes it has, and which versions of the API would take it.

    Raises:
        PathError: It is missing, not allowed, or not a regular file.
        MediaError: It is no media, or ends before it should.
    """
    from ih_mcp.media.ffmpeg.early_end import describe_end, require_end  # noqa: PLC0415
    from ih_mcp.media.ffmpeg.probe import measure_seconds, probe  # noqa: PLC0415

    found = await runtime.find_file(path)
    ffmpeg = await runtime.ffmpeg()
    facts = await probe(ffmpeg, found.path)
    seconds = facts.duration_seconds
    if seconds is None or facts.is_estimated:
        seconds = await measure_seconds(ffmpeg, found.path, facts)
    await require_end(ffmpeg, found.path, facts)
    streams = {api: _judge(partial(_stream, api, facts, seconds)) for api in DIALECTS}
    uploads = {api: _judge(partial(_upload, api, found, facts, seconds)) for api in UPLOADS}
    works_on = {"stream_file": _taking(streams), "analyze_file": _taking(uploads)}
    return {
        "works": any(works_on.values()),
        "works_on": works_on,
        "file": found.path.name,
        "media": describe_media(facts),
        "duration_s": round(seconds, 3),
        **await runtime.minutes.facts(seconds),
        "stream_file": streams,
        "analyze_file": uploads,
        "notes": [*found.notes, *facts.notes(), *describe_end(facts, seconds)],
    }


_REFUSES = "refuses it: "
_TAKES = "takes it"
_TAKES_SOUND = "takes its sound, with the model inter-2-audio"
_IF_SHORT = "; {:.1f} s may be dropped without a reading, as less than 3 s: not documented"


def _judge(require: Callable[[], str]) -> str:
    """What a check that raises an error has found, in words."""
    try:
        return require()
    except MediaError as exc:
        return f"{_REFUSES}{exc.what}"


def _taking(judged: Mapping[str, str]) -> list[str]:
    """The versions that would take it."""
    return [api for api, said in judged.items() if not said.startswith(_REFUSES)]


def _stream(api: str, facts: Facts, seconds: float) -> str:
    from ih_mcp.media.ffmpeg.facts import require_tracks  # noqa: PLC0415

    dialect = DIALECTS[api]
    least = dialect.limits.min_segment_seconds
    if least and seconds < least:
        raise MediaError(f"it is {seconds:.1f} s long; less than {least:g} s is not analysed")
    if_short = _IF_SHORT.format(seconds) if seconds < MIN_VIDEO_SECONDS else ""
    if facts.video is None and facts.audio and dialect.raw_models:
        return _TAKES_SOUND + if_short
    require_tracks(facts, video=dialect.needs_video, audio=dialect.needs_audio)
    return _TAKES + if_short


def _upload(api: str, found: Admitted, facts: Facts, seconds: float) -> str:
    from ih_mcp.media.ffmpeg.facts import require_tracks  # noqa: PLC0415
    from ih_mcp.net.rest import require_uploadable  # noqa: PLC0415

    require_uploadable(found.path.name, found.size)
    require_long(found.path.name, seconds)
    names_model = bool(UPLOADS[api].models)  # skill: v2 upload; inter-2 needs picture and sound
    if facts.video is None and facts.audio and names_model:
        return _TAKES_SOUND
    require_tracks(facts, video=names_model, audio=names_model)
    if undecoded := describe_undecoded(facts):
        raise MediaError(undecoded)
    return _TAKES


def describe_media(facts: Facts) -> str:
    """The container and the codecs of a file."""
    parts = [facts.container_name]
    if facts.video:
        parts.append(f"{facts.video.codec} {facts.video.width}x{facts.video.height}")
    if facts.audio:
        parts.append(facts.audio.codec)
    return ", ".join(parts)


def refused_file(error: IhMcpError) -> dict[str, object]:
    """The same for a file that would be refused."""
    return {
        "works": False,
        "code": error.code,
        "what": error.what,
        "help": error.help,
        **error.facts,
    }
