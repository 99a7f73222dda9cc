from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.standin.analysis.placeholder import SIGNALS
from ih_mcp.standin.analysis.quality import DIMENSIONS, Quality

from .fakes import seen


def scores(closed: Mapping[str, object] | None) -> Mapping[str, float]:
    assert closed is not None
    overall = closed["overall"]
    assert isinstance(overall, dict)
    return overall


def test_without_evidence_everything_is_fifty() -> None:
    quality = Quality()
    assert quality.window(8, [], "neutral") is None
    closed = quality.window(11, [], None)
    assert scores(closed) == dict.fromkeys(("quality_index", *DIMENSIONS), 50.0)
    assert closed is not None
    assert closed["timeline"] == [{"start": 0.0, "end": 11, "values": scores(closed)}]


def test_periods_follow_one_another_on_the_grid_of_the_docs() -> None:
    quality = Quality()
    closed = [quality.window(end, [], None) for end in (8, 11, 14, 17, 20, 23)]
    entries = [c["timeline"][0] for c in closed if c]  # type: ignore[index]  # JSON
    assert [(e["start"], e["end"]) for e in entries] == [(0.0, 11), (11, 20)]
    rest = quality.finish(min_seconds=3.0)
    assert rest is not None
    assert rest["timeline"][0]["start"] == 20  # type: ignore[index]  # JSON
    assert quality.finish(min_seconds=3.0) is None


def test_the_overall_score_is_weighted_by_the_length_of_periods() -> None:
    quality = Quality()
    quality.window(8, [seen("confidence")], None)
    first = scores(quality.window(11, [seen("confidence")], None))
    assert first["authority"] == 70.0
    quality.window(14, [], None)
    second = scores(quality.window(20, [], None))
    assert second["authority"] == round((70 * 11 + 50 * 9) / 20, 1)


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(SIGNALS), unique=True),
            st.sampled_from(["low", "medium", "high"]),
            st.sampled_from(["engaged", "neutral", "disengaged", None]),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_scores_stay_between_0_and_100_and_the_index_is_their_mean(
    windows: list[tuple[list[str], str, str | None]],
) -> None:
    quality = Quality()
    closed = [
        quality.window(8.0 + 3 * index, [seen(name, label) for name in names], state)
        for index, (names, label, state) in enumerate(windows)
    ]
    for each in [*closed, quality.finish(min_seconds=0.0)]:
        if each is None:
            continue
        overall = scores(each)
        assert all(0 <= overall[name] <= 100 for name in DIMENSIONS)
        assert overall["quality_index"] == round(sum(overall[n] for n in DIMENSIONS) / 5, 1)
