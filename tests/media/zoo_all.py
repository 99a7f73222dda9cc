"""Every beast of the zoo, both framings: `python -m pytest tests/media/zoo_all.py`.

Not collected by default; `test_split.py` has the short form.
"""

from __future__ import annotations

import pytest

from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.wire.dialects import Framing

from .checks import check_beast, check_begun_anew
from .zoo import ZOO, Zoo

MEDIA = [name for name, beast in ZOO.items() if beast.is_media]


@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("name", MEDIA)
async def test_a_beast_is_cut_right(name: str, framing: Framing, zoo: Zoo, ffmpeg: Ffmpeg) -> None:
    await check_beast(name, zoo, ffmpeg, framing)


@pytest.mark.parametrize("name", [name for name in MEDIA if not ZOO[name].ends])
async def test_a_stream_of_a_beast_begins_anew(name: str, zoo: Zoo, ffmpeg: Ffmpeg) -> None:
    await check_begun_anew(name, zoo, ffmpeg)
