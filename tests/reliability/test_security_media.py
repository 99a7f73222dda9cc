"""S39: the texts in a file, its language and the names of its tags, do not pass for its facts."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ih_mcp.errors import MediaError
from ih_mcp.media.containers import ebml
from ih_mcp.media.containers.ebml import Id
from ih_mcp.media.ffmpeg.facts import Facts
from ih_mcp.media.ffmpeg.probe import probe
from ih_mcp.media.ffmpeg.process import environment
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.media.ffmpeg.recipes import recipe
from ih_mcp.wire.dialects import Framing

from .budget import often

pytestmark = pytest.mark.timeout(300)

LANGUAGE, TRACK_NAME, TITLE = 0x22B59C, 0x536E, 0x7BA9
TAG, SIMPLE_TAG, TAG_NAME, TAG_STRING = 0x7373, 0x67C8, 0x45A3, 0x4487
LINES = (
    "Input #0, avi, from 'file:x':",
    "  Duration: 99:00:00.00, start: 7.000000, bitrate: 1 kb/s",
    "  Stream #0:0: Video: h264, yuv420p, 1x1, 9 fps",
    "  Stream #0:1: Audio: aac, 8000 Hz, mono",
    "    Stream #0:0[0x1](eng): Video: h264 (avc1 / 0x31637661), yuv420p, 2x2",
    "      displaymatrix: rotation of 90.00 degrees",
    "        Display Matrix: rotation of -90.00 degrees",
    "Stream mapping:",
    "  Stream #0:0 -> #0:0 (copy)",
    "Output #0, framecrc, to 'pipe:1':",
    "    mark            : 00000000000000000000000000000000",
    "[matroska,webm @ 0x5555] Estimating duration from bitrate, this may be inaccurate",
    "[x @ 0x1] Picture size 99999x99999 exceeds specified max pixel count 1",
)


@pytest.fixture(scope="module")
def four_four_four(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Ffmpeg) -> bytes:
    """Two seconds that have to be encoded: H.264 of 4:4:4, in Matroska."""
    path = tmp_path_factory.mktemp("forged") / "honest.mkv"
    made = "-f lavfi -i testsrc2=s=64x48:r=10:d=2 -c:v libx264 -preset ultrafast -pix_fmt yuv444p"
    command = [ffmpeg.path, "-nostdin", "-v", "error", *made.split(), str(path)]
    subprocess.run(command, check=True, env=environment(), timeout=60)
    return path.read_bytes()


def children(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Elements of known size: number and payload."""
    at = 0
    while at < len(data):
        width = 9 - data[at].bit_length()
        number = int.from_bytes(data[at : at + width], "big")
        at += width
        wide = 9 - data[at].bit_length()
        size = int.from_bytes(data[at : at + wide], "big") & ((1 << 7 * wide) - 1)
        at += wide
        yield number, data[at : at + size]
        at += size


def forged(honest: bytes, text: bytes, where: str) -> bytes:
    """The file with `text` in one of its places."""
    out = bytearray()
    for number, payload in children(honest):
        out += ebml.element(
            number, payload if number != Id.SEGMENT else _segment(payload, text, where)
        )
    return bytes(out)


def _segment(payload: bytes, text: bytes, where: str) -> bytes:
    tag = ebml.element(
        SIMPLE_TAG,
        ebml.element(TAG_NAME, text if where == "tag name" else b"COMMENT")
        + ebml.element(TAG_STRING, text if where == "tag" else b"x"),
    )
    tags = ebml.element(Id.TAGS, ebml.element(TAG, tag)) if "tag" in where else b""
    made, kept = b"", {Id.INFO, Id.TRACKS, Id.CLUSTER}
    for number, inner in children(payload):
        if number == Id.INFO and where == "title":
            made += ebml.element(number, inner + ebml.element(TITLE, text))
        elif number == Id.TRACKS:
            entries = (
                ebml.element(n, _entry(entry, text, where))
                for n, entry in children(inner)
                if n == Id.TRACK_ENTRY  # and no checksum, which would be of other bytes
            )
            made += ebml.element(number, b"".join(entries)) + tags
        elif number in kept:
            made += ebml.element(number, inner)
    return made


def _entry(entry: bytes, text: bytes, where: str) -> bytes:
    added = {"language": LANGUAGE, "name": TRACK_NAME}.get(where)
    if added is None:
        return entry
    kept = b"".join(ebml.element(n, p) for n, p in children(entry) if n != added)
    return kept + ebml.element(added, text)


def seen(ffmpeg: Ffmpeg, path: Path, data: bytes) -> Facts | str:
    path.write_bytes(data)
    try:
        return anyio.run(partial(probe, ffmpeg, path))
    except MediaError as failure:
        return failure.code


texts = st.lists(
    st.one_of(st.sampled_from(LINES), st.text(max_size=20)), min_size=1, max_size=6
).flatmap(
    lambda lines: st.sampled_from(["\n", "\r", "\r\n", "\x0b", "\x0c", ")\n", "\t"]).map(
        lambda end: end + end.join(lines) + end
    )
)
PLACES = ("language", "name", "title", "tag", "tag name")
SHOWN = "\n".join(("x)", LINES[2], LINES[5], "Output #0"))


@given(text=texts, where=st.sampled_from(PLACES))
@example(text=SHOWN, where="language")
@example(text="\n".join(("x", *LINES)), where="tag name")
@settings(
    max_examples=often(40, nightly=2_000),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_s39_no_text_of_a_file_passes_for_a_fact(
    four_four_four: bytes, ffmpeg: Ffmpeg, tmp_path: Path, text: str, where: str
) -> None:
    """The facts stay what they are, or the file is refused because its texts imitate them."""
    honest = seen(ffmpeg, tmp_path.resolve() / "honest.mkv", forged(four_four_four, b"", "nowhere"))
    assert isinstance(honest, Facts)
    assert honest.video is not None
    assert honest.video.pixel_format == "yuv444p"
    data = forged(four_four_four, text.encode(), where)
    found = seen(ffmpeg, tmp_path.resolve() / "forged.mkv", data)
    assert found in (honest, "imitation")


def test_s39_what_was_shown_is_encoded_all_the_same(
    four_four_four: bytes, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    """A language with lines of a harmless track in it does not make a copy of 4:4:4."""
    data = forged(four_four_four, SHOWN.encode(), "language")
    found = seen(ffmpeg, tmp_path.resolve() / "forged.mkv", data)
    assert isinstance(found, Facts)
    assert found.video is not None
    assert (found.video.pixel_format, found.video.rotation_degrees) == ("yuv444p", 0.0)
    made = recipe(found, Framing.WHOLE, target_seconds=5.0, max_bytes=1 << 20)
    assert made.encodes == ("video",)


@pytest.mark.parametrize("lines", [3_000])
def test_s39_facts_are_found_behind_any_number_of_other_lines(
    four_four_four: bytes, ffmpeg: Ffmpeg, tmp_path: Path, lines: int
) -> None:
    """A comment of 200 KB, as of a song with its words, does not hide what comes behind it."""
    text = ("la la la " * 8 + "\n").encode() * lines
    found = seen(ffmpeg, tmp_path.resolve() / "long.mkv", forged(four_four_four, text, "tag"))
    assert isinstance(found, Facts)
    assert found.video is not None
    assert found.video.pixel_format == "yuv444p"
