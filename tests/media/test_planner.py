"""Packing: any stream is covered once, within the limits or with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from math import ceil

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ih_mcp.errors import MediaError
from ih_mcp.media.planner import Cut, Extent, OversizeError, Packer, too_little
from ih_mcp.media.segment_bounds import MARGIN_BYTES, MAX_WHOLE_SECONDS, Bounds, bounds
from ih_mcp.wire.dialects import V0, V1, V2, Dialect, Framing


@dataclass(frozen=True, slots=True)
class Piece:
    start_seconds: float
    end_seconds: float
    size: int = 10_000
    is_key: bool = True
    has_picture: bool = True
    has_leading: bool = False
    stays_seconds: float = 0.0

    @property
    def stays_until_seconds(self) -> float:
        return self.end_seconds + self.stays_seconds


BOUNDS = Bounds(
    target_seconds=5.0,
    min_seconds=3.0,
    joined_below_seconds=3.0,
    max_seconds=30.0,
    is_max_declared=True,
    min_bytes=1_000,
    max_bytes=1_000_000,
    needs_key=True,
)


def test_a_segment_may_be_as_long_as_the_longest_though_clocks_are_rounded() -> None:
    packer, follower = Packer(BOUNDS), Extent(15.0, 31.00005, 10)
    assert packer._is_within(Extent(1.0, 31.00005, 10))
    assert packer._are_within(Extent(1.0, 15.0, 10), follower)
    assert not packer._is_within(Extent(1.0, 31.0002, 10))
    assert not packer._are_within(Extent(0.9998, 15.0, 10), follower)


def test_a_segment_may_have_as_many_bytes_as_the_largest() -> None:
    packer = Packer(BOUNDS)
    assert packer._is_within(Extent(0.0, 5.0, 1_000_000))
    assert not packer._is_within(Extent(0.0, 5.0, 1_000_001))
    assert packer._are_within(Extent(0.0, 5.0, 400_000), Extent(5.0, 9.0, 600_000))
    assert not packer._are_within(Extent(0.0, 5.0, 400_000), Extent(5.0, 9.0, 600_001))


@dataclass(slots=True)
class Packed:
    segments: list[list[Piece]]
    error: MediaError | None = None
    most_kept: int = 0
    """Of bytes that were held at once."""


def pack(pieces: Sequence[Piece], limits: Bounds = BOUNDS, *, holds: bool = True) -> Packed:
    """As `Cutter` does it: what is released is final."""
    packer, packed = Packer(limits, holds=holds), Packed([])
    held: list[Piece] = []
    current: list[Piece] = []
    try:
        for piece in pieces:
            step = packer.add(piece)
            if step.settles:
                packed.segments.append(held)
                held = []
            if step.cut is Cut.BEFORE:
                assert not held
                held, current = current, []
            current.append(piece)
            if step.releases:
                packed.segments.append(held)
                held = []
            packed.most_kept = max(packed.most_kept, sum(p.size for p in held + current))
        if packer.ends_joined():
            held, current = held + current, []
    except OversizeError as error:
        packed.error = error
        drafts = (held, current)
        packed.segments += [d for d in drafts if d and d[0].start_seconds < error.start_seconds]
        return packed
    except MediaError as error:
        packed.error, current = error, []
    packed.segments += [draft for draft in (held, current) if draft]
    return packed


def row(*keys_at: float, end: float, size: int = 10_000) -> list[Piece]:
    """Pieces from key frame to key frame."""
    edges = [*keys_at, end]
    return [Piece(a, b, size) for a, b in pairwise(edges)]


def lengths(packed: Packed) -> list[float]:
    return [segment[-1].end_seconds - segment[0].start_seconds for segment in packed.segments]


def test_segments_reach_the_target_at_the_next_key_frame() -> None:
    assert lengths(pack(row(*range(0, 20, 2), end=20))) == [6, 6, 8]


def test_a_short_rest_joins_its_neighbour() -> None:
    assert lengths(pack(row(0, 2, 4, 6, 8, end=8.5))) == [8.5]


def test_a_rest_of_the_minimum_stands_alone() -> None:
    assert lengths(pack(row(0, 2, 4, 6, 8, end=9))) == [6, 3]


def test_live_segments_are_given_at_once() -> None:
    packed = pack(row(0, 2, 4, 6, 8, end=8.5), holds=False)
    assert lengths(packed) == [6]
    assert packed.error is not None
    assert packed.error.code == "too_short"


def test_a_small_segment_waits_for_the_bytes_it_needs() -> None:
    limits = replace(BOUNDS, min_bytes=35_000, is_max_declared=False)
    assert lengths(pack(row(*range(0, 40, 5), end=40), limits)) == [20, 20]


def test_a_still_picture_may_take_longer_than_we_like() -> None:
    limits = replace(BOUNDS, min_bytes=25_000, is_max_declared=False)
    assert lengths(pack(row(*range(0, 80, 20), end=80), limits)) == [80]


def test_a_declared_maximum_is_not_passed_even_then() -> None:
    limits = replace(BOUNDS, min_bytes=25_000)
    assert isinstance(pack(row(*range(0, 80, 20), end=80), limits).error, OversizeError)


def test_a_gop_that_is_too_long_is_told_with_its_beginning() -> None:
    packed = pack(row(0, 6, end=50))
    assert lengths(packed) == [6]
    assert isinstance(packed.error, OversizeError)
    assert packed.error.start_seconds == 6


def test_a_segment_is_cut_early_where_the_next_gop_would_not_fit() -> None:
    assert lengths(pack(row(0, 3, 6, 9, end=12, size=600_000))) == [3, 3, 3, 3]


def test_one_piece_above_the_maximum_is_told() -> None:
    assert isinstance(pack(row(0, end=1, size=2_000_000)).error, OversizeError)


def test_an_open_gop_is_never_cut_off_what_it_needs() -> None:
    pieces = [replace(p, has_leading=p.start_seconds != 16) for p in row(*range(0, 28, 2), end=28)]
    assert lengths(pack(pieces)) == [16, 12]


def test_open_gops_for_too_long_have_to_be_encoded_from_the_last_closed_one() -> None:
    pieces = [replace(p, has_leading=p.start_seconds != 6) for p in row(*range(0, 60, 2), end=60)]
    packed = pack(pieces)
    assert isinstance(packed.error, OversizeError)
    assert packed.error.start_seconds == 6
    assert lengths(packed) == [6]


def test_sound_goes_on_in_segments_of_the_wished_length_where_the_picture_has_ended() -> None:
    """A picture that would come after so long is encoded as a key frame."""
    silent = [Piece(5.0 * n, 5.0 * n + 5, is_key=n == 0, has_picture=n == 0) for n in range(9)]
    packed = pack(silent)
    assert packed.error is None
    assert lengths(packed) == [10, 5, 5, 5, 5, 5, 5, 5]
    packed = pack([replace(piece, size=300) for piece in silent])
    assert lengths(packed) == [20, 25]  # what is too small goes on


@pytest.mark.parametrize("apart", [6.0, 8.0, 12.0, 20.0])
def test_distant_key_frames_are_all_cut_at_where_a_short_rest_still_joins(apart: float) -> None:
    """As a file of two minutes, of which segments of two key frames each were made."""
    known = replace(BOUNDS, total_seconds=121.0)
    for end in (119.9, 120.0, 121.0):
        times = [apart * n for n in range(int(end / apart + 1)) if apart * n < end]
        cut_so = lengths(pack(row(*times, end=end), known))
        assert max(cut_so) < apart + BOUNDS.min_seconds
        assert sum(cut_so) == pytest.approx(end)


def test_where_a_picture_can_be_encoded_sound_alone_is_no_segment() -> None:
    silent = [Piece(5.0 * n, 5.0 * n + 5, is_key=n == 0, has_picture=n == 0) for n in range(9)]
    packed = pack(silent, replace(BOUNDS, needs_picture=True))
    assert isinstance(packed.error, OversizeError)
    assert packed.error.start_seconds == 0


def test_a_picture_goes_on_after_a_piece_of_sound_alone() -> None:
    pieces = [Piece(2.0 * n, 2.0 * n + 2, is_key=n == 0, has_picture=n != 1) for n in range(3)]
    packed = pack(pieces)
    assert packed.error is None
    assert packed.segments == [pieces]


@pytest.mark.parametrize("needs_key", [True, False])
def test_a_picture_that_stays_lasts_until_the_next_segment_begins(needs_key: bool) -> None:
    limits = replace(BOUNDS, needs_key=needs_key)
    slides = [Piece(at, at + 0.1, stays_seconds=20.0) for at in (0.0, 20.0, 40.0)]
    assert pack(slides, limits).segments == [[slide] for slide in slides]
    far = [Piece(at, at + 0.1) for at in (0.0, 40.0)]
    packed = pack(far, limits)
    assert isinstance(packed.error, OversizeError)
    assert packed.error.start_seconds == 0


def test_the_last_picture_stays_as_long_as_it_says() -> None:
    assert pack([Piece(0.0, 0.1, stays_seconds=8.0)]).segments
    assert isinstance(pack([Piece(0.0, 0.1, stays_seconds=80.0)]).error, OversizeError)


def test_a_picture_after_such_a_cut_has_to_be_encoded() -> None:
    pieces = [Piece(5.0 * n, 5.0 * n + 5, is_key=n == 0, has_picture=n in {0, 7}) for n in range(9)]
    packed = pack(pieces)
    assert isinstance(packed.error, OversizeError)
    assert packed.error.start_seconds == 30
    assert lengths(packed)[:4] == [10, 5, 5, 5]


def test_sound_is_not_cut_where_the_picture_pauses_for_less_than_the_wished_length() -> None:
    pieces = [Piece(2.0 * n, 2.0 * n + 2, is_key=n == 0, has_picture=n % 3 == 0) for n in range(9)]
    packed = pack(pieces)
    assert packed.error is None
    assert packed.segments == [pieces]


def continued(key_every: float, bounds: Bounds, *, end: float = 30.0) -> list[float]:
    """Lengths of the segments of a stream that can be cut twice a second."""
    row_of_pieces = row(*(n / 2 for n in range(int(2 * end))), end=end)
    pieces = [replace(p, is_key=p.start_seconds % key_every == 0) for p in row_of_pieces]
    packed = pack(pieces, replace(bounds, needs_key=False))
    assert packed.error is None
    return lengths(packed)


def test_a_continued_stream_is_cut_anywhere() -> None:
    assert continued(100.0, BOUNDS, end=10.0) == [5, 5]


NO_MINIMUM = replace(BOUNDS, target_seconds=3.0, min_seconds=0.0, joined_below_seconds=1.0)


@pytest.mark.parametrize(
    ("key_every", "expected"),
    [
        (1.0, [3] * 10),
        (2.0, [3, 1] * 7 + [2]),
        (3.5, [3, 3, 1] + [2, 1.5] * 6 + [2]),
        (10.0, [3, 3, 3, 1] * 3),
    ],
)
def test_a_continued_stream_is_cut_so_that_segments_begin_with_key_frames(
    key_every: float, expected: list[float]
) -> None:
    assert continued(key_every, NO_MINIMUM) == expected


@pytest.mark.parametrize("key_every", [1.0, 1.5, 2.0, 2.5, 3.5, 4.0, 7.5, 10.0])
@pytest.mark.parametrize("shortest", [1.0, 3.0])
def test_at_steady_key_frames_every_other_segment_begins_with_one(
    key_every: float, shortest: float
) -> None:
    bounds = replace(NO_MINIMUM, min_seconds=shortest, joined_below_seconds=shortest)
    edges = [0.0, *accumulate(continued(key_every, bounds, end=60.0))]
    keyed = [edge for edge in edges[:-1] if edge % key_every == 0]
    assert max(b - a for a, b in pairwise([*keyed, 60.0])) <= max(10.0, 3 * key_every)


def test_a_file_shorter_than_the_minimum_is_refused() -> None:
    packed = pack(row(0, end=2))
    assert packed.segments == []
    assert packed.error is not None
    assert packed.error.code == "too_short"
    assert "3 s" in str(packed.error)


def test_bounds_keep_a_margin_and_raise_the_target_to_the_minimum() -> None:
    made = bounds(V1.limits, V1.framing, target_seconds=1.0)
    assert made.max_bytes == V1.limits.max_segment_bytes - MARGIN_BYTES
    assert (made.target_seconds, made.min_seconds, made.needs_key) == (3.0, 3.0, False)


def test_whole_segments_have_a_longest_also_where_none_is_declared() -> None:
    made = bounds(V0.limits, V0.framing, target_seconds=5.0)
    assert (made.max_seconds, made.is_max_declared) == (MAX_WHOLE_SECONDS, False)
    declared = replace(V0.limits, max_segment_seconds=8.0)
    made = bounds(declared, Framing.WHOLE, target_seconds=20.0)
    assert (made.target_seconds, made.max_seconds, made.is_max_declared) == (8.0, 8.0, True)


def test_segments_are_shorter_where_the_rest_could_join_nothing() -> None:
    tight = replace(V0.limits, max_segment_seconds=6.0)
    for seconds, expected in ((12, [4, 4, 4]), (13, [5, 4, 4])):
        made = bounds(tight, Framing.WHOLE, target_seconds=5.0).of_stream(seconds, 0)
        assert lengths(pack(row(*range(seconds), end=seconds), made)) == expected


def test_segments_are_shorter_where_bytes_allow_no_longer_segment() -> None:
    """Twelve seconds of 77 Mbit/s: three segments that are as large as can be leave two seconds."""
    pieces = row(*(n / 2 for n in range(24)), end=12.0, size=4_800_000)
    made = bounds(V1.limits, V1.framing, target_seconds=5.0)
    packed = pack(pieces, made.of_stream(12.0, 24 * 4_800_000))
    assert lengths(packed) == [3, 3, 3, 3]


@given(
    count=st.integers(1, 60),
    seconds=st.floats(0.1, 4.0),
    size=st.integers(10_000, 20_000_000),
    limits=st.builds(
        lambda shortest, longer, target, needs_key: replace(
            BOUNDS,
            target_seconds=min(max(target, shortest), shortest + longer),
            min_seconds=shortest,
            joined_below_seconds=max(1.0, shortest),
            max_seconds=shortest + longer,
            max_bytes=33_000_000,
            needs_key=needs_key,
        ),
        st.floats(0.0, 6.0),
        st.floats(0.1, 30.0),
        st.floats(0.5, 12.0),
        st.booleans(),
    ),
)
def test_where_even_pieces_can_be_cut_within_the_limits_they_are(
    count: int, seconds: float, size: int, limits: Bounds
) -> None:
    edges = [seconds * n for n in range(count + 1)]
    pieces = row(*edges[:-1], end=edges[-1], size=size)
    packed = pack(pieces, limits.of_stream(edges[-1], count * size))
    most = min(int(limits.max_bytes // size), int(limits.max_seconds / seconds + 1e-6))
    least = max(ceil(limits.min_bytes / size), ceil(limits.min_seconds / seconds - 1e-6), 1)
    can_be_cut = any(n * least <= count <= n * most for n in range(1, count + 1))
    assert (packed.error is None) == can_be_cut


@pytest.mark.parametrize("dialect", [V0, V1, V2], ids=lambda d: d.name)
@given(
    count=st.integers(1, 1_000),
    seconds=st.floats(0.1, 12.0),
    share=st.floats(0.005, 0.3),
    minutes=st.floats(3.0, 600.0),
)
@example(count=60, seconds=8.333, share=0.01, minutes=10.0)  # as x264 puts key frames
@example(count=60, seconds=10.0, share=0.01, minutes=10.0)
def test_where_the_limits_are_far_away_segments_are_as_long_as_is_wished(
    dialect: Dialect, count: int, seconds: float, share: float, minutes: float
) -> None:
    """However long the rest of the file is, and however much of a segment's bytes that takes."""
    made = bounds(dialect.limits, dialect.framing, target_seconds=dialect.target_segment_seconds)
    longest = made.target_seconds + seconds
    size = int(made.max_bytes * share * seconds / longest)
    left = count * seconds + 60 * minutes
    pieces = row(*(seconds * n for n in range(count)), end=count * seconds, size=size)
    packed = pack(pieces, made.of_stream(left, int(left / seconds) * size))
    if packed.error is None:  # the few of them may be less than a segment
        *lengthy, last = lengths(packed)
        assert max(lengthy, default=0.0) <= longest + 1e-3
        assert last <= longest + made.joined_below_seconds


@pytest.mark.parametrize("dialect", [V1, V2], ids=lambda d: d.name)
@given(stays=st.floats(4.0, 600.0), rate=st.integers(1_000, 3_000_000), at=st.integers(0, 30))
@example(stays=300.0, rate=50_000, at=10)
def test_a_picture_that_stayed_does_not_lengthen_what_follows(
    dialect: Dialect, stays: float, rate: int, at: int
) -> None:
    made = bounds(dialect.limits, dialect.framing, target_seconds=dialect.target_segment_seconds)
    pauses = [0.5] * at + [stays] + [0.5] * 200
    edges = [0.0, *accumulate(pauses)]
    pieces = row(*edges[:-1], end=edges[-1], size=rate // 2)
    packed = pack(pieces, made.of_stream(edges[-1] + 1_800, (len(pieces) + 3_600) * rate // 2))
    assert packed.error is None
    pairs = zip(packed.segments, lengths(packed), strict=True)
    moving = [seconds for segment, seconds in pairs if pieces[at] not in segment]
    assert max(moving) <= made.target_seconds + 2.0
    assert sum(moving) / len(moving) >= made.target_seconds - 0.6


def test_small_maxima_keep_a_smaller_margin() -> None:
    made = bounds(
        replace(V2.limits, max_segment_bytes=80_000), Framing.CONTINUED, target_seconds=1.0
    )
    assert made.max_bytes == 70_000


@st.composite
def streams(draw: st.DrawFn) -> list[Piece]:
    """Pieces of any lengths and sizes, key or not; the first one always is."""
    shapes = draw(
        st.lists(
            st.tuples(
                st.floats(0.1, 12.0),
                st.integers(1, 400_000),
                st.booleans(),
                st.booleans(),
                st.booleans(),
            ),
            min_size=1,
            max_size=40,
        )
    )
    pieces, at = list[Piece](), 0.0
    for seconds, size, is_key, has_picture, has_leading in shapes:
        key = not pieces or is_key
        pieces.append(Piece(at, at + seconds, size, key, key or has_picture, has_leading))
        at += seconds
    return pieces


limits_of_any_kind = st.builds(
    lambda shortest, target, longest, is_declared, least, most, needs_key: Bounds(
        target_seconds=max(target, shortest),
        min_seconds=shortest,
        joined_below_seconds=max(1.0, shortest),
        max_seconds=max(target, shortest) + longest,
        is_max_declared=is_declared,
        min_bytes=least,
        max_bytes=most,
        needs_key=needs_key,
    ),
    st.floats(0.0, 6.0),
    st.floats(0.5, 12.0),
    st.floats(1.0, 30.0),
    st.booleans(),
    st.integers(0, 30_000),
    st.integers(300_000, 3_000_000),
    st.booleans(),
)


@given(pieces=streams(), limits=limits_of_any_kind, holds=st.booleans())
def test_any_stream_is_covered_once_within_the_limits_or_a_reason_is_given(
    pieces: list[Piece], limits: Bounds, holds: bool
) -> None:
    packed = pack(pieces, limits, holds=holds)
    covered = [piece for segment in packed.segments for piece in segment]
    assert covered == pieces[: len(covered)]
    assert packed.error is not None or covered == pieces
    for segment, seconds in zip(packed.segments, lengths(packed), strict=True):
        size = sum(piece.size for piece in segment)
        assert size <= limits.max_bytes
        assert size >= limits.min_bytes
        assert seconds >= limits.min_seconds - 1e-3
        if limits.is_max_declared:
            assert seconds <= limits.max_seconds + 1e-3
        if limits.needs_key:
            assert segment[0].is_key or not segment[0].has_picture


@given(pieces=streams(), limits=limits_of_any_kind)
def test_no_more_than_one_segment_is_kept(pieces: list[Piece], limits: Bounds) -> None:
    assert pack(pieces, limits).most_kept <= limits.max_bytes


@given(st.lists(st.floats(0.2, 4.0), min_size=4, max_size=60))
def test_key_frames_often_enough_never_give_an_error(gaps: list[float]) -> None:
    edges = [sum(gaps[:index]) for index in range(len(gaps) + 1)]
    pieces = row(*edges[:-1], end=edges[-1], size=1_000)
    packed = pack(pieces, replace(BOUNDS, min_bytes=0))
    assert (packed.error is None) == (edges[-1] >= 3.0 - 1e-4)


def test_a_packed_stream_without_atoms_ends_quietly() -> None:
    assert pack([]).segments == []


@pytest.mark.parametrize("dialect", [V0, V1, V2], ids=lambda d: d.name)
def test_every_dialect_gives_bounds_that_can_be_kept(dialect: Dialect) -> None:
    made = bounds(dialect.limits, dialect.framing, target_seconds=dialect.target_segment_seconds)
    assert made.min_seconds <= made.target_seconds <= made.max_seconds
    assert made.min_bytes < made.max_bytes


def test_a_rest_of_the_minimum_with_too_few_bytes_is_too_small_not_too_short() -> None:
    least = replace(BOUNDS, min_seconds=3.0, min_bytes=10)
    assert too_little(Extent(1.0, 4.0, 5), least).code == "too_small"
    assert too_little(Extent(1.0, 3.9, 5), least).code == "too_short"


def test_bytes_that_are_left_say_how_long_a_segment_may_be() -> None:
    limits = replace(BOUNDS, total_bytes=1_000, min_bytes=400, max_bytes=500, min_seconds=1.0)
    assert Packer(limits)._lengths(10.0, 1.0) == (4.0, 5.0)
    assert Packer(limits)._lengths(10.0, 0.5) == (8.0, 2.5)
    assert Packer(replace(limits, total_bytes=0))._lengths(10.0, 1.0) == (1.0, 30.0)
