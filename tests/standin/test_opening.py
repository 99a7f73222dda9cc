from __future__ import annotations

import hashlib
import json
from pathlib import Path

import anyio
import pytest

from ih_mcp.errors import MediaError
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.analysis import opening
from ih_mcp.standin.analysis.opening import begins_well
from ih_mcp.standin.server.serve import serve
from ih_mcp.wire.dialects import V1, V2, Dialect
from tests.facts import shows

from .test_app import opened, until


def garbage(size: int) -> bytes:
    """The same each time."""
    return hashlib.shake_128(b"garbage").digest(size)


EBML = bytes.fromhex("1a45dfa3 9f 4286 81 01 42f7 81 01 42f2 81 04 42f3 81 08") + bytes.fromhex(
    "4282 84 7765626d 4287 81 04 4285 81 02"
)
SEGMENT = bytes.fromhex("18538067 01ffffffffffffff")
TRACKS = bytes.fromhex("1654ae6b 80")
CLUSTER = bytes.fromhex("1f43b675 ff")
FTYP = bytes.fromhex("00000010 66747970") + b"isom" + bytes(4)


def box(kind: bytes, size: int = 8) -> bytes:
    return size.to_bytes(4, "big") + kind


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (EBML + garbage(3000), "byte 36 of the Matroska stream"),
        (EBML + SEGMENT + garbage(3000), "byte 48 of the Matroska stream"),
        (EBML + SEGMENT + CLUSTER + bytes(99), "before what it is made of"),
        (EBML + SEGMENT + TRACKS + CLUSTER + b"\xff" * 99, "byte 58 of the Matroska stream"),
        (EBML + SEGMENT + TRACKS + bytes(99), "byte 53 of the Matroska stream"),
        (EBML + SEGMENT + b"\xec\xff" + bytes(99), "has no size"),
        (EBML + SEGMENT + b"\xec\x00" + bytes(99), "is no size"),
        (FTYP + box(b"mdat", 5000), "before its index"),
        (FTYP + box(b"free") + box(b"wide") + box(b"mdat", 0), "before its index"),
        (FTYP + box(b"mdat", 1) + bytes(8), "before its index"),
        (FTYP + box(b"moof", 500), "before its index"),
        (FTYP + garbage(3000), "byte 16 of the MP4 stream begins no box"),
        (FTYP + box(b"free", 0) + bytes(99), "byte 16 of the MP4 stream begins no box"),
    ],
)
def test_what_cannot_become_media_is_known_by_its_first_elements(data: bytes, words: str) -> None:
    with pytest.raises(MediaError, match=words):
        begins_well(data)
    begin = int(words.split()[1]) if words.startswith("byte") else len(FTYP)
    assert begins_well(data[:begin]) is False


@pytest.mark.parametrize(
    ("data", "is_well"),
    [
        (EBML + SEGMENT + b"\xec\x82ab" + TRACKS + CLUSTER + b"\xe7\x81\0", True),
        (EBML + SEGMENT + TRACKS + CLUSTER + b"\xbf\x84abcd", True),
        (FTYP + box(b"free", 1) + (20).to_bytes(8, "big") + bytes(4) + box(b"moov", 700), True),
        (FTYP + box(b"free", 1) + bytes(4), False),
        (b"RIFF....AVI ", True),
        (b"OggS", True),
    ],
)
def test_what_may_become_media_is_left_to_the_decoder(data: bytes, is_well: bool) -> None:
    assert begins_well(data) is is_well


def test_no_cut_of_a_good_clip_is_a_fault(dialogue: Path, continued: list[bytes]) -> None:
    for clip in (continued[0], dialogue.read_bytes()):
        known = [begins_well(clip[:size]) for size in range(8, 3000)]
        assert known == sorted(known)
        assert begins_well(clip)


def test_every_recorder_begins_well(shared_media: Path) -> None:
    recordings = [path for path in (shared_media / "mediarecorder").iterdir() if path.is_dir()]
    assert recordings
    for recording in recordings:
        joined = b"".join(chunk.read_bytes() for chunk in sorted(recording.glob("chunk-*")))
        assert begins_well(joined), recording.name


@shows("undecodable-at-once")
@pytest.mark.one_for_each("kind")
@pytest.mark.parametrize("dialect", [V1, V2], ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("kind", ["random after a header", "index last", "in two messages"])
async def test_an_undecodable_frame_is_answered_without_another_one(
    kind: str, dialect: Dialect, tmp_path: Path, dialogue: Path, ffmpeg: Ffmpeg
) -> None:
    frames = [EBML + garbage(300_000)]
    if kind == "index last":
        clip = tmp_path / "camera.mp4"
        copy = ["-i", str(dialogue), "-c", "copy", "-movflags", "-faststart", str(clip)]
        await anyio.run_process([str(ffmpeg.path), "-v", "error", *copy])
        frames = [await anyio.Path(clip).read_bytes()]
    elif kind == "in two messages":
        frames = [frames[0][:20], frames[0][20:]]
    async with serve(ffmpeg=ffmpeg) as standin, opened(standin.url, dialect.path) as socket:
        await until(socket, "session.ready")
        for frame in frames:
            await socket.send(frame)
        with anyio.fail_after(10):
            error = json.loads(await socket.recv())
        assert (error["data"]["code"], error["data"]["segment"]) == ("ih5004", len(frames))
        await socket.send(await anyio.Path(dialogue).read_bytes())  # the session goes on
        await socket.send('{"type": "session.close"}')
        kinds = [json.loads(text)["type"] for text in await until(socket, "session.ended")]
    assert "error" not in kinds
    assert "engagement.updated" in kinds


def test_it_is_looked_at_for_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_MAX_LOOKED_AT_BYTES", 100)
    fed: list[bytes] = []

    class Fed:
        async def feed(self, data: bytes) -> None:
            fed.append(data)

    checked = opening.CheckedDecoder(Fed())  # type: ignore[arg-type]  # nothing else is called

    async def run() -> None:
        for data in (FTYP + box(b"free", 300), bytes(200), bytes(200)):
            await checked.feed(data)

    anyio.run(run)
    assert [len(data) for data in fed] == [24, 200, 200]
    assert checked._first == b""
