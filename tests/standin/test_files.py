from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from ih_mcp.errors import MediaError
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.analysis.placeholder import Placeholder
from ih_mcp.standin.analysis.windows import WindowGrid
from ih_mcp.standin.server.app import create_app
from ih_mcp.standin.server.state import StandinState
from ih_mcp.standin.uploads.files import (
    FileAnalysis,
    MediaFiles,
    analyse_file,
    temporary_file,
    temporary_folder,
)


async def seen_in(path: Path, ffmpeg: Ffmpeg) -> FileAnalysis:
    state: StandinState = create_app(ffmpeg=ffmpeg).state.standin
    async with MediaFiles(ffmpeg).chunks(path) as chunks:
        return await analyse_file(
            chunks,
            grid=WindowGrid(window_seconds=5, hop_seconds=5),
            make_analyst=Placeholder,
            open_decoder=state.open_decoder,
        )


async def test_a_file_with_its_index_at_the_end_is_read_like_any_other(
    dialogue: Path, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    late, early = tmp_path / "late.mp4", tmp_path / "early.mp4"
    for path, flags in ((late, "0"), (early, "faststart")):
        copy = ["-i", str(dialogue), "-c", "copy", "-movflags", flags, str(path)]
        await anyio.run_process([ffmpeg.path, "-v", "error", "-nostdin", *copy])
    content = await anyio.Path(late).read_bytes()
    assert content.index(b"mdat") < content.index(b"moov")
    told, expected = await seen_in(late, ffmpeg), await seen_in(early, ffmpeg)
    assert told.duration_seconds == pytest.approx(expected.duration_seconds, abs=0.1)
    assert len(told.windows) == len(expected.windows)
    assert told.has_pictures
    assert told.has_sound


async def test_what_is_no_media_is_refused(ffmpeg: Ffmpeg) -> None:
    async with temporary_file(b"\x1a\x45\xdf\xa3" + bytes(999)) as path:
        with pytest.raises(MediaError):
            await seen_in(path, ffmpeg)


async def test_a_folder_is_gone_after_its_use() -> None:
    with anyio.CancelScope() as scope:
        async with temporary_folder() as place:
            await anyio.Path(place / "x").write_bytes(b"x")
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    assert not await anyio.Path(place).exists()
