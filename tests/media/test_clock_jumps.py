"""Where a clock jumps, decided from the spans of units alone; `test_times.py` has whole files."""

from __future__ import annotations

import pytest

from ih_mcp.media.clock_jumps import Jumps, PacketClock
from ih_mcp.media.containers.container_types import (
    AheadPicture,
    MediaUnit,
    TimeJump,
    TimestampField,
    TrackSpan,
)
from ih_mcp.media.cutter import Draft

PICTURE, SOUND = 1, 2
AHEAD = (AheadPicture(40, 21_000, 1_000.0, 24.0),)
"""Of a key frame that is decoded at 3 s."""


def unit(*spans: TrackSpan) -> MediaUnit:
    clock = TimestampField(0, 4, 3_000, 1_000.0, track=spans[0].track, ahead=spans[0].ahead)
    return MediaUnit(
        offset=0,
        size=100,
        spans=spans,
        is_key=True,
        has_picture=True,
        has_leading=False,
        timestamps=(clock,),
    )


def key_ahead(seconds: float = 20.0) -> MediaUnit:
    return unit(TrackSpan(PICTURE, 24.0, 24.0, 25.0, ahead_seconds=seconds, ahead=AHEAD))


def begun(max_pause_seconds: float = 10.0) -> Jumps:
    jumps = Jumps(max_pause_seconds)
    jumps.placed(unit(TrackSpan(PICTURE, 0.0, 0.0, 4.0), TrackSpan(SOUND, 0.0, 0.0, 4.0)))
    return jumps


def test_a_key_frame_decoded_before_a_jump_is_placed_where_it_is_decoded() -> None:
    jumps = begun()
    placed = jumps.placed(key_ahead())
    assert (placed.start_seconds, placed.skipped_seconds, jumps.jumped) == (4.0, 0.0, {})
    assert placed.timestamps[0].ahead == ()  # they are moved by as much as the clock jumps
    later = jumps.placed(unit(TrackSpan(PICTURE, 25.0, 25.0, 26.0)))
    assert (later.start_seconds, later.skipped_seconds) == (5.0, 20.0)
    assert jumps.jumped == {PICTURE: TimeJump(5.0, 25.0)}
    sound = jumps.placed(unit(TrackSpan(SOUND, 24.0, 24.0, 26.0)))
    assert (sound.start_seconds, jumps.jumped) == (4.0, {SOUND: TimeJump(4.0, 24.0)})
    jumps.placed(unit(TrackSpan(PICTURE, 26.0, 26.0, 27.0)))
    assert jumps.jumped == {}


def test_while_sound_goes_on_a_key_frame_far_ahead_is_no_jump() -> None:
    jumps = begun()
    jumps.placed(key_ahead())
    for second in range(4, 25):
        placed = jumps.placed(unit(TrackSpan(SOUND, second, second, second + 1.0)))
        assert (placed.start_seconds, placed.skipped_seconds) == (second, 0.0)
    assert jumps.placed(unit(TrackSpan(PICTURE, 25.0, 25.0, 26.0))).skipped_seconds == 0.0


def test_a_key_frame_as_far_ahead_as_pictures_may_stay_is_where_it_is_shown() -> None:
    placed = begun(max_pause_seconds=20.0).placed(key_ahead())
    assert (placed.start_seconds, placed.timestamps[0].ahead) == (24.0, AHEAD)


def test_behind_a_jump_no_picture_is_shown_before_those_that_came_before_it() -> None:
    jumps = begun()
    jumps.placed(unit(TrackSpan(PICTURE, 4.0, 4.0, 5.0, late_seconds=0.25)))
    sound = jumps.placed(unit(TrackSpan(SOUND, 35.0, 35.0, 36.0)))
    assert (sound.start_seconds, jumps.jumped) == (5.25, {SOUND: TimeJump(5.25, 35.0)})
    alone = begun()
    alone.placed(unit(TrackSpan(PICTURE, 4.0, 4.0, 5.0, late_seconds=0.25)))
    picture = alone.placed(unit(TrackSpan(PICTURE, 35.0, 35.0, 36.0, lead_seconds=0.125)))
    assert picture.start_seconds == 5.375  # its earliest one is shown at 5.25
    again = alone.placed(unit(TrackSpan(PICTURE, 66.0, 66.0, 67.0)))
    assert again.start_seconds == 6.375


def test_pictures_shown_behind_a_jump_come_as_much_sooner_and_once_more_at_the_next() -> None:
    draft = Draft(b"HEAD", 0.0, 0.0, 0.0, 0.0, 0.0, 4)
    before = AheadPicture(8, 9_000, 1_000.0, 12.0)  # it stays that long, then the clock jumps
    span = TrackSpan(PICTURE, 3.0, 3.0, 4.0, ahead=(before, *AHEAD))
    draft.add(unit(span), [memoryview(bytes(100))])
    assert draft.show_earlier({SOUND: TimeJump(5.0, 25.0)}) == float("inf")
    assert draft.show_earlier({PICTURE: TimeJump(5.0, 20.0)}) == 9.0
    assert draft.show_earlier({PICTURE: TimeJump(5.0, 9.0)}) == 5.0
    written = draft.written()
    assert (int.from_bytes(written[44:48], "big"), written[12:16]) == (2_000, bytes(4))


def lines(*packets: tuple[int, float]) -> bytes:
    """As `commands.packets` writes them: track and time of each, which lasts 0.1 s."""
    bases = b"#tb 0: 1/10\n#tb 1: 1/10\n"
    return bases + b"".join(
        b"%d, %d, 0, 1, 9, 0x0\n" % (track, round(10 * time)) for track, time in packets
    )


def seen(*packets: tuple[int, float]) -> PacketClock:
    clock = PacketClock(10.0)
    clock.feed(lines(*packets))
    return clock


def test_a_clock_may_jump_at_each_packet_of_a_long_file() -> None:
    """Each jump looks at what came since the last one alone: else this takes minutes."""
    clock = seen(*((0, 20.0 * n) for n in range(50_000)))
    assert len(clock.jumps) == 49_999


def test_pictures_far_ahead_of_the_sound_that_belongs_before_them_are_no_jump() -> None:
    """As slides in WebM, which ffmpeg writes as soon as they are encoded."""
    slides = [(0, 20.0 * n) for n in range(5)]
    sound = [(1, n / 2) for n in range(200)]
    for packets in ([*slides, *sound], sorted([*slides, *sound], key=lambda packet: packet[1])):
        clock = seen(*packets)
        assert clock.jumps == []
        assert clock.media_seconds == 99.6
        assert clock.longest_seconds(0) == 20.0


def test_what_no_sound_comes_before_is_a_jump_also_where_one_track_goes_on_for_a_while() -> None:
    before = [(track, n / 2) for n in range(12) for track in (0, 1)]
    behind = [(track, 1_000 + n / 2) for n in range(12) for track in (0, 1)]
    late_sound = [(1, 6 + n / 2) for n in range(12)]
    for packets in ([*before, *behind], [*before, behind[0], *late_sound, *behind]):
        clock = seen(*packets)
        [jump] = clock.jumps
        assert (jump.at_seconds, jump.seconds) == pytest.approx((5.6, 994.4))


def test_each_of_two_jumps_stands_where_it_is_in_the_time_that_is_left() -> None:
    clock = seen((0, 0.0), (0, 100.0), (1, 100.0), (0, 300.0), (1, 300.0))
    assert [jump.at_seconds for jump in clock.jumps] == pytest.approx([0.1, 0.2])
    assert [jump.seconds for jump in clock.jumps] == pytest.approx([99.9, 199.9])
