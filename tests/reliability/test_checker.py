"""The checker finds each defect in a made-up history that has it, and nothing in one without."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.journal import Entry

from .checker import Body, Finding, History, Kind, Poll, Session, check

SENT = ["ready", "a", "b", "b", "c"]


def entries(*bodies: Body, leg: int = 0, first: int = 1) -> list[Entry]:
    return [Entry(first + at, leg, 0, body) for at, body in enumerate(bodies)]


def clean() -> dict[str, Any]:
    """Two legs, the first of them lost and told, read by two readers in pieces."""
    return {
        "sessions": [
            Session(sent=SENT, segments=["s1", "s2"], is_lost=True),
            Session(sent=["ready", "x"], segments=["s3"]),
        ],
        "kept": [*entries(*SENT[:4]), *entries("ready", "x", leg=1, first=5)],
        "polls": [
            Poll(reader="one", cursor=0, bodies=SENT[:2], next_cursor=2),
            Poll(reader="two", cursor=0, bodies=SENT[:4], next_cursor=4),
            Poll(reader="one", cursor=2, bodies=["b", "b", "ready", "x"], next_cursor=6),
            Poll(reader="one", cursor=6, bodies=[], next_cursor=6, is_ended=True),
        ],
        "acknowledged": 6,
        "told": {0},
    }


def kinds(**changes: Any) -> list[Kind]:
    return [finding.kind for finding in check(History(**clean() | changes))]


def test_a_history_that_keeps_every_promise_has_no_findings() -> None:
    assert kinds() == []


def legs(first: list[Entry]) -> list[Entry]:
    return [*first, *entries("ready", "x", leg=1, first=len(first) + 1)]


DEFECTS: dict[str, tuple[Kind, dict[str, Any]]] = {
    "a status counted more than is kept": (Kind.LOST, {"acknowledged": 7}),
    "a session that ended in order lacks its last message": (
        Kind.LOST,
        {"kept": entries(*SENT[:4]) + entries("ready", leg=1, first=5), "polls": (),
         "acknowledged": 0},
    ),
    "a message in the middle is missing": (
        Kind.LOST,
        {"kept": legs(entries("ready", "b", "b", "c")), "polls": (), "acknowledged": 0},
    ),
    "one byte differs": (
        Kind.CHANGED, {"kept": legs(entries("ready", "A", "b", "b")), "polls": ()},
    ),
    "what was shown was other than what is kept": (
        Kind.CHANGED, {"polls": [Poll(cursor=0, bodies=["ready", "A"], next_cursor=2)]},
    ),
    "a message nobody sent": (
        Kind.PHANTOM, {"kept": legs(entries(*SENT, "new")), "polls": ()},
    ),
    "a leg nobody had": (
        Kind.PHANTOM,
        {"kept": [*clean()["kept"], *entries("y", leg=2, first=7)], "polls": ()},
    ),
    "a message kept twice": (
        Kind.DUPLICATE, {"kept": legs(entries("ready", "a", "a", "b", "b")), "polls": ()},
    ),
    "a number twice": (
        Kind.DUPLICATE, {"kept": entries(*SENT[:2]) + entries(*SENT[1:2], first=2), "polls": (),
                         "sessions": [], "acknowledged": 0, "told": ()},
    ),
    "a number left out": (
        Kind.GAP,
        {"kept": entries(*SENT[:2]) + entries(*SENT[2:4], first=4)
         + entries("ready", "x", leg=1, first=6), "polls": ()},
    ),
    "numbers that begin late": (
        Kind.GAP, {"kept": [entry._replace(cursor=entry.cursor + 1) for entry in clean()["kept"]],
                   "polls": ()},
    ),
    "two messages in the other order": (
        Kind.REORDERED, {"kept": legs(entries("ready", "b", "a", "b")), "polls": ()},
    ),
    "an earlier leg after a later one": (
        Kind.REORDERED,
        {"kept": entries("ready", "x", leg=1) + entries(*SENT[:4], first=3), "polls": ()},
    ),
    "an answer that skips one": (
        Kind.POLL_SKIP,
        {"polls": [Poll(cursor=0, bodies=["a", "b"], next_cursor=3)]},
    ),
    "a reader that goes back": (
        Kind.NON_MONOTONIC_POLL,
        {"polls": [Poll(cursor=0, bodies=SENT[:4], next_cursor=4),
                   Poll(cursor=0, bodies=SENT[:2], next_cursor=2)]},
    ),
    "the same cursor, another answer": (
        Kind.NON_MONOTONIC_POLL,
        {"polls": [Poll(reader="one", cursor=2, bodies=["b"], next_cursor=3),
                   Poll(reader="two", cursor=2, bodies=["x"], next_cursor=3)]},
    ),
    "ended, then more": (
        Kind.EARLY_END,
        {"polls": [Poll(cursor=0, bodies=SENT[:4], next_cursor=4, is_ended=True)]},
    ),
    "a loss that is told nowhere": (Kind.SILENT_GAP, {"told": ()}),
    "a segment in two sessions": (
        Kind.DOUBLE_SEND,
        {"sessions": [clean()["sessions"][0], replace(clean()["sessions"][1], segments=["s2"])]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DEFECTS)
def test_a_history_with_a_defect_is_caught(name: str) -> None:
    kind, changes = DEFECTS[name]
    assert kind in kinds(**changes)


def test_every_kind_of_finding_has_a_history_that_shows_it() -> None:
    assert {kind for kind, _ in DEFECTS.values()} == set(Kind)


def test_sending_again_is_fine_where_it_was_asked_for() -> None:
    _, changes = DEFECTS["a segment in two sessions"]
    assert kinds(**changes, may_resend=True) == []


def test_what_the_journal_let_go_of_by_its_rules_is_not_missed() -> None:
    trimmed = clean()["kept"][2:]
    assert kinds(kept=trimmed, oldest=3) == []
    assert Kind.GAP in kinds(kept=trimmed)


bodies = st.lists(st.sampled_from(["a", "b", "c", "d", "\u2028", ""]), min_size=1, max_size=8)


@given(bodies, st.data())
def test_a_leg_is_clean_exactly_if_it_is_a_beginning_of_what_was_sent(
    sent: list[str], data: st.DataObject
) -> None:
    kept = data.draw(st.one_of(bodies, st.integers(0, len(sent)).map(lambda n: sent[:n])))
    history = History(sessions=[Session(sent=sent, is_lost=True)], kept=entries(*kept), told={0})
    assert (check(history) == []) == (kept == sent[: len(kept)])


def test_a_finding_says_where() -> None:
    history = History(sessions=[Session(sent=["ready"])], kept=[])
    assert check(history) == [Finding(Kind.LOST, "leg 0: 1 messages at its end")]
