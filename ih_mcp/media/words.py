"""What ffmpeg says, and what that means."""

from __future__ import annotations

import re
import threading

from ih_mcp.errors import MediaError

_KEPT_BYTES = 1 << 16

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


class Words:
    """What a process said: the first and the last 64 KiB, read by a thread so it never waits."""

    def __init__(self, descriptor: int) -> None:
        self._first = b""
        self._last = b""
        self._thread = threading.Thread(target=self._drain, args=(descriptor,), daemon=True)
        self._thread.start()

    def text(self) -> str:
        """The first 64 KiB."""
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
        ours = [line for line in useful if not _INPUT_NAME.match(line)]
        return next(iter(ours), None) or _INPUT_NAME.sub("", next(iter(useful), ""))

    def join(self) -> None:
        self._thread.join()

    def _lines(self) -> list[str]:
        return re.split(r"[\r\n]+", self._last.decode(errors="replace"))

    def _drain(self, descriptor: int) -> None:
        with open(descriptor, "rb", buffering=0) as pipe:
            while data := pipe.read(_KEPT_BYTES):
                self._first += data[: _KEPT_BYTES - len(self._first)]
                self._last = (self._last + data)[-_KEPT_BYTES:]


_INCOMPLETE = (
    "The file is incomplete or still being recorded: its index is missing. "
    "Wait until the recording has ended, or record to Matroska or fragmented MP4."
)
_NOT_MEDIA = "This is not a media file ffmpeg can read, or its beginning is damaged."
_NOT_ALLOWED = "Playlists, scripts, text and pictures are not read; give a video or sound file."
_DEMANDING = (
    "Scale the picture down first. IH_MCP_FFMPEG_MAX_BYTES is how much memory ffmpeg may take."
)
_NO_ENCODER = (
    "This ffmpeg was built without libx264 and libopenh264. Set IH_MCP_FFMPEG to one that has one, "
    "or remove it from PATH so that the one of imageio-ffmpeg is used."
)
_OTHERWISE = "Convert the file to MP4 with H.264 and AAC, and try again."
_MEANINGS: tuple[tuple[str, str, str], ...] = (
    ("moov atom not found", "incomplete_file", _INCOMPLETE),
    ("not on whitelist", "format_not_allowed", _NOT_ALLOWED),
    ("not in allowed", "format_not_allowed", _NOT_ALLOWED),
    ("Unknown encoder", "encoder_missing", _NO_ENCODER),
    ("Cannot allocate memory", "too_demanding", _DEMANDING),
    ("malloc", "too_demanding", _DEMANDING),
    ("Resource temporarily unavailable", "too_demanding", _DEMANDING),  # no memory for a thread
    ("Invalid data found", "not_media", _NOT_MEDIA),
)
_CAUSES = tuple(words for words, _, _ in _MEANINGS[:-1])
"""What tells more than all lines behind it; invalid data is often found, and passed over."""


def inflated(size: int, growth: int) -> MediaError:
    return MediaError(
        f"a file of {size} bytes gives more than {growth} times as much",
        help="Its index is damaged or made to do harm; convert the file and look at the result.",
        code="inflated",
    )


def failure(what: str, line: str) -> MediaError:
    """What ffmpeg's `line` means, as an error that keeps the line."""
    text = f"{what}: {line}" if line else what
    known = ((code, help_) for words, code, help_ in _MEANINGS if words in line)
    code, help_ = next(known, ("ffmpeg_failed", _OTHERWISE))
    return MediaError(text, help=help_, code=code, facts={"ffmpeg": line})
