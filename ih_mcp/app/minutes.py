"""What media costs in minutes, said before it is sent, and who permits it.

The person who runs ih-mcp sets the limits. What needs a permission is asked of that person, by the
host or on the terminal; a model cannot answer in their place.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ih_mcp.errors import CallerError, MinutesUsedUpError
from ih_mcp.journal import Journal, StreamAccount
from ih_mcp.settings import Settings
from ih_mcp.wire.minutes import (
    ASK_OVER,
    PER_DAY,
    PER_MONTH,
    PER_STREAM,
    MediaUse,
    MinuteLimit,
    MinutesBudget,
    Per,
    to_minutes,
)

if TYPE_CHECKING:  # loaded with the first file
    from ih_mcp.media.ffmpeg.facts import Facts
    from ih_mcp.media.ffmpeg.program import Ffmpeg


class ConsentChannel(Protocol):
    """How an entry point reaches the person who runs ih-mcp."""

    async def announce(self, sentence: str) -> None:
        """Say what is about to be sent."""

    async def ask(self, question: str, *, about: str) -> bool | None:
        """Ask for permission; gives None where nobody can be asked, or nobody decides.

        Args:
            about: What is permitted. An answer counts for nothing else.
        """


class SilentChannel:
    """Reaches nobody."""

    async def announce(self, sentence: str) -> None:  # noqa: ARG002 - of the protocol
        return

    async def ask(self, question: str, *, about: str) -> bool | None:  # noqa: ARG002 - of the protocol
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class MinutesPlan:
    """Media that is about to be sent."""

    name: str
    """Of the file, or what else gives the media."""
    seconds: float | None
    """Its length; None where it is live, or cannot be read."""

    @property
    def shown(self) -> str:
        """What it is and how long, as the beginning of a sentence."""
        if self.seconds is None:
            return f"{self.name}: media of unknown length goes"
        return f"{self.name}: {to_minutes(self.seconds, up=True):g} minutes of media go"


class MinutesAdviser:
    """Says what media costs, and gives the budget that it is counted under."""

    def __init__(self, settings: Settings, journal: Journal) -> None:
        self._settings = settings
        self._journal = journal

    def budget(self, *, is_permitted: bool = False) -> MinutesBudget:
        """The limits of the settings; above `IH_MCP_ASK_OVER_MINUTES` only with a permission."""
        settings = self._settings
        rows = (
            (PER_STREAM, Per.STREAM, settings.max_minutes_per_stream),
            (PER_DAY, Per.DAY, settings.max_minutes_per_day),
            (PER_MONTH, Per.MONTH, settings.max_minutes_per_month),
            (ASK_OVER, Per.STREAM, None if is_permitted else settings.ask_over_minutes),
        )
        return MinutesBudget(
            endpoint=settings.endpoint,
            is_free=settings.is_local,
            limits=tuple(
                MinuteLimit(setting=name, per=per, seconds=minutes * 60)
                for name, per, minutes in rows
                if minutes is not None
            ),
            max_bytes_per_day=settings.max_bytes_per_day,
            max_live_streams=settings.max_live_streams,
        )

    async def length_of(
        self, ffmpeg: Ffmpeg, path: Path, facts: Facts, *, must_know: bool = False
    ) -> float | None:
        """The seconds of a file; one that does not tell is read once where limits are set.

        Args:
            must_know: Whether it is read without limits too.

        Raises:
            MediaError: It cannot be read.
        """
        from ih_mcp.media.ffmpeg.probe import measure_seconds  # noqa: PLC0415 - loads ffmpeg-python

        seconds = facts.duration_seconds
        if (seconds is None or facts.is_estimated) and (must_know or self.budget().limits):
            return await measure_seconds(ffmpeg, path, facts)
        return seconds

    async def used(self, per: Per = Per.DAY) -> float:
        """How many seconds of today, or of this month, count, with what is promised."""
        budget = self.budget()
        return await self._journal.read_usage(lambda table: table.count(budget, per))

    async def promised(self) -> float:
        """How many seconds of today are promised to live streams, and not sent yet."""
        budget = self.budget()
        return await self._journal.read_usage(lambda table: table.count_promised(budget))

    async def left(self, per: Per = Per.DAY) -> float | None:
        """How many seconds may be sent today, or this month; None where no limit is set."""
        minutes = (
            self._settings.max_minutes_per_day
            if per is Per.DAY
            else self._settings.max_minutes_per_month
        )
        return None if minutes is None else max(0.0, minutes * 60 - await self.used(per))

    async def permit(self, plan: MinutesPlan, channel: ConsentChannel) -> MinutesBudget:
        """Announce media, ask for what needs a permission, and give the budget.

        Raises:
            MinutesUsedUpError: It would exceed a limit.
            CallerError: It needs a permission that nobody gave (`not_permitted`).
        """
        permitted = self.budget(is_permitted=True)
        try:
            await self._journal.read_usage(
                lambda table: table.check(permitted, plan.seconds or 0.0)
            )
        except MinutesUsedUpError as exc:
            what = f"{plan.name} was not sent: {exc.what}"
            raise MinutesUsedUpError(what, help=exc.help, facts=exc.facts) from None
        is_permitted = await self._is_permitted(plan, channel)
        await channel.announce(await self.describe(plan))
        return permitted if is_permitted else self.budget()

    async def _is_permitted(self, plan: MinutesPlan, channel: ConsentChannel) -> bool:
        """Whether more than `IH_MCP_ASK_OVER_MINUTES` may be sent; asks where that is not known.

        Raises:
            CallerError: All of the media needs a permission, and nobody gave one.
        """
        over = self._settings.ask_over_minutes
        if over is None or (plan.seconds is not None and plan.seconds <= over * 60):
            return False
        question = await self._question(plan, over)
        answer = await channel.ask(question, about=f"{plan.shown}, over {over:g}")
        if plan.seconds is not None and not answer:
            raise _not_permitted(plan, over, is_declined=answer is False)
        return bool(answer)  # live media may be sent up to there without one

    async def permit_token(
        self, seconds: float | None, size: int | None, channel: ConsentChannel
    ) -> StreamAccount:
        """Count the media that others may send with a token, as if it were sent.

        Raises:
            CallerError: Limits are set, and the token would have none (`token_uncapped`); else as
                `permit`.
        """
        limited = self.budget()
        if limited.limits and seconds is None:
            raise _token_uncapped("minutes", "max_video_seconds: so many seconds count as sent")
        if limited.max_bytes_per_day is not None and size is None:
            raise _token_uncapped("bytes", "max_bytes: so many count as sent")
        budget = await self.permit(MinutesPlan(name="a token", seconds=seconds), channel)
        account = self._journal.account(f"tk_{secrets.token_hex(16)}", budget)
        await account.spend(seconds or 0.0, MediaUse(), size=size or 0)
        return account

    async def facts(self, seconds: float | None) -> dict[str, object]:
        """The minutes of media and what is left, for an answer."""
        needed = {} if seconds is None else {"needed": to_minutes(seconds, up=True)}
        return {"minutes": needed | await self._left_by_name()}

    async def today(self) -> dict[str, object]:
        """The minutes of all media of today, and what is left, for an answer.

        What was sent and is known to be dropped does not count as used.
        """
        budget, promised = self.budget(), await self.promised()
        use = await self._journal.read_usage(lambda table: table.use_of_day(budget))
        seconds = {
            "sent_today": use.delivered_seconds,
            "analysed_today": use.analysed_seconds,
            "used_today": max(0.0, await self.used() - promised),
            "reserved_today": promised,
        }
        shown = {name: to_minutes(value, up=True) for name, value in seconds.items()}
        return {"minutes": shown | await self._left_by_name()}

    async def _left_by_name(self) -> dict[str, float]:
        """The minutes that are left, of each limit that is set."""
        found = {"left_today": await self.left(), "left_this_month": await self.left(Per.MONTH)}
        return {
            name: to_minutes(left, up=False) for name, left in found.items() if left is not None
        }

    async def describe(self, plan: MinutesPlan) -> str:
        """What is about to be sent, and what is left, as a sentence."""
        to = "the stand-in, which bills nothing" if self._settings.is_local else "the service"
        left = await self.left()
        return f"{plan.shown} to {to}{self._describe_left(left)}."

    def _describe_left(self, left: float | None) -> str:
        if left is None:
            return ""
        most = self._settings.max_minutes_per_day
        return f"; {to_minutes(left, up=False):g} of {most:g} minutes are left today"

    async def _question(self, plan: MinutesPlan, over: float) -> str:
        more = (
            f"It needs your permission to go on for more than {over:g} minutes; without it, it "
            f"ends there."
            if plan.seconds is None
            else f"More than {over:g} minutes need your permission."
        )
        return f"{await self.describe(plan)} {more} Send it?"


def _token_uncapped(of: str, what_to_give: str) -> CallerError:
    return CallerError(
        f"limits of {of} are set, and this token would have none",
        code="token_uncapped",
        help=f"Give {what_to_give}. A token of the kind access cannot be bounded.",
    )


def _not_permitted(plan: MinutesPlan, over: float, *, is_declined: bool) -> CallerError:
    why = (
        "it was declined, by the person or by a host that runs without one"
        if is_declined
        else "nobody can be asked here, or nobody answered"
    )
    return CallerError(
        f"{plan.shown.removesuffix(' go')} need a permission, as they are more than {over:g} "
        f"minutes; {why}",
        code="not_permitted",
        help=f"Nothing was sent. Send a shorter part, or the person who runs ih-mcp raises "
        f"{ASK_OVER}; asking again with other arguments does not help.",
        facts={
            "setting": ASK_OVER,
            "ask_over_minutes": over,
            "needed_minutes": to_minutes(plan.seconds or math.inf, up=True),
        },
    )
