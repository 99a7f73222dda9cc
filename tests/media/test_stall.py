"""What is said of an ffmpeg that gives nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ih_mcp.media.ffmpeg.stall import stalled

MEDIA = bytes(range(256)) * 64

pytestmark = pytest.mark.skipif(os.name != "posix", reason="no file is inherited")


@pytest.mark.parametrize(
    ("zeros", "size", "places"),
    [(9 * len(MEDIA), None, 57), (0, 100 << 30, 63), (len(MEDIA), None, 0), (0, None, 0)],
    ids=["zeros", "a hole", "half of it", "media"],
)
async def test_a_file_of_zeros_is_told_from_one_that_is_slow(
    zeros: int, size: int | None, places: int, tmp_path: Path
) -> None:
    """As one of 100 GB whose size was reserved: ffmpeg looks for media in all of it."""
    with (tmp_path / "a.mp3").open("w+b") as file:
        file.write(MEDIA + bytes(zeros))
        file.flush()
        if size:
            file.truncate(size)
        error = await stalled(30.0, [file.fileno()])
    assert (error.code, error.retry) == ("ffmpeg_stalled", True)
    if places:
        assert error.what == (
            f"ffmpeg gave nothing for 30 s: at {places} of 64 places, evenly apart, the file has "
            "nothing but zeros"
        )
        assert error.help == (
            "It is incomplete, as where its size was reserved and a download or a recording has "
            "not filled it. Wait until it is whole, or get it again."
        )
    else:
        assert error.what == "ffmpeg gave nothing for 30 s"
        assert error.help.startswith("Copy the file to a local disk, or convert it")


async def test_what_is_no_file_says_nothing_of_itself(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    (tmp_path / "empty.mp3").touch()
    with (tmp_path / "empty.mp3").open("rb") as empty:
        for descriptors in ([], [reader], [empty.fileno()]):
            assert (await stalled(30.0, descriptors)).what == "ffmpeg gave nothing for 30 s"
    os.close(reader)
    os.close(writer)
