"""Where a clock jumps, decided from the spans of units alone; `test_times.py` has whole files."""

from __future__ import annotations

from ih_mcp.media.clock_jumps import Jumps
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
