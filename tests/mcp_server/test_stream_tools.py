"""What is said of a stream's configuration, and what becomes of a start that is cancelled."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from ih_mcp.app.minutes import MinutesAdviser
from ih_mcp.mcp_server.stream_tools import _OVERALL_NOTE, _is_answered, _notes_on
from ih_mcp.streams.stream import Stream
from ih_mcp.wire.messages import Config
from tests.road.host import Host, open_memory_host


def test_overall_values_are_said_to_count_from_the_beginning() -> None:
    for include in (("signals",), ("signals", "conversation_quality_overall")):
        asked = Config(include=include, goal_dimensions=())
        assert _notes_on(asked, asked) == [_OVERALL_NOTE] * (len(include) - 1)


@pytest.mark.parametrize("tool", ["start_stream", "stream_file", "start_capture"])
async def test_a_stream_whose_start_is_cancelled_before_its_answer_ends(
    tmp_path: Path, short_clip: Path, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    """Its caller has no id: it would be sent and paid for to its end, or take a place till then."""
    begun = anyio.Event()

    async def wait_for_ever(*_: object) -> None:
        begun.set()
        await anyio.sleep_forever()

    monkeypatch.setattr(MinutesAdviser, "facts", wait_for_ever)
    monkeypatch.setattr(Stream, "wait_until_open", wait_for_ever)
    given = {"path": str(short_clip), "pace": "realtime"} if tool == "stream_file" else {}
    async with open_memory_host(
        tmp_path, endpoint="local", media_dirs=str(short_clip.parent)
    ) as host:
        async with anyio.create_task_group() as caller:
            caller.start_soon(_call, host, tool, given)
            await begun.wait()
            caller.cancel_scope.cancel()
        monkeypatch.undo()
        (row,) = (await host.call("list_streams")).status["streams"]
        ended = await host.call("end_stream", stream_id=row["stream_id"], wait_s=20)
        assert (ended.status["ended"], ended.status["state"]) == (True, "ended")
        assert any("before" in note for note in ended.status["notes"]), ended.status
        again = await host.call(tool, **given)  # and the next call is as any other
        assert not again.is_error, again.text


async def _call(host: Host, tool: str, given: dict[str, str]) -> None:
    await host.call(tool, **given)


@pytest.mark.parametrize("is_configured", [False, True])
@pytest.mark.parametrize("error", [None, "ih1001"])
def test_options_are_answered_by_a_confirmation_or_an_error(
    is_configured: bool, error: str | None
) -> None:
    leg = SimpleNamespace(is_configured=is_configured, session=SimpleNamespace(last_error=error))
    assert _is_answered(cast("Any", SimpleNamespace(leg=leg))) is (is_configured or bool(error))
    assert not _is_answered(cast("Any", SimpleNamespace(leg=None)))
