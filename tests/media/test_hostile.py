"""Files made to do harm: each is refused within a second, before a byte of it is out."""

from __future__ import annotations

import http.server
import os
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import anyio
import anyio.to_thread
import pytest

from ih_mcp.errors import MediaError, PathError
from ih_mcp.media import splitter as split
from ih_mcp.media.containers import ebml
from ih_mcp.media.containers.ebml import Id
from ih_mcp.media.ffmpeg import probe
from ih_mcp.media.ffmpeg.program import Ffmpeg, FfmpegLimits
from ih_mcp.media.file_admission import admit
from ih_mcp.wire.dialects import Framing
from tests.fair_clock import work_seconds
from tests.forked import forked_python

from . import oracle
from .checks import cut, read_all
from .sample_files import SampleFolder

MAX_SECONDS = 1.0


class Listener:
    """A server that counts what is asked of it."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                listener.requests.append(self.path)
                self.send_error(404)

            def log_message(self, *_: object) -> None:
                """Nothing is printed."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture(scope="session")
def listener() -> Iterator[Listener]:
    listening = Listener()
    thread = threading.Thread(target=listening.server.serve_forever, args=(0.05,))
    thread.start()
    yield listening
    listening.server.shutdown()
    thread.join()
    listening.server.server_close()


def many_tracks(count: int) -> bytes:
    entry = ebml.element(
        Id.TRACK_ENTRY,
        ebml.element(Id.TRACK_NUMBER, b"\x01")
        + ebml.element(Id.TRACK_TYPE, b"\x01")
        + ebml.element(0x86, b"V_VP8"),
    )
    head = ebml.element(Id.EBML, ebml.element(0x4282, b"webm"))
    return head + b"\x18\x53\x80\x67" + ebml.sized(1 << 40) + ebml.element(Id.TRACKS, entry * count)


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n"
TEXTS: Mapping[str, str] = MappingProxyType(
    {
        "text": "this is not a video\n" * 2_000,
        "html": "<!doctype html><video src='{url}/x.mp4'></video>" * 50,
        "playlist of a local file": PLAYLIST.format("{other}"),
        "playlist of a secret": PLAYLIST.format("file:///etc/passwd"),
        "playlist of the network": PLAYLIST.format("{url}/x.ts"),
        "playlist of a concat": PLAYLIST.format("concat:{url}/x?|file:///etc/passwd"),
        "concat of a sibling": "ffconcat version 1.0\nfile '{sibling}'\n",
        "concat of a secret": "ffconcat version 1.0\nfile /etc/passwd\n",
        "concat of the network": "ffconcat version 1.0\nfile {url}/x\n",
        "manifest": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT10S"><Period><AdaptationSet mimeType="video/mp4">'
        '<Representation id="1" bandwidth="1"><BaseURL>{url}/x.mp4</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>",
        "session description": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=video 8098 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "subtitles": "1\n00:00:01,000 --> 00:00:04,000\nhello\n",
        "vector picture": "<svg xmlns='http://www.w3.org/2000/svg'><image href='{url}/x'/></svg>",
    }
)


@pytest.mark.one_for_each("name")
@pytest.mark.parametrize("ending", ["mp4", "m3u8"])
@pytest.mark.parametrize("name", TEXTS)
async def test_a_text_that_names_other_files_is_refused_and_nothing_is_fetched(
    name: str, ending: str, base: Path, ffmpeg: Ffmpeg, listener: Listener, folder: Path
) -> None:
    sibling = folder / "sibling.mp4"
    if not sibling.exists():
        os.link(base, sibling)
    text = TEXTS[name].replace("{url}", listener.url).replace("{sibling}", sibling.name)
    path = folder / f"hostile.{ending}"
    path.write_text(text.replace("{other}", str(base)))
    await refused(path, ffmpeg)
    assert listener.requests == []


def archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.mp4", "x" * 1_000)


MADE: Mapping[str, Callable[[Path], object]] = MappingProxyType(
    {
        "zeros": lambda path: path.write_bytes(bytes(2_000_000)),
        "noise": lambda path: path.write_bytes(os.urandom(2_000_000)),
        "a sparse file of 100 GiB": lambda path: sparse(path, 100 << 30),
        "an archive": archive,
        "ten thousand tracks": lambda path: path.write_bytes(many_tracks(10_000)),
        "a header alone": lambda path: path.write_bytes(many_tracks(1)),
        "one byte": lambda path: path.write_bytes(b"\x1a"),
        "a box larger than the file": lambda path: path.write_bytes(
            b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2\x7f\xff\xff\xffmoov" + bytes(100)
        ),
        "boxes within boxes": lambda path: path.write_bytes(
            b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2"
            + b"".join((8 * n).to_bytes(4, "big") + b"moov" for n in range(20_000, 0, -1))
        ),
    }
)


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


@pytest.mark.parametrize("name", MADE)
async def test_what_only_looks_like_media_is_refused(
    name: str, ffmpeg: Ffmpeg, folder: Path
) -> None:
    path = folder / "hostile.mp4"
    await anyio.to_thread.run_sync(MADE[name], path)
    await refused(path, ffmpeg)


@pytest.mark.parametrize("name", ["red", "words", "chapter_list", "bomb", "torn_index_last"])
async def test_what_is_no_video_of_a_sane_size_is_refused(
    name: str, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    await refused(sample(name), ffmpeg)


@pytest.mark.parametrize(
    "name",
    [
        "{url}/x.mp4",
        "concat:{base}|{base}",
        "subfile,,start,0,end,1000,,:{base}",
        "file:{base}",
        "pipe:0",
        "async:{base}",
        "-y",
        "/dev/stdin",
        "/proc/self/mem",
        "/dev/zero",
    ],
)
async def test_a_name_that_ffmpeg_would_take_for_more_than_a_file_is_refused(
    name: str, base: Path, folder: Path, listener: Listener
) -> None:
    asked = name.replace("{url}", listener.url).replace("{base}", str(base))
    before = work_seconds()
    with pytest.raises(PathError):
        await anyio.to_thread.run_sync(lambda: admit(asked, allowed=[folder]))
    assert work_seconds() - before < MAX_SECONDS
    assert listener.requests == []


@pytest.mark.parametrize(
    "name", ["-y.mp4", "a b'c\"d;$(id)`id`.mp4", "concat:a|b.mp4", "%d.mp4", "naïve 🎬.mp4"]
)
async def test_a_strange_name_of_an_honest_file_is_read(
    name: str, base: Path, ffmpeg: Ffmpeg, folder: Path
) -> None:
    path = folder / name
    os.link(base, path)
    outcome = await cut(admit(name, allowed=[folder]), ffmpeg)
    assert outcome.error is None
    assert len(outcome.segments) == 2


async def test_an_index_that_names_the_same_bytes_again_and_again_is_stopped(
    base: Path, ffmpeg: Ffmpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split, "_MOST_GROWTH", 0)
    monkeypatch.setattr(split, "_SPARE_BYTES", 500_000)
    outcome = await cut(base, ffmpeg)
    assert outcome.code == "inflated"


async def test_a_second_with_millions_of_packets_is_looked_at_in_part(
    base: Path, ffmpeg: Ffmpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look at a file holds a bounded part of what ffmpeg tells of its packets."""
    whole = await probe.probe(ffmpeg, base)
    monkeypatch.setattr(probe, "_MAX_LINES_BYTES", 1_000)
    assert replace(await probe.probe(ffmpeg, base), key_frames_seconds=()) == replace(
        whole, key_frames_seconds=()
    )


async def test_a_data_reference_to_another_file_is_not_followed(
    sample: SampleFolder, ffmpeg: Ffmpeg, folder: Path
) -> None:
    honest = sample("rotated")
    data = bytearray(await anyio.Path(honest).read_bytes())
    while (at := data.find(b"url \x00\x00\x00\x01")) >= 0:
        data[at + 7] = 0  # "not in this file"
    path = folder / "hostile.mov"
    path.write_bytes(data)
    outcome = await cut(path, ffmpeg)
    parts = read_all(outcome.segments, Framing.WHOLE)
    shown = [digest for part in parts for digest in oracle.digests(part.pictures)]
    assert shown == oracle.digests(oracle.read(honest).pictures)  # its own media, nothing else


REFUSING = """
import resource, sys, anyio
from pathlib import Path
from ih_mcp.media.ffmpeg.program import find_ffmpeg
from tests.fair_clock import work_seconds
from tests.media.checks import cut
ffmpeg = find_ffmpeg(sys.argv[1])
before = work_seconds()
outcome = anyio.run(cut, Path(sys.argv[2]), ffmpeg)
took = work_seconds() - before
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
print(outcome.code, len(outcome.segments), peak, took)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded there alone")
@pytest.mark.parametrize(
    ("name", "expected"), [("bomb", "picture_too_large"), ("vast", "picture_too_large")]
)
async def test_a_bomb_takes_little_time_and_memory(
    name: str, expected: str, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    path = sample(name)
    command = [*forked_python(), "-c", REFUSING, ffmpeg.path, str(path)]
    answer = await anyio.run_process(command, cwd=Path(__file__).parents[2])
    code, segments, peak, seconds = answer.stdout.split()
    assert (code.decode(), segments) == (expected, b"0")
    assert int(peak) <= 256
    assert float(seconds) < MAX_SECONDS


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux alone")
async def test_more_memory_than_allowed_is_an_error_that_tells_what_helps(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    small = replace(ffmpeg, limits=FfmpegLimits(max_bytes=160 << 20))
    outcome = await cut(sample("large_mjpeg"), small)
    assert (outcome.code, outcome.segments) == ("too_demanding", [])
    assert outcome.error is not None
    assert "IH_MCP_FFMPEG_MAX_BYTES" in outcome.error.help


async def test_large_pictures_are_encoded_smaller_within_the_allowance(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(sample("large_mjpeg"), ffmpeg)
    assert outcome.error is None
    part = oracle.read(outcome.segments[0].data)
    assert (part.width, part.height) == (1920, 1080)


@pytest.mark.parametrize(("max_pixels", "code"), [(14_400, ""), (14_399, "picture_too_large")])
async def test_how_large_a_picture_may_be_can_be_set(
    max_pixels: int, code: str, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    small = replace(ffmpeg, limits=FfmpegLimits(max_pixels=max_pixels))
    assert (await cut(sample("base"), small)).code == code


async def refused(path: Path, ffmpeg: Ffmpeg) -> None:
    before = work_seconds()
    outcome = await cut(path, ffmpeg)
    assert work_seconds() - before < MAX_SECONDS
    assert outcome.segments == []
    assert isinstance(outcome.error, MediaError)
    assert outcome.error.help


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path.resolve()
