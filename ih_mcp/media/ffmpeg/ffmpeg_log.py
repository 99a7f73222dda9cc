"""Captures what ffmpeg writes to standard error and maps it to error codes."""

from __future__ import annotations

import re
import threading

from ih_mcp.errors import MediaError

NO_MEDIA = "the file has neither picture nor sound"

_KEPT_BYTES = 1 << 16
_MAX_LINE_BYTES = 1 << 12

_ADDRESS = re.compile(r"^(?:\[[^\]]*@ [^\]]*\] )+")
_INPUT_NAME = re.compile(  # an error of the input as a whole, as 5.1 and as 9 say it
    r"^(?:(?:file|pipe):\S*|error opening input): ", re.IGNORECASE
)
_EMPTY_WORDS = re.compile(
    r"(conversion failed|error opening (input|output) file"
    r"|exiting|received signal|last message repeated|press \[q\]"
    r"|error while (decoding|opening decoder|filtering|processing)|terminating"
    r"|nothing was (written|encoded)"
    r"|task finished|error submitting|error sending|output file is empty"
    r"|cannot determine format of input|could not open encoder|while opening encoder"
    r"|error in an external library|error marking filters|stream mapping|stream #)",
    re.IGNORECASE,
)
_NOT_LISTED = re.compile(r"^codec \(\w+\) not on whitelist", re.IGNORECASE)
"""Often of a track that is left out; a cause only where nothing else is said."""


class FfmpegLog:
    """The standard error of a process, read by a thread so that the process never waits.

    Kept are the last 64 KiB, and the first 64 KiB of the lines that `keeps` finds the beginning
    of; None: of all.
    """

    def __init__(self, descriptor: int, keeps: re.Pattern[bytes] | None = None) -> None:
        self._first = bytearray()
        self._line = b""
        self._last = b""
        self._keeps = keeps
        self._thread = threading.Thread(target=self._drain, args=(descriptor,), daemon=True)
        self._thread.start()

    def text(self) -> str:
        """The first 64 KiB that are kept."""
        return self._first.decode(errors="replace")

    def last_useful(self) -> str:
        """The last line that names a cause, else that says more than that something failed.

        Empty if there is none.
        """
        lines = [_ADDRESS.sub("", line).strip() for line in reversed(self._lines())]
        for line in lines:
            if any(cause in line for cause in _CAUSES):
                return line
        useful = [line for line in lines if line and not _EMPTY_WORDS.search(line)]
        useful = [line for line in useful if not _NOT_LISTED.match(line)] or useful
        ours = [line for line in useful if not _INPUT_NAME.match(line)]
        return next(iter(ours), None) or _INPUT_NAME.sub("", next(iter(useful), ""))

    def join(self) -> None:
        self._thread.join()

    def _lines(self) -> list[str]:
        return re.split(r"[\r\n]+", self._last.decode(errors="replace"))

    def _drain(self, descriptor: int) -> None:
        with open(descriptor, "rb", buffering=0) as pipe:
            while data := pipe.read(_KEPT_BYTES):
                self._last = (self._last + data)[-_KEPT_BYTES:]
                if self._keeps is None:
                    self._keep(data)
                else:
                    self._keep_lines(data, self._keeps)

    def _keep_lines(self, data: bytes, keeps: re.Pattern[bytes]) -> None:
        *lines, rest = (self._line + data).split(b"\n")
        for line in lines:
            if keeps.match(line):
                self._keep(line[:_MAX_LINE_BYTES] + b"\n")
        self._line = rest[:_MAX_LINE_BYTES]  # its beginning tells; the rest of a long one is lost

    def _keep(self, data: bytes) -> None:
        self._first += data[: _KEPT_BYTES - len(self._first)]


_INCOMPLETE = (
    "If it is still being recorded, wait until that has ended; else get the whole file. A "
    "recording to Matroska or fragmented MP4 can be read before its end."
)
_NOT_MEDIA = "It is of a kind that ffmpeg does not know, or damaged. Give a video or sound file."
NOT_ALLOWED = (
    "Put it into MP4 (ffmpeg -i FILE -c copy FILE.mp4), or convert it. Playlists, scripts, text "
    "and pictures are not read."
)
_DEMANDING = (
    "Scale the picture down first. IH_MCP_FFMPEG_MAX_BYTES is how much memory ffmpeg may take."
)
_NO_ENCODER = (
    "This ffmpeg was built without libx264 and libopenh264. Set IH_MCP_FFMPEG to one that has one, "
    "or remove it from PATH so that the one of imageio-ffmpeg is used."
)
_NO_DECODER = "Convert it where it was made, to MP4 with H.264 and AAC."
_OTHERWISE = "Convert the file to MP4 with H.264 and AAC, and try again."
_NO_INDEX = "the file is incomplete: its index is missing"
_NO_HEADER = "the file is incomplete: its header is damaged or ends too early"
_NOTHING = "the file names tracks, and nothing can be read of them"
_MEMORY = "ffmpeg needs more memory than it may take"
_KIND = "files of this kind are not read"
_MEANINGS: tuple[tuple[str, str, str, str], ...] = (
    ("moov atom not found", "incomplete_file", _NO_INDEX, _INCOMPLETE),
    ("no essence", "incomplete_file", _NO_INDEX, _INCOMPLETE),  # MXF
    ("Missing packet table", "incomplete_file", _NO_INDEX, _INCOMPLETE),  # CAF
    ("error reading header", "incomplete_file", _NO_HEADER, _INCOMPLETE),
    ("no 'data' tag found", "incomplete_file", _NO_HEADER, _INCOMPLETE),  # WAV
    ("File ended prematurely", "incomplete_file", "the file is incomplete", _INCOMPLETE),
    ("Truncating packet of size", "incomplete_file", "the file is incomplete", _INCOMPLETE),
    ("Could not write header", "not_media", _NOTHING, _NOT_MEDIA),
    ("Format not on whitelist", "format_not_allowed", _KIND, NOT_ALLOWED),
    ("not in allowed", "format_not_allowed", _KIND, NOT_ALLOWED),
    ("not contain any stream", "no_media", NO_MEDIA, "Give a video or sound file."),
    ("Unknown encoder", "encoder_missing", "ffmpeg cannot encode H.264", _NO_ENCODER),
    ("Cannot allocate memory", "too_demanding", _MEMORY, _DEMANDING),
    ("malloc", "too_demanding", _MEMORY, _DEMANDING),
    ("Resource temporarily unavailable", "too_demanding", _MEMORY, _DEMANDING),  # for a thread
    ("no decoder found", "not_decodable", "the file cannot be decoded", _NO_DECODER),
    ("End of file", "incomplete_file", "the file ends before its media begins", _INCOMPLETE),
    ("Invalid data found", "not_media", "the file cannot be read as media", _NOT_MEDIA),
)
_CAUSES = tuple(text for text, *_ in _MEANINGS[:-2])
"""What tells more than all lines behind it; the last two are often said and passed over."""


def inflated(size: int, growth: int) -> MediaError:
    return MediaError(
        f"a file of {size} bytes gives more than {growth} times as much",
        help="Its index is damaged or made to do harm; convert the file and look at the result.",
        code="inflated",
    )


def failure(line: str, *, what: str = "", status: int | None = None) -> MediaError:
    """What ffmpeg's `line` means, as an error that keeps the line among its facts.

    Args:
        line: The last useful one; nothing where there is none.
        what: What happened, where that is not for the line to tell.
        status: With which it ended.
    """
    row = next((row for row in _MEANINGS if row[0] in line), None)
    code, help_ = (row[1], row[3]) if row else ("ffmpeg_failed", _OTHERWISE)
    if what:
        text = f"{what}: {line}" if line else what
    elif row:
        text = row[2] if code in _SELF_EVIDENT else f"{row[2]} ({line})"
    elif line:
        text = f"ffmpeg cannot read it: {line}"
    else:
        text = "the file is damaged, or ends too early; ffmpeg gives no reason"
        help_ = f"{_OTHERWISE} ffmpeg ended with status {status}."
    facts = {"ffmpeg": line, "status": status}
    is_growing = code == "incomplete_file"  # perhaps: then the same call is right later
    return MediaError(text, help=help_, code=code, retry=is_growing, facts=facts)


_SELF_EVIDENT = frozenset({"format_not_allowed", "no_media"})
"""Codes of which ffmpeg's own line tells a reader nothing more."""
