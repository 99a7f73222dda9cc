from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.standin.analysis.analyst import Observations
from ih_mcp.standin.analysis.message_builder import MessageBuilder
from ih_mcp.standin.analysis.windows import Window, WindowGrid
from ih_mcp.wire.dialects import V1
from ih_mcp.wire.messages import Config, Reading
from ih_mcp.wire.ranges import Ranges
from ih_mcp.wire.spans import Lifecycle, MediaRange

from .fakes import seen

NOTHING = Observations()


def telling() -> MessageBuilder:
    return MessageBuilder(V1, min_window_seconds=3.0)


def tell(teller: MessageBuilder, window: Window, present: Ranges) -> list[Reading]:
    return teller.window(
        window,
        NOTHING,
        present=present.within(window.start_seconds, window.end_seconds),
        degraded=Ranges(),
        config=Config(),
        published=V1.signals,
    )


def test_what_comes_first_is_what_nobody_covered_before() -> None:
    teller = telling()
    observations = Observations(signals=[seen()], engagement="engaged")
    messages = teller.window(
        Window(4, 12, 20),
        observations,
        present=Ranges([MediaRange(12, 20)]),
        degraded=Ranges([MediaRange(13, 16)]),
        config=Config(
            include=("conversation_quality_overall",), goal_dimensions=("clarity", "energy")
        ),
        published=V1.signals,
    )
    assert [message.kind for message in messages] == [
        "coverage.dropped",
        "coverage.degraded",
        "signal.detected",
        "engagement.updated",
        "conversation_quality.updated",
        "feedback.generated",
    ]
    assert messages[0].fields == {"ranges": [{"start": 0.0, "end": 12}]}


def test_a_signal_the_session_cannot_report_is_left_out() -> None:
    messages = telling().window(
        Window(0, 0, 8),
        Observations(signals=[seen("stress")]),
        present=Ranges([MediaRange(0, 8)]),
        degraded=Ranges(),
        config=Config(),
        published=("agreement",),
    )
    assert messages == []


gaps = st.lists(
    st.tuples(st.integers(0, 60), st.integers(2, 12)).map(lambda g: MediaRange(g[0], g[0] + g[1])),
    max_size=4,
)


@given(st.integers(3, 60), gaps, st.sets(st.integers(0, 20)))
def test_billed_and_dropped_seconds_are_the_media_once_each(
    end: int, missing: list[MediaRange], shed: set[int]
) -> None:
    """Dropped is exactly what no delivered window covers; billed the union of those windows."""
    present = Ranges([MediaRange(0, end)])
    for gap in missing:
        present = Ranges(
            [*present.within(0, gap.start_seconds), *present.within(gap.end_seconds, 99)]
        )
    teller, lives, delivered = telling(), Lifecycle(), Ranges()
    messages = []
    for window in WindowGrid(window_seconds=8, hop_seconds=3, min_seconds=3).finish(float(end)):
        media = present.within(window.start_seconds, window.end_seconds)
        if window.index in shed or not list(media):
            continue
        messages += tell(teller, window, present)
        for item in media:
            delivered.add(item.start_seconds, item.end_seconds)
    for message in messages + teller.finish(float(end), config=Config()):
        lives.receive(message)
    dropped = Ranges(lives.dropped)
    assert teller.billed == delivered
    assert dropped == delivered.missing(0, end) == teller.dropped
    assert dropped.seconds == sum(r.end_seconds - r.start_seconds for r in lives.dropped)
