"""What people and hosts write for a file: paths, file URIs, and much that is neither.

Decides by letters alone and touches no disk.
"""

from __future__ import annotations

import difflib
import os
import re
import socket
import unicodedata
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from ih_mcp.errors import PathError
from ih_mcp.files import show_name

MAX_PATH_BYTES = 4_096  # Linux: PATH_MAX; others take less
_MEDIA_ENDINGS = {
    *(".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".mts", ".mxf", ".ts"),
    *(".aac", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".wav", ".webm", ".wmv"),
}
_NEAR_MISSES = 3
_LIKENESS = 0.6
_LIVE = "Record it into a file first, or let ih-mcp capture record it (IH_MCP_CAPTURE_INPUT)."
_FILE_URI = re.compile(r"file:(?://([^/\\]*))?([/\\].*)", re.IGNORECASE | re.DOTALL)
_DRIVE = re.compile(r"[/\\]?([A-Za-z]:[/\\].*)", re.DOTALL)
GIVE_FILE = "then give the path of the file."
_OTHERS: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (
        re.compile(r"(?i)(rtsps?|rtmp[a-z]*|rtp|srt|udp|mms)://"),
        "is the address of a live stream, not a file",
        _LIVE,
    ),
    (
        re.compile(r"(?i)file:"),
        "is a file URI without the whole path of a file",
        "Write file:/// and the whole path, or the path alone.",
    ),
    (
        re.compile(r"(?i)[a-z][a-z0-9+.-]+://"),
        "is a URL, not a file of this machine",
        f"Download it first, {GIVE_FILE}",
    ),
    (
        re.compile(r"(?i)data:[^,]*,"),
        "is a data URI, not a file",
        f"Write its bytes into a file, {GIVE_FILE}",
    ),
    (
        re.compile(r"""\s*["'`\u2018\u2019\u201c\u201d\u00ab]"""),
        "begins with a quotation mark",
        "Give the path without quotation marks around it.",
    ),
    (
        re.compile(r"\s|.*\s\Z", re.DOTALL),
        "begins or ends with a space or a line break",
        "Give the path without it.",
    ),
    (
        re.compile(r"-\Z"),
        "stands for standard input, which is not read",
        f"Save it into a file, {GIVE_FILE}",
    ),
)
_WINDOWS: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (
        re.compile(r"[A-Za-z]:[\\/]"),
        "is a path of Windows, and this system is another",
        "Give the path that the file has on the system where ih-mcp runs.",
    ),
    (
        re.compile(r"\\\\"),
        "is a network path of Windows, and this system is another",
        "Give the path of the folder where the share is mounted, or copy the file.",
    ),
    (
        re.compile(r"[^/]*\\"),
        "has backslashes, which do not separate folders on this system",
        "Separate folders by /.",
    ),
)


def sounds_like_media(name: str) -> bool:
    """Whether a file of this name was meant to be media, whatever is in it."""
    return os.path.splitext(name)[1].lower() in _MEDIA_ENDINGS  # noqa: PTH122 - of a name alone


def path_of(written: str, *, is_windows: bool = os.name == "nt") -> str:
    """The path that was written: what a file URI of this machine stands for, else as it is.

    Raises:
        PathError: It is empty or too long, or is the URI of a file of another machine.
    """
    if not written.strip():
        raise PathError(
            "no path was given" if not written else f"{show_name(written)} is no path",
            help="Give the path of a file.",
            code="not_a_file",
        )
    size = len(written.encode(errors="surrogatepass"))
    if size > MAX_PATH_BYTES:
        what = explained(written[:MAX_PATH_BYTES], is_windows=is_windows)
        raise PathError(
            f"{show_name(written)} has {size:_} bytes; a path has {MAX_PATH_BYTES:_} at most",
            help=what[1] if what else "Give the path of a file.",
            code="not_a_file",
        )
    uri = _FILE_URI.fullmatch(written)
    return _from_uri(uri[1] or "", uri[2], is_windows=is_windows) if uri else written


def _from_uri(host: str, encoded: str, *, is_windows: bool) -> str:
    path = os.fsdecode(unquote_to_bytes(encoded))
    if is_windows and re.fullmatch(r"[A-Za-z]:", host):  # file://C:/a.mp4, as it is often written
        return f"{host}{path}"
    if not _is_this_machine(host):
        raise PathError(
            f"the file URI names another machine, {show_name(host)}",
            help="Copy the file to this machine, or give the path where it is mounted here.",
            code="file_not_found",
        )
    drive = _DRIVE.fullmatch(path)
    return drive[1] if is_windows and drive else path


def _is_this_machine(host: str) -> bool:
    own = socket.gethostname().lower()
    return host.lower() in {"", "localhost", "127.0.0.1", "[::1]", own, own.partition(".")[0]}


def explained(written: str, *, is_windows: bool = os.name == "nt") -> tuple[str, str] | None:
    """What a text is that names no file here, and what helps; None where it may be a path."""
    rows = _OTHERS if is_windows else _OTHERS + _WINDOWS
    return next(((what, helps) for pattern, what, helps in rows if pattern.match(written)), None)


def folded(name: str) -> str:
    """A name as it looks: letters in one form (NFKC), all spaces of one kind."""
    text = unicodedata.normalize("NFKC", name)
    return "".join(" " if unicodedata.category(char) == "Zs" else char for char in text)


def alike(wanted: str, names: Iterable[str]) -> list[str]:
    """Those of `names` that look as `wanted` does."""
    look = folded(wanted)
    return [name for name in names if folded(name) == look]


def near_misses(wanted: str, names: Iterable[str]) -> list[str]:
    """Names that are nearly `wanted`, the nearest first; upper and lower case are the same."""
    looks: dict[str, list[str]] = {}
    for name in names:
        looks.setdefault(folded(name).casefold(), []).append(name)
    look = folded(wanted).strip().strip("\"'`").casefold()
    near = difflib.get_close_matches(look, looks, n=_NEAR_MISSES, cutoff=_LIKENESS)
    return [name for found in near for name in looks[found]][:_NEAR_MISSES]


def shown(name: str, wanted: str) -> str:
    """A name for a reader who asked for `wanted`: with escapes where the two look the same."""
    return ascii(name) if folded(name) == folded(wanted) or not name.isprintable() else name
