from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.standin.analysis.signal_messages import PresentSignal, SignalMessages
from ih_mcp.wire.dialects import REALTIME, V0, V1, V2, Dialect
from ih_mcp.wire.messages import Completed, Reading
from ih_mcp.wire.spans import (
    MAX_LAYERS,
    EngagementSpan,
    Lifecycle,
    MediaRange,
    MessagePlace,
    Phase,
    Span,
)

NAMES = ("agreement", "hesitation", "stress")


def seen(signal_type: str, probability: str = "high", rationale: str = "why") -> PresentSignal:
    return PresentSignal(signal_type=signal_type, probability=probability, rationale=rationale)


def signal(kind: str, **fields: object) -> Reading:
    return Reading(f"signal.{kind}", fields)


def fold(*messages: Reading) -> Lifecycle:
    lifecycle = Lifecycle()
    for message in messages:
        lifecycle.receive(message)
    return lifecycle


def test_a_signal_lives_from_its_detection_to_its_end() -> None:
    lifecycle = fold(
        signal("detected", signal_type="agreement", start=3, probability="high", rationale="a"),
        signal("updated", signal_type="agreement", start=6, probability="low", rationale="b"),
        signal("ended", signal_type="agreement", end=14),
    )
    assert lifecycle.spans == (
        Span(
            signal_type="agreement",
            start_seconds=3,
            end_seconds=14,
            probability="low",
            rationale="b",
            changes=1,
        ),
    )


def test_each_message_about_a_signal_begins_a_phase_that_stays_known() -> None:
    lifecycle = Lifecycle()
    messages = [
        signal("detected", signal_type="hesitation", start=0, probability="low", rationale="a"),
        signal("updated", signal_type="hesitation", start=6, probability="medium"),
        signal("updated", signal_type="hesitation", start=9, probability="low", rationale="c"),
        signal("ended", signal_type="hesitation", end=17),
    ]
    for cursor, message in enumerate(messages, start=1):
        lifecycle.receive(message, place=MessagePlace(cursor, 0))
    assert [
        (p.start_seconds, p.end_seconds, p.probability, p.rationale, p.begins.cursor)
        for p in lifecycle.phases
    ] == [(0, 6, "low", "a", 1), (6, 9, "medium", "a", 2), (9, 17, "low", "c", 3)]
    assert [phase.ends and phase.ends.cursor for phase in lifecycle.phases] == [2, 3, 4]


def test_overlapping_spans_of_one_signal_have_layers_of_their_own() -> None:
    times = [(0, 11), (9, 17), (15, 23), (16, 24), (24, 24), (24, 24), (24, 30)]
    messages = [
        message
        for start, end in times
        for message in (
            signal("detected", signal_type="hesitation", start=start),
            signal("ended", signal_type="hesitation", end=end),
        )
    ]
    spans = fold(*messages, signal("detected", signal_type="stress", start=0)).spans
    assert [span.layer for span in spans] == [0, 1, 0, 2, 0, 1, 2, 0]
    many = [{"type": "stress", "start": 0, "end": 5}] * (MAX_LAYERS + 2)
    layers = [span.layer for span in fold(Reading("result", {"signals": many})).spans]
    assert layers == [*range(MAX_LAYERS), MAX_LAYERS, MAX_LAYERS]


MESSAGES = st.builds(
    lambda kind, name, at, label: Reading(
        kind,
        {"signal_type": name, "end" if kind == "signal.ended" else "start": at, **label},
    ),
    st.sampled_from(["signal.detected", "signal.updated", "signal.ended"]),
    st.sampled_from(NAMES),
    st.integers(0, 30),
    st.sampled_from([{}, {"probability": "low"}, {"probability": "high", "rationale": "r"}]),
)


@given(st.lists(MESSAGES, max_size=30), st.booleans())
def test_phases_add_up_to_the_spans_and_layers_keep_them_apart(
    messages: list[Reading], is_closed: bool
) -> None:
    lifecycle = fold(*messages)
    if is_closed:
        lifecycle.close(40)
    by_span: dict[int, list[Phase]] = defaultdict(list)
    for phase in lifecycle.phases:
        by_span[phase.span].append(phase)
    assert sorted(by_span) == list(range(len(lifecycle.spans)))
    for number, span in enumerate(lifecycle.spans):
        phases = by_span[number]
        assert {(phase.signal_type, phase.layer) for phase in phases} == {
            (span.signal_type, span.layer)
        }
        assert (phases[0].start_seconds, phases[-1].end_seconds) == (
            span.start_seconds,
            span.end_seconds,
        )
        assert all(one.end_seconds == other.start_seconds for one, other in pairwise(phases))
        assert (phases[-1].probability, phases[-1].rationale) == (span.probability, span.rationale)
        assert (len(phases) - 1, phases[-1].ends_implicitly) == (
            span.changes,
            span.ends_implicitly,
        )
    for one, other in combinations(lifecycle.spans, 2):
        is_beside = (one.signal_type, one.layer) == (other.signal_type, other.layer)
        if is_beside and one.layer < MAX_LAYERS:
            assert one.end_seconds is not None
            assert other.start_seconds >= one.end_seconds


def test_an_update_does_not_move_the_start() -> None:
    lifecycle = fold(
        signal("detected", signal_type="stress", start=3),
        signal("updated", signal_type="stress", start=9),
    )
    assert [span.start_seconds for span in lifecycle.active] == [3]


def test_closing_ends_what_is_open_at_the_latest_time_named() -> None:
    lifecycle = fold(
        signal("detected", signal_type="stress", start=3),
        Reading("engagement.updated", {"state": "engaged", "start": 6}),
        signal("detected", signal_type="agreement", start=9),
    )
    lifecycle.close()
    assert [(s.signal_type, s.end_seconds, s.ends_implicitly) for s in lifecycle.spans] == [
        ("stress", 9, True),
        ("agreement", 9, True),
    ]
    assert lifecycle.engagement == [EngagementSpan(state="engaged", start_seconds=6, end_seconds=9)]
    assert lifecycle.engagement[0].ends_implicitly
    assert lifecycle.active == ()


def test_closing_at_a_known_time_uses_it() -> None:
    lifecycle = fold(signal("detected", signal_type="stress", start=3))
    lifecycle.close(20.5)
    assert lifecycle.spans[0].end_seconds == 20.5


def test_a_repeated_detection_is_a_change_and_not_a_second_life() -> None:
    detected = signal("detected", signal_type="stress", start=3, probability="low")
    lifecycle = fold(detected, detected)
    assert [(s.start_seconds, s.changes) for s in lifecycle.spans] == [(3, 1)]


def test_an_update_whose_detection_was_missed_opens_a_life() -> None:
    lifecycle = fold(signal("updated", signal_type="stress", start=3))
    assert [span.start_seconds for span in lifecycle.active] == [3]


def test_an_end_without_a_beginning_changes_nothing() -> None:
    assert fold(signal("ended", signal_type="stress", end=3)).spans == ()


def test_engagement_lasts_until_the_next_state_and_repeats_change_nothing() -> None:
    lifecycle = fold(
        Reading("engagement.updated", {"state": "engaged", "start": 0}),
        Reading("engagement.updated", {"state": "engaged", "start": 3}),
        Reading("engagement.updated", {"state": "neutral", "start": 6}),
    )
    assert lifecycle.engagement == [
        EngagementSpan(state="engaged", start_seconds=0, end_seconds=6, ends=MessagePlace()),
        EngagementSpan(state="neutral", start_seconds=6),
    ]
    assert not any(state.ends_implicitly for state in lifecycle.engagement)


def test_quality_keeps_the_newest_overall_and_every_period() -> None:
    first = {"start": 0, "end": 11, "values": {"quality_index": 50}}
    second = {"start": 11, "end": 20, "values": {"quality_index": 60}}
    lifecycle = fold(
        Reading("conversation_quality.updated", {"overall": {"clarity": 1}, "timeline": [first]}),
        Reading("conversation_quality.updated", {"overall": None, "timeline": [second]}),
        Reading("conversation_quality.updated", {"overall": {"clarity": 2}, "timeline": None}),
    )
    assert lifecycle.quality_overall == {"clarity": 2}
    assert [period.fields for period in lifecycle.quality_timeline] == [first, second]


def test_coverage_and_feedback_are_kept() -> None:
    lifecycle = fold(
        Reading("coverage.dropped", {"ranges": [{"start": 24, "end": 29}]}),
        Reading("coverage.degraded", {"ranges": [{"start": 40, "end": 48}]}),
        Reading("feedback.generated", {"feedback": "Slow down."}),
    )
    assert lifecycle.dropped == [MediaRange(24, 29)]
    assert lifecycle.degraded == [MediaRange(40, 48)]
    assert lifecycle.feedback == ["Slow down."]


@pytest.mark.parametrize(
    "fields",
    [
        {"signal_type": "agreement", "start": 3, "end": 9},
        {"signals": [{"type": "Agreement", "start": 3, "end": 9}]},
        {"signal": "agreement", "t": 3, "probability": 0.8},
        {"type": "agreement", "start": 3},
    ],
    ids=["end with the detection", "several in one message", "blog", "type instead"],
)
def test_older_forms_of_a_detection_mean_the_same(fields: dict[str, object]) -> None:
    (span,) = fold(Reading("signal.detected", fields)).active
    assert (span.signal_type, span.start_seconds, span.end_seconds) == ("agreement", 3, None)


@pytest.mark.parametrize("place", ["signals", "data"])
def test_a_v0_result_holds_whole_lives(place: str) -> None:
    item = {"type": "Agreement", "start": 0.0, "end": 5.0, "confidence": "High", "reasoning": "n"}
    body = {"signals": [item]} if place == "signals" else {"data": {"signal": [item]}}
    lifecycle = Lifecycle()
    lifecycle.receive(Completed(1))
    lifecycle.receive(Reading("result", body), offset_seconds=10.0)
    (span,) = lifecycle.spans
    assert (span.start_seconds, span.end_seconds) == (10.0, 15.0)
    assert (span.signal_type, span.probability, span.rationale) == ("agreement", "High", "n")


def test_a_v0_result_carries_engagement_and_quality() -> None:
    lifecycle = fold(
        Reading(
            "result",
            {
                "signals": [],
                "engagement_state": [{"start": 0, "end": 5, "state": "engaged"}],
                "conversation_quality": {"overall": {"clarity": 50}, "timeline": []},
            },
        )
    )
    lifecycle.close()
    assert lifecycle.engagement == [EngagementSpan(state="engaged", start_seconds=0, end_seconds=5)]
    assert lifecycle.quality_overall == {"clarity": 50}


def test_fields_of_another_kind_are_read_as_not_said() -> None:
    lifecycle = fold(
        signal("detected", signal_type=3, start="x"),
        signal("detected", signal_type="stress", start=True),
        Reading("coverage.dropped", {"ranges": "all"}),
        Reading("conversation_quality.updated", {"timeline": [3]}),
        Reading("something.new", {"signal_type": "stress"}),
    )
    assert [(s.signal_type, s.start_seconds) for s in lifecycle.spans] == [("stress", 0.0)]


def test_a_window_is_told_in_a_fixed_order() -> None:
    emission = SignalMessages(V2)
    emission.window(0, 8, [seen("stress"), seen("agreement", "low")])
    messages = emission.window(
        3,
        11,
        [seen("agreement", "high"), seen("interest")],
        engagement="engaged",
        quality={"overall": {}},
    )
    assert [(m.kind, m.fields.get("signal_type")) for m in messages] == [
        ("signal.ended", "stress"),
        ("signal.detected", "interest"),
        ("signal.updated", "agreement"),
        ("engagement.updated", None),
        ("conversation_quality.updated", None),
    ]
    assert messages[0].fields["end"] == 8
    assert messages[1].fields["start"] == 3


@pytest.mark.parametrize(("dialect", "is_told"), [(V1, False), (V2, True)])
def test_a_new_rationale_alone_is_told_on_v2_only(dialect: Dialect, is_told: bool) -> None:
    emission = SignalMessages(dialect)
    emission.window(0, 8, [seen("stress", rationale="a")])
    messages = emission.window(3, 11, [seen("stress", rationale="b")])
    assert [m.kind for m in messages] == (["signal.updated"] if is_told else [])


@pytest.mark.parametrize(("dialect", "has_it"), [(V0, False), (V1, True), (V2, False)])
def test_modality_is_told_where_the_dialect_has_it(dialect: Dialect, has_it: bool) -> None:
    (message,) = SignalMessages(dialect).window(0, 8, [seen("stress")])
    assert ("modality" in message.fields) is has_it


def test_finishing_ends_what_is_active_at_the_end_of_the_media() -> None:
    emission = SignalMessages(V1)
    emission.window(0, 8, [seen("stress")])
    assert emission.finish(9.5) == [Reading("signal.ended", {"signal_type": "stress", "end": 9.5})]
    assert emission.finish(9.5) == []


windows = st.lists(
    st.lists(
        st.builds(
            seen, st.sampled_from(NAMES), st.sampled_from(["high", "low"]), st.sampled_from("ab")
        ),
        max_size=3,
        unique_by=lambda item: item.signal_type,
    ),
    max_size=12,
)


def told(dialect: Dialect, lives: Sequence[Sequence[PresentSignal]]) -> list[Reading]:
    emission = SignalMessages(dialect)
    messages: list[Reading] = []
    for index, items in enumerate(lives):
        messages += emission.window(index * 3.0, index * 3.0 + 8.0, items)
    return messages + emission.finish(len(lives) * 3.0 + 5.0)


@given(windows, st.sampled_from([V1, V2]))
def test_every_detection_has_one_end_and_one_type_lives_once_at_a_time(
    lives: list[list[PresentSignal]], dialect: Dialect
) -> None:
    alive: dict[str, bool] = defaultdict(bool)
    for message in told(dialect, lives):
        name = str(message.fields["signal_type"])
        assert alive[name] is (message.kind != "signal.detected")
        alive[name] = message.kind != "signal.ended"
    assert not any(alive.values())


@given(windows, st.sampled_from([V1, V2]))
def test_what_is_told_folds_back_into_the_windows_it_came_from(
    lives: list[list[PresentSignal]], dialect: Dialect
) -> None:
    lifecycle = fold(*told(dialect, lives))
    assert lifecycle.active == ()
    last_end = len(lives) * 3.0 + 5.0
    for name in NAMES:
        present = [i for i, items in enumerate(lives) if name in {s.signal_type for s in items}]
        starts = [i * 3.0 for i in present if i - 1 not in present]
        ends = [i * 3.0 + 8.0 for i in present if i + 1 not in present]
        if ends and present[-1] == len(lives) - 1:
            ends[-1] = max(ends[-1], last_end)
        spans = [s for s in lifecycle.spans if s.signal_type == name]
        assert [s.start_seconds for s in spans] == starts
        assert [s.end_seconds for s in spans] == ends


@given(windows)
def test_a_lost_connection_leaves_no_life_open(lives: list[list[PresentSignal]]) -> None:
    messages = told(V1, lives)
    for cut in range(len(messages)):
        lifecycle = fold(*messages[:cut])
        lifecycle.close()
        for span in lifecycle.spans:
            assert span.end_seconds is not None
            assert span.end_seconds >= span.start_seconds


def test_feedback_without_a_text_tells_nothing() -> None:
    assert fold(Reading("feedback.generated", {"feedback": 7})).feedback == []


def test_a_session_that_coaches_tells_no_rationale() -> None:
    (told,) = SignalMessages(REALTIME).window(0, 8, [seen("stress")])
    assert "rationale" not in told.fields


def test_all_that_was_folded_can_be_forgotten() -> None:
    names = [f"s{number}" for number in range(5000)]
    found = fold(*(signal("detected", signal_type=name, start=1.0) for name in names))
    assert len(found.spans) == len(found.phases) == 5000
    found.clear()
    assert len(found.spans) == len(found.phases) == len(found.active) == 0
