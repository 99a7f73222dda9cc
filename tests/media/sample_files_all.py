"""Every sample file, both framings: `python -m pytest tests/media/sample_files_all.py`.

Not collected by default; `test_splitter.py` has the short list.
"""

from __future__ import annotations

import pytest

from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.wire.dialects import Framing

from .checks import check_begun_anew, check_sample
from .sample_files import SAMPLE_FILES, SampleFolder

_ELSEWHERE = (
    "jumps",
    "stays",
    "slides",
    "one_picture",
    "sparse_sound",
    "silent_for",
    "late_by",
    "gop_of",
    "below_0",
)
"""Files whose clock jumps, tracks begin apart, or picture stays: see `test_times.py`."""
MEDIA = [
    name
    for name, sample_file in SAMPLE_FILES.items()
    if sample_file.is_media and not name.startswith(_ELSEWHERE)
]


@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("name", MEDIA)
async def test_a_sample_file_is_cut_right(
    name: str, framing: Framing, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    await check_sample(name, sample, ffmpeg, framing)


@pytest.mark.parametrize("name", [name for name in MEDIA if not SAMPLE_FILES[name].ends])
async def test_a_stream_of_a_sample_file_begins_anew(
    name: str, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    await check_begun_anew(name, sample, ffmpeg)
