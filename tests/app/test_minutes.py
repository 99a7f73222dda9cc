"""Who is asked for minutes, how, and what counts; by its tools: see mcp_server/test_minutes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from ih_mcp.app.minutes import MinutesAdviser, MinutesPlan
from ih_mcp.errors import CallerError, MinutesUsedUpError
from ih_mcp.journal import open_journal
from ih_mcp.media.ffmpeg import probe
from ih_mcp.media.ffmpeg.facts import Facts
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.settings import read_settings
from ih_mcp.wire.minutes import MediaUse, Per


@dataclass
class Person:
    """Answers each question, and keeps what is said."""

    answer: bool | None
    said: list[str] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def announce(self, sentence: str) -> None:
        self.said.append(sentence)

    async def ask(self, question: str, *, about: str) -> bool | None:
        self.asked.append((question, about))
        return self.answer


@asynccontextmanager
async def adviser(folder: Path, **limits: float) -> AsyncIterator[MinutesAdviser]:
    settings = read_settings(endpoint="https://h", api_key="ih_k", data_dir=folder, **limits)
    async with open_journal(folder) as journal:
        yield MinutesAdviser(settings, journal)


def settings_named(budget: object) -> list[str]:
    return [limit.setting for limit in budget.limits]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("seconds", "answer", "is_asked", "limits"),
    [
        (299.0, None, False, ["IH_MCP_ASK_OVER_MINUTES"]),
        (300.0, None, False, ["IH_MCP_ASK_OVER_MINUTES"]),  # not more than 5 minutes
        (300.5, True, True, []),
        (None, True, True, []),
        (None, False, True, ["IH_MCP_ASK_OVER_MINUTES"]),  # live media goes on up to there
        (None, None, True, ["IH_MCP_ASK_OVER_MINUTES"]),
    ],
)
async def test_a_permission_is_asked_for_above_the_minutes_that_need_one(
    seconds: float | None, answer: bool | None, is_asked: bool, limits: list[str], tmp_path: Path
) -> None:
    person = Person(answer)
    async with adviser(tmp_path, ask_over_minutes=5.0) as minutes:
        budget = await minutes.permit(MinutesPlan(name="a.mp4", seconds=seconds), person)
    assert settings_named(budget) == limits
    assert [about for _, about in person.asked] == (
        [f"{MinutesPlan(name='a.mp4', seconds=seconds).shown}, over 5"] if is_asked else []
    )
    assert len(person.said) == 1
    more = (
        "It needs your permission to go on for more than 5 minutes; without it, it ends there."
        if seconds is None
        else "More than 5 minutes need your permission."
    )
    assert [question for question, _ in person.asked] == (
        [f"{person.said[0]} {more} Send it?"] if is_asked else []
    )


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (False, "it was declined, by the person or by a host that runs without one"),
        (None, "nobody can be asked here, or nobody answered"),
    ],
)
async def test_without_a_permission_a_file_is_refused_with_the_reason(
    answer: bool | None, why: str, tmp_path: Path
) -> None:
    person = Person(answer)
    async with adviser(tmp_path, ask_over_minutes=5.0) as minutes:
        with pytest.raises(CallerError) as refused:
            await minutes.permit(MinutesPlan(name="a.mp4", seconds=301.0), person)
    assert (refused.value.code, person.said) == ("not_permitted", [])
    assert refused.value.what == (
        "a.mp4: 5.02 minutes of media need a permission, as they are more than 5 minutes; " + why
    )
    assert refused.value.facts == {
        "setting": "IH_MCP_ASK_OVER_MINUTES",
        "ask_over_minutes": 5.0,
        "needed_minutes": 5.02,
    }


async def test_what_is_sent_is_announced_with_what_is_left_and_nobody_is_asked_without_a_bound(
    tmp_path: Path,
) -> None:
    person = Person(None)
    async with adviser(tmp_path, max_minutes_per_day=10.0) as minutes:
        await minutes.permit(MinutesPlan(name="a.mp4", seconds=90.0), person)
        await minutes.permit(MinutesPlan(name="live", seconds=None), person)
        with pytest.raises(MinutesUsedUpError):
            await minutes.permit(MinutesPlan(name="b.mp4", seconds=601.0), person)
        await minutes.permit_token(599.5, None, Person(None))
        await minutes.permit(MinutesPlan(name="live", seconds=None), Person(None))  # while any is
    assert person.asked == []
    assert person.said == [
        "a.mp4: 1.5 minutes of media go to the service; 10 of 10 minutes are left today.",
        "live: media of unknown length goes to the service; 10 of 10 minutes are left today.",
    ]


@pytest.mark.parametrize(
    ("limits", "seconds", "size", "missing"),
    [
        ({"max_minutes_per_day": 10.0}, None, 5, "limits of minutes are set"),
        ({"max_bytes_per_day": 10_000_000}, 5.0, None, "limits of bytes are set"),
        ({"max_minutes_per_day": 10.0}, 90.0, None, None),
        ({"max_bytes_per_day": 10_000_000}, None, 5, None),
        ({}, None, None, None),
    ],
)
async def test_a_token_needs_a_bound_of_its_own_where_there_is_one_of_that_kind(
    limits: dict[str, float],
    seconds: float | None,
    size: int | None,
    missing: str | None,
    tmp_path: Path,
) -> None:
    async with adviser(tmp_path, **limits) as minutes:
        if missing:
            with pytest.raises(CallerError, match=missing) as refused:
                await minutes.permit_token(seconds, size, Person(None))
            assert refused.value.code == "token_uncapped"
            assert await minutes.used() == 0.0
        else:
            await minutes.permit_token(seconds, size, Person(None))
            assert await minutes.used() == (seconds or 0.0)


async def test_what_is_used_is_taken_from_each_limit_and_none_is_below_0(tmp_path: Path) -> None:
    async with adviser(tmp_path, max_minutes_per_day=2.0, max_minutes_per_month=30.0) as minutes:
        account = await minutes.permit_token(90.0, None, Person(None))
        assert (await minutes.left(), await minutes.left(Per.MONTH)) == (30.0, 1_710.0)
        assert await minutes.facts(90.0) == {
            "minutes": {"needed": 1.5, "left_today": 0.5, "left_this_month": 28.5}
        }
        assert (await minutes.facts(90.1))["minutes"]["needed"] == 1.51  # type: ignore[index]
        assert await minutes.facts(None) == {
            "minutes": {"left_today": 0.5, "left_this_month": 28.5}
        }
        await account.settle(MediaUse(delivered_seconds=150.0, analysed_seconds=60.0), ended=True)
        assert await minutes.left() == 0.0
        assert await minutes.today() == {
            "minutes": {
                "sent_today": 2.5,
                "analysed_today": 1.0,
                "used_today": 2.5,
                "reserved_today": 0.0,
                "left_today": 0.0,
                "left_this_month": 27.5,
            }
        }
    async with adviser(tmp_path / "odd", max_minutes_per_day=2.0) as minutes:
        account = await minutes.permit_token(0.0, None, Person(None))
        nothing = dict.fromkeys(
            ("sent_today", "analysed_today", "used_today", "reserved_today"), 0.0
        )
        assert (await minutes.today())["minutes"] == nothing | {"left_today": 2.0}
        await account.settle(MediaUse(delivered_seconds=60.1, analysed_seconds=60.1), ended=True)
        used = dict.fromkeys(("sent_today", "analysed_today", "used_today"), 1.01)
        assert (await minutes.today())["minutes"] == nothing | used | {
            "left_today": 0.99  # what is left is rounded down
        }
    async with adviser(tmp_path / "free") as minutes:
        assert (await minutes.left(), await minutes.left(Per.MONTH)) == (None, None)


@pytest.mark.parametrize(
    ("seconds", "is_estimated", "is_limited", "must_know", "is_measured"),
    [
        (9.0, False, True, True, False),
        (9.0, True, False, False, False),
        (9.0, True, True, False, True),
        (9.0, True, False, True, True),
        (None, False, False, False, False),
        (None, False, True, False, True),
        (None, False, False, True, True),
    ],
)
async def test_a_file_is_read_whole_only_where_its_length_matters_and_is_not_known(
    seconds: float | None,
    is_estimated: bool,
    is_limited: bool,
    must_know: bool,
    is_measured: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def measure(*_: object) -> float:
        return 7.0

    monkeypatch.setattr(probe, "measure_seconds", measure)
    facts = Facts(
        container="mov",
        duration_seconds=seconds,
        is_estimated=is_estimated,
        video=None,
        audio=None,
    )
    limits = {"max_minutes_per_day": 5.0} if is_limited else {}
    ffmpeg = cast("Ffmpeg", None)
    async with adviser(tmp_path, **limits) as minutes:
        if must_know:
            found = await minutes.length_of(ffmpeg, tmp_path, facts, must_know=True)
        else:
            found = await minutes.length_of(ffmpeg, tmp_path, facts)
    assert found == (7.0 if is_measured else seconds)
