"""What a probe concludes from the times at which tracks begin, without a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from ih_mcp.media.clock_jumps import MAX_PAUSE_SECONDS
from ih_mcp.media.ffmpeg import probe

MOST = MAX_PAUSE_SECONDS
BOTH = frozenset({"video", "audio"})


@dataclass(frozen=True)
class Known:
    """The facts that are asked for, and those that are concluded."""

    absent: frozenset[str]
    start_seconds: float | None = None
    present: frozenset[str] = BOTH
    late: frozenset[str] = frozenset()
    is_reordered: bool = False


@pytest.mark.parametrize(
    ("start_seconds", "shown", "is_late"),
    [
        (None, MOST, False),
        (None, MOST + 0.5, True),
        (4.0, MOST + 4.0, False),
        (4.0, MOST + 4.5, True),
        (None, None, False),
    ],
)
@pytest.mark.parametrize("name", sorted(BOTH))
async def test_a_track_is_late_where_it_begins_long_after_the_other(
    name: str, start_seconds: float | None, shown: float | None, is_late: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    facts = Known(frozenset({name}), start_seconds)
    found = await concluded(facts, None if shown is None else (shown, shown), monkeypatch)
    assert found.late == (facts.absent if is_late else frozenset())


@pytest.mark.parametrize(("decoded", "is_reordered"), [(19.9, True), (20.0, False)])
async def test_pictures_are_reordered_where_the_first_is_decoded_before_it_is_shown(
    decoded: float, is_reordered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = (decoded, 20.0)
    found = await concluded(Known(frozenset({"video"})), times, monkeypatch)
    assert found.is_reordered is is_reordered


@pytest.mark.parametrize(
    "facts",
    [Known(BOTH), Known(frozenset()), Known(frozenset({"video"}), present=frozenset({"video"}))],
)
async def test_of_one_track_or_of_two_that_were_not_seen_none_is_late(
    facts: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await concluded(facts, (99.0, 99.0), monkeypatch) is facts


async def concluded(
    facts: Known, times: tuple[float, float] | None, monkeypatch: pytest.MonkeyPatch
) -> Known:
    """With which beginnings, where each track that is looked at begins at these times."""

    async def first_times(*_: object) -> tuple[float, float] | None:
        return times

    monkeypatch.setattr(probe, "_first_times", first_times)
    any_of = cast("Any", None)
    return cast("Known", await probe._with_beginnings(any_of, any_of, cast("Any", facts)))
