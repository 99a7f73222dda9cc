"""Holds what callers were shown and what was kept against what the service sent.

A test collects a `History` while its schedule of faults runs, and `check` names every promise
that was broken in it. The names are those of Jepsen's checkers of logs, where they have one
(jepsen.tests.kafka: lost write, duplicate, poll skip, nonmonotonic poll).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from ih_mcp.journal import Entry, Journal
from ih_mcp.standin.recorder import SessionRecord

Body = str | bytes


class Kind(StrEnum):
    """What can be wrong."""

    LOST = "lost"
    """It was acknowledged, or sent in a session that ended in order, and is not kept."""
    CHANGED = "changed"
    """Kept or shown with other bytes than were sent."""
    PHANTOM = "phantom"
    """Kept, and never sent."""
    DUPLICATE = "duplicate"
    """A number stands twice, or a message was kept more often than it was sent."""
    GAP = "gap"
    """Numbers are not 1, 2, 3..."""
    REORDERED = "re-ordered"
    """Kept in another order than sent."""
    POLL_SKIP = "poll skip"
    """An answer does not go on where the question stood."""
    NON_MONOTONIC_POLL = "non-monotonic poll"
    """A reader went back, or the same cursor gave another answer."""
    EARLY_END = "early end"
    """Said to be ended, then more came."""
    SILENT_GAP = "silent gap"
    """A connection was lost, and nobody was told."""
    DOUBLE_SEND = "double send"
    """A segment went out in two sessions, unasked."""


@dataclass(frozen=True, slots=True)
class Finding:
    kind: Kind
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One API session, seen from the service."""

    sent: Sequence[Body] = ()
    """In order. What a lost connection swallowed may be a tail of it."""
    segments: Sequence[object] = ()
    """Names of the segments that came, equal where their media is; headers left out."""
    is_lost: bool = False
    """Whether the connection was lost, so that a tail of `sent` may be missing."""

    @classmethod
    def of(cls, record: SessionRecord, *, is_lost: bool = False) -> Session:
        """From the stand-in's own record."""
        return cls(sent=record.texts, segments=record.segments, is_lost=is_lost)


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """One answer to one reader."""

    reader: str = "reader"
    cursor: int
    """That was asked with."""
    bodies: Sequence[Body]
    next_cursor: int
    is_ended: bool = False


@dataclass(slots=True, kw_only=True)
class History:
    """One stream, from every side. Legs are numbered like `sessions`, from 0."""

    sessions: Sequence[Session]
    kept: Sequence[Entry]
    """All of the journal, read after everything."""
    polls: Sequence[Poll] = ()
    """In the order they were answered."""
    acknowledged: int = 0
    """The highest cursor that a status counted, beside what polls showed."""
    told: Collection[int] = ()
    """Legs whose loss was told: by a gap, or as the reason of the stream's end."""
    may_resend: bool = False
    """Whether the caller asked for unknown segments to be sent again."""
    oldest: int = 1
    """The oldest cursor that is to be there; higher where the journal let go of some."""
    by_cursor: Mapping[int, Body] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.by_cursor = {entry.cursor: entry.body for entry in self.kept}


def check(history: History) -> list[Finding]:
    """Everything that is wrong in a history; nothing where every promise was kept."""
    return [finding for check_one in _CHECKS for finding in check_one(history)]


async def read_kept(journal: Journal, stream_id: str) -> tuple[Entry, ...]:
    """All of a stream, as the journal holds it."""
    page = await journal.read_page(stream_id, 0, limit=10**9, max_chars=10**12)
    return page.entries


# --- numbers --------------------------------------------------------------------------------------


def _numbers(history: History) -> Iterator[Finding]:
    cursors = [entry.cursor for entry in history.kept]
    for cursor, times in Counter(cursors).items():
        if times > 1:
            yield Finding(Kind.DUPLICATE, f"cursor {cursor} is kept {times} times")
    if cursors and cursors[0] != history.oldest:
        yield Finding(Kind.GAP, f"the first cursor is {cursors[0]}, not {history.oldest}")
    for one, next_ in pairwise(cursors):
        if next_ > one + 1:
            yield Finding(Kind.GAP, f"cursor {next_} follows {one}")
        elif next_ < one:
            yield Finding(Kind.REORDERED, f"cursor {next_} follows {one}")
    legs = [entry.leg for entry in history.kept]
    for one, next_ in pairwise(legs):
        if next_ < one:
            yield Finding(Kind.REORDERED, f"a message of leg {next_} follows leg {one}")


def _acknowledged(history: History) -> Iterator[Finding]:
    last = max(history.by_cursor, default=0)
    if history.acknowledged > last:
        what = f"{history.acknowledged} were counted, {last} are kept"
        yield Finding(Kind.LOST, what)
    for poll in history.polls:
        for cursor, body in _shown(poll):
            if cursor not in history.by_cursor:
                if cursor >= history.oldest:
                    yield Finding(Kind.LOST, f"{poll.reader} was shown cursor {cursor}")
            elif history.by_cursor[cursor] != body:
                yield Finding(Kind.CHANGED, f"cursor {cursor}, since {poll.reader} was shown it")


# --- messages -------------------------------------------------------------------------------------


def _messages(history: History) -> Iterator[Finding]:
    by_leg: dict[int, list[Body]] = {}
    for entry in history.kept:
        by_leg.setdefault(entry.leg, []).append(entry.body)
    for leg, bodies in by_leg.items():
        if leg >= len(history.sessions):
            yield Finding(Kind.PHANTOM, f"{len(bodies)} messages of leg {leg}, which never was")
    first = history.kept[0].leg if history.kept and history.oldest > 1 else 0
    for leg, session in enumerate(history.sessions[first:], start=first):
        kept, sent = by_leg.get(leg, []), list(session.sent)
        if leg == first and history.oldest > 1:
            sent = _without_head(sent, kept)
        yield from _of_one_leg(leg, kept, sent, session)


def _without_head(sent: list[Body], kept: list[Body]) -> list[Body]:
    """What was sent, from the first place on where all of the kept fits."""
    fits = (at for at in range(len(sent)) if sent[at : at + len(kept)] == kept)
    return sent[next(fits, 0) :]


def _of_one_leg(
    leg: int, kept: list[Body], sent: list[Body], session: Session
) -> Iterator[Finding]:
    """Kept must be what was sent, or a beginning of it where the connection was lost."""
    if kept == sent[: len(kept)]:
        if len(kept) < len(sent) and not session.is_lost:
            yield Finding(Kind.LOST, f"leg {leg}: {len(sent) - len(kept)} messages at its end")
        return
    extra, missing = Counter(kept), Counter(sent[: len(kept)])
    extra.subtract(sent)
    missing.subtract(kept)
    known = set(sent)
    strangers = [body for body in +extra if body not in known]
    yield from (
        Finding(Kind.DUPLICATE, f"leg {leg}: {_short(body)} is kept {times} times too often")
        for body, times in (+extra).items()
        if body in known
    )
    absent = [body for body in +missing if body not in kept]
    for body in strangers:
        at = kept.index(body)
        if at < len(sent) and sent[at] in absent:
            absent.remove(sent[at])
            yield Finding(Kind.CHANGED, f"leg {leg}: {_short(sent[at])} is kept as {_short(body)}")
        else:
            yield Finding(Kind.PHANTOM, f"leg {leg}: {_short(body)}")
    for body in absent:
        yield Finding(Kind.LOST, f"leg {leg}: {_short(body)}")
    if not strangers and not absent and not +extra:
        yield Finding(Kind.REORDERED, f"leg {leg}: the messages stand in another order")


def _short(body: Body) -> str:
    return repr(body) if len(body) <= 60 else f"{body[:60]!r}..."


# --- readers --------------------------------------------------------------------------------------


def _shown(poll: Poll) -> Iterator[tuple[int, Body]]:
    first = poll.next_cursor - len(poll.bodies) + 1
    return enumerate(poll.bodies, start=first)


def _polls(history: History) -> Iterator[Finding]:
    last: dict[str, int] = {}
    answers: dict[int, Sequence[Body]] = {}
    for poll in history.polls:
        if poll.next_cursor != poll.cursor + len(poll.bodies):
            what = f"asked after {poll.cursor}, got {len(poll.bodies)}, next {poll.next_cursor}"
            yield Finding(Kind.POLL_SKIP, f"{poll.reader}: {what}")
        if poll.next_cursor < last.get(poll.reader, 0):
            what = f"to {poll.next_cursor} from {last[poll.reader]}"
            yield Finding(Kind.NON_MONOTONIC_POLL, f"{poll.reader} went back {what}")
        last[poll.reader] = poll.next_cursor
        before = answers.get(poll.cursor, ())
        common = min(len(before), len(poll.bodies))
        if list(before[:common]) != list(poll.bodies[:common]):
            what = f"cursor {poll.cursor} gave another answer than before"
            yield Finding(Kind.NON_MONOTONIC_POLL, f"{poll.reader}: {what}")
        answers[poll.cursor] = max(before, poll.bodies, key=len)


def _ends(history: History) -> Iterator[Finding]:
    last = max(history.by_cursor, default=0)
    for poll in history.polls:
        if poll.is_ended and poll.next_cursor < last:
            what = f"ended at {poll.next_cursor}, and {last} are kept"
            yield Finding(Kind.EARLY_END, f"{poll.reader} was told: {what}")


# --- connections ----------------------------------------------------------------------------------


def _losses(history: History) -> Iterator[Finding]:
    for leg, session in enumerate(history.sessions):
        if session.is_lost and leg not in history.told:
            yield Finding(Kind.SILENT_GAP, f"the loss of leg {leg} was told nowhere")


def _sends(history: History) -> Iterator[Finding]:
    if history.may_resend:
        return
    seen: dict[object, int] = {}
    for leg, session in enumerate(history.sessions):
        for segment in session.segments:
            if seen.setdefault(segment, leg) != leg:
                what = f"segment {segment!r} went out in legs {seen[segment]} and {leg}"
                yield Finding(Kind.DOUBLE_SEND, what)


_CHECKS = (_numbers, _acknowledged, _messages, _polls, _ends, _losses, _sends)
