"""Clocks and spans of a container's units."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ih_mcp.media.containers.container_types import (
    AheadPicture,
    MediaUnit,
    StreamTimes,
    TimestampField,
    TrackSpan,
)

CLOCK = TimestampField(offset=4, width=4, ticks=3_000, ticks_per_second=1_000.0)


def test_a_clock_is_written_for_a_stream_that_starts_later_and_never_below_zero() -> None:
    assert CLOCK.shifted(0.0) == (3_000).to_bytes(4, "big")
    assert CLOCK.shifted(1.25) == (1_750).to_bytes(4, "big")
    assert CLOCK.shifted(3.0) == CLOCK.shifted(9.0) == bytes(4)


def test_what_a_clock_is_not_set_back_is_taken_from_when_pictures_are_shown() -> None:
    ahead = tuple(AheadPicture(8 * n, ticks, 1_000.0, 9.0) for n, ticks in enumerate((5_000, 200)))
    clock = CLOCK._replace(ahead=ahead, last_length=(20, 4, 40))
    numbers = [
        [(place, int.from_bytes(written, "big")) for place, written in clock.moves(104, seconds)]
        for seconds in (3.0, 4.0)
    ]
    assert numbers == [[(104, 0)], [(104, 0), (100, 4_000), (108, 0), (120, 40)]]
    (earlier,) = (picture.earlier(2.0) for picture in ahead[:1])
    assert (earlier.ticks, earlier.shown_seconds) == (3_000, 7.0)


def test_a_key_frame_far_ahead_counts_from_when_it_is_decoded() -> None:
    picture = AheadPicture(8, 5_000, 1_000.0, 9.0)
    span = TrackSpan(1, 9.0, 8.0, 11.0, ahead_seconds=5.0, ahead=(picture,))
    assert span.as_decoded() == TrackSpan(1, 4.0, 3.0, 6.0, ahead=(picture,))
    assert span.earlier(1.0).ahead == (picture._replace(shown_seconds=8.0),)


def test_what_the_header_adds_shrinks_before_the_clock_does() -> None:
    late = TimestampField(4, 4, 3_000, 1_000.0, delay_seconds=2.0)
    assert late.shifted(1.5) == (3_000).to_bytes(4, "big")
    assert late.shifted(2.5) == (2_500).to_bytes(4, "big")


def test_a_clock_is_set_back_once_in_what_was_read_and_once_where_it_stands() -> None:
    earlier = CLOCK.earlier(1.0).earlier(0.5)
    assert (earlier.ticks, earlier.set_back) == (1_500, 1_500)
    assert earlier.written((2_000).to_bytes(4, "big")) == (500).to_bytes(4, "big")
    assert earlier.written((1_000).to_bytes(4, "big")) == bytes(4)


def test_a_unit_says_nothing_that_it_was_not_told() -> None:
    told = unit(1.0, 1.0, is_first=False)
    assert (told.skipped_seconds, told.h264_offset, told.is_first) == (0.0, None, False)


def unit(
    picture: float, sound: float, *, has_picture: bool = True, is_first: bool = True
) -> MediaUnit:
    return MediaUnit(
        offset=0,
        size=1,
        spans=(TrackSpan(1, picture, picture, picture + 2), TrackSpan(2, sound, sound, sound + 3)),
        is_key=True,
        has_leading=False,
        timestamps=(),
        has_picture=has_picture,
        is_first=is_first,
    )


def test_blocks_far_from_their_cluster_move_by_what_their_track_does_more() -> None:
    clock = TimestampField(4, 4, 9_000, 1_000.0)
    far = ((8, 1, 20_000), (20, 2, 30_000), (32, 2, -30_000))
    media = replace(unit(30.0, 30.0), timestamps=(clock,), far_blocks=far)
    moved = media.earlier({1: 40.0, 2: 2.0})
    assert moved.timestamps[0].ticks == 7_000  # all tracks are far: as that which moves least
    assert [int.from_bytes(ticks, "big", signed=True) for _, ticks in moved.moved_ticks] == [
        -18_000, 30_000, -30_000,
    ]  # fmt: skip
    for seconds, ticks in (({1: 70.0, 2: 2.0}, -32_767), ({1: 2.0, 2: 5.0}, 23_000)):
        one = replace(media, far_blocks=far[:1]).earlier(seconds)
        assert one.timestamps[0].ticks == 9_000 - 1_000 * seconds[2]  # as the other track
        assert one.moved_ticks == ((8, ticks.to_bytes(2, "big", signed=True)),)


@pytest.mark.parametrize(
    ("media", "start"),
    [
        (unit(1.0, 0.6), 1.0),  # sound nearly always begins a little before the picture
        (unit(1.0, 0.4), 0.4),
        (unit(1.0, 0.4, is_first=False), 1.0),
        (unit(1.0, 0.6, has_picture=False), 0.6),
    ],
)
def test_a_unit_starts_with_its_picture_unless_the_sound_begins_long_before(
    media: MediaUnit, start: float
) -> None:
    assert media.start_seconds == start
    assert media.end_seconds == max(span.end_seconds for span in media.spans)


@pytest.mark.parametrize(
    ("times", "jump"),
    [
        ([(1, 0.0, 1.0), (2, 0.9, 1.1), (1, 1.0, 2.0)], None),
        ([(1, 0.0, 1.0), (1, 1.5, 2.0)], None),
        ([(1, 0.0, 1.0), (1, 1.6, 2.0)], (1.0, 1.6)),
        ([(1, 0.0, 9.0), (2, 0.0, 1.0), (2, 1.0, 2.0)], None),  # behind all, not behind its own
        ([(1, 0.0, 9.0), (1, 5.0, 6.0)], (9.0, 5.0)),
        ([(1, 0.0, 1.0), (1, 5.0, 6.0), (1, 20.0, 21.0)], (1.0, 5.0)),  # the first one
    ],
)
def test_a_jump_is_forward_of_all_there_is_or_back_behind_its_own_track(
    times: list[tuple[int, float, float]], jump: tuple[float, float] | None
) -> None:
    stream = StreamTimes()
    for track, start, end in times:
        stream.add(track, start, end)
    found = stream.jump
    assert (found and (found.from_seconds, found.to_seconds)) == jump
    assert stream.reached_seconds == max(end for _, _, end in times)


@pytest.mark.parametrize("times", [[1.0], [1.0, 1.5, 1.25], [1.5, 1.2, 1.4], [0.8, 0.6, 0.9]])
def test_media_of_a_track_that_goes_on_counts_at_once_as_each_of_it(times: list[float]) -> None:
    at_once, each_alone = StreamTimes(), StreamTimes()
    for stream in (at_once, each_alone):
        stream.add(1, 0.0, 1.0)
        stream.add(2, 0.0, 1.3)
    assert at_once.goes_on(1, times)
    at_once.reach(1, times)
    for time in times:
        each_alone.add(1, time, time)
    assert at_once == each_alone
    assert each_alone.jump is None


@pytest.mark.parametrize("times", [[1.6], [1.0, 1.6], [0.4], [1.0, 0.4, 0.9]])
def test_media_that_jumps_does_not_go_on_nor_does_a_track_that_has_none(times: list[float]) -> None:
    stream = StreamTimes()
    stream.add(1, 0.0, 1.0)
    assert not stream.goes_on(1, times)
    assert not stream.goes_on(2, [1.0])


def test_a_picture_that_stays_lasts_longer_than_its_unit() -> None:
    stays = TrackSpan(1, 0.0, 0.0, 2.0, stays_seconds=1.5)
    media = replace(unit(0.0, 0.0), spans=(stays, TrackSpan(2, 0.0, 0.0, 3.0)))
    assert (media.end_seconds, media.stays_until_seconds) == (3.0, 3.5)
