from __future__ import annotations

import anyio
import anyio.lowlevel

from ih_mcp.media.ffmpeg.decode import Sound
from ih_mcp.standin.options import Options
from ih_mcp.wire.dialects import V2

from .fakes import ScriptedAnalyst, session

HERTZ, SECONDS = 16_000, 120


async def test_raw_sound_of_one_long_message_is_analysed_bit_by_bit() -> None:
    """So what has to wait is media, not what was made of it."""
    analyst = ScriptedAnalyst(gate=anyio.Event())
    assert analyst.gate is not None
    options = Options(analyst=lambda: analyst, max_waiting_windows=1)
    async with session(options, dialect=V2, model="inter-2-audio", room=100) as client:
        await client.until("session.ready")
        audio = {"encoding": "pcm_s16le", "sample_rate": HERTZ, "channels": 1}
        await client.say({"audio_format": audio})
        await client.until("session.updated")
        await client.socket.send_segment(bytes(2 * HERTZ * SECONDS))
        while len(analyst.windows) < 2:  # so many are analysed at once
            await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()
        assert 8 <= _seconds(analyst) < 24
        analyst.gate.set()
        await client.end()
    assert _seconds(analyst) == SECONDS


def _seconds(analyst: ScriptedAnalyst) -> float:
    sounds = [item for item in analyst.fed if isinstance(item, Sound)]
    assert all(item.end_seconds - item.start_seconds <= 1 for item in sounds)
    return sum(len(item.samples) for item in sounds) / 2 / HERTZ
