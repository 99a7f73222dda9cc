"""Times are not believed without bounds: pictures that stay, clocks that jump, tracks that differ.

The twins stand in `sample_files.py`; where the field's own files are at hand, they are tried too.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from ih_mcp.media.containers.clock_set_backs import SetBack, TrackClock
from ih_mcp.media.ffmpeg.probe import probe
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.wire.dialects import V0, V1, V2, Dialect, Framing

from . import oracle
from .checks import Outcome, cut, pictures, read_all, sound
from .oracle import Item, Media, digests
from .sample_files import SAMPLE_FILES, SampleFolder

LONGEST_SECONDS = {Framing.WHOLE: 30.5, Framing.CONTINUED: 8.0}
dialects = pytest.mark.parametrize("dialect", [V0, V1, V2], ids=lambda d: d.name)
one_of_each_framing = pytest.mark.one_for_each("dialect", alike=[(V1, V2)])
FIELD = {"stays": "still-picture-70s.mp4", "jumps": "clock-jumps-10h.flv"}


@pytest.fixture
def path(name: str, sample: SampleFolder, request: pytest.FixtureRequest) -> Path:
    """A sample file, or a file of the field."""
    if "." not in name:
        return sample(name)
    folder: Path = request.getfixturevalue("shared_field")
    return (folder / name).resolve()


def times(outcome: Outcome, parts: Sequence[Media], kind: str = "pictures") -> list[float]:
    """Of every picture, or packet of sound, in the time of segments."""
    begins = [segment.first_seconds for segment in outcome.segments[: len(parts)]]
    found: list[float] = []
    for begin, part in zip(begins, parts, strict=True):
        items: list[Item] = getattr(part, kind)
        zero = part.start if len(parts) == 1 else 0.0
        found += [begin + item.time - zero for item in items]
    return found


def check_joined(outcome: Outcome, dialect: Dialect, seconds: float, slack: float = 0.25) -> None:
    """Segments follow each other without a gap, none is held for long, and they add up."""
    assert outcome.error is None
    for before, after in pairwise(outcome.segments):
        assert after.start_seconds == pytest.approx(before.end_seconds, abs=1e-6)
    lengths = [s.end_seconds - s.start_seconds for s in outcome.segments]
    assert max(lengths) <= LONGEST_SECONDS[dialect.framing]
    assert sum(lengths) == pytest.approx(seconds, abs=slack)


def check_sound(source: Media, parts: Sequence[Media]) -> None:
    assert sound(*parts) == digests(source.sound)


@pytest.mark.one_for_each("name", alike=[("stays", "slides", "still-picture-70s.mp4")])
@dialects
@pytest.mark.parametrize(
    "name",
    [
        "stays",
        "slides",
        "still-picture-70s.mp4",
        "stays_vp8",
        "slides_matroska",
        "stays_transport",
        "stays_mpeg4",
        "stays_until_key",
    ],
)
async def test_while_a_picture_stays_sound_goes_on_at_its_pace(
    name: str, path: Path, dialect: Dialect, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(path, ffmpeg, dialect)
    source, parts = oracle.read(path), read_all(outcome.segments, dialect.framing)
    check_joined(outcome, dialect, SAMPLE_FILES[name].seconds if name in SAMPLE_FILES else 75.0)
    check_sound(source, parts)
    found = times(outcome, parts)
    shown = [item.time - source.pictures[0].time + found[0] for item in source.pictures]
    if dialect is V0 or "mpeg4" in name:  # encoded, and what stays is repeated
        assert all(part.pictures for part in parts)
        assert max(after - before for before, after in pairwise(found)) < 2.1
        assert all(min(abs(time - each) for each in found) < 0.002 for time in shown)
    else:
        assert pictures(*parts) == digests(source.pictures)
        assert found == pytest.approx(shown, abs=0.002)


@one_of_each_framing
@dialects
async def test_sound_waits_for_pictures_that_the_encoder_holds_back(
    dialect: Dialect, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(sample("slow"), ffmpeg, dialect)
    check_joined(outcome, dialect, 90.0)
    parts = read_all(outcome.segments, dialect.framing)
    assert len(pictures(*parts)) == 90
    check_sound(oracle.read(sample("slow")), parts)


@one_of_each_framing
@dialects
async def test_one_picture_for_minutes_is_sent_with_all_its_sound(
    dialect: Dialect, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(sample("one_picture"), ffmpeg, dialect)
    check_joined(outcome, dialect, 150.0)
    check_sound(oracle.read(sample("one_picture")), read_all(outcome.segments, dialect.framing))


async def test_slides_without_sound_stay_as_long_as_they_do(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(sample("slides_silent"), ffmpeg, V0)
    parts = read_all(outcome.segments, Framing.WHOLE)
    check_joined(outcome, V0, 120.5, slack=0.6)  # the last one is shown to the second
    assert all(part.pictures for part in parts)
    continued = await cut(sample("slides_silent"), ffmpeg, V1)
    assert [s.start_seconds for s in continued.segments] == pytest.approx([0, 40, 80])
    assert continued.error is None


@pytest.mark.one_for_each(
    "name",
    alike=[
        ("jumps_thrice", "jumps", "clock-jumps-10h.flv"),
        ("jumps_encoded", "jumps_encoded_mov", "jumps_encoded_hevc"),
    ],
)
@dialects
@pytest.mark.parametrize(
    "name",
    [
        "jumps_thrice",
        "jumps",
        "clock-jumps-10h.flv",
        "jumps_matroska",
        "jumps_mp4",
        "jumps_by_half_a_minute",
        "jumps_while_it_stays",
        "jumps_sound_alone",
        "jumps_mpeg4",
        "jumps_encoded",
        "jumps_encoded_mov",
        "jumps_encoded_hevc",
    ],
)
async def test_where_the_clock_jumps_media_goes_on_at_once(
    name: str, path: Path, dialect: Dialect, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(path, ffmpeg, dialect)
    source, parts = oracle.read(path), read_all(outcome.segments, dialect.framing)
    check_joined(outcome, dialect, SAMPLE_FILES[name].seconds if name in SAMPLE_FILES else 12.0)
    check_sound(source, parts)
    if "mpeg4" in name:
        assert len(pictures(*parts)) == len(source.pictures)
    elif dialect.framing is Framing.CONTINUED or "stays" not in name:
        assert pictures(*parts) == digests(source.pictures)
    for kind in ("pictures", "sound"):
        assert all(b > a for a, b in pairwise(times(outcome, parts, kind)))
    # What was left out is known: with it, each segment's place in the file is.
    jumps = [jump for segment in outcome.segments for jump in segment.jumps]
    assert all(jump.seconds > 0 for jump in jumps)
    left_out = sum(jump.seconds for jump in jumps)
    far = max(item.time + item.seconds for item in source.sound) - source.start
    assert outcome.segments[-1].end_seconds + left_out == pytest.approx(far, abs=0.1)
    assert all(
        segment.start_seconds - 0.1 <= jump.at_seconds < segment.end_seconds
        for segment in outcome.segments
        for jump in segment.jumps
    )


@pytest.mark.one_for_each("name")
@dialects
@pytest.mark.parametrize(
    "name",
    [
        "jumps_back",
        "jumps_to_and_fro",
        "jumps_back_encoded",
        "jumps_back_sound_track",
        "jumps_back_picture_track",
        "jumps_back_fragmented",
        "jumps_back_matroska",
    ],
)
async def test_where_the_clock_was_set_back_times_go_on(
    name: str, sample: SampleFolder, dialect: Dialect, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(sample(name), ffmpeg, dialect)
    source = oracle.read(sample(SAMPLE_FILES[name].made_of))  # as it was with a steady clock
    parts = read_all(outcome.segments, dialect.framing)
    check_joined(outcome, dialect, 12.0)
    if SAMPLE_FILES[name].encodes:
        assert len(pictures(*parts)) == len(source.pictures)
    else:
        check_sound(source, parts)
        assert pictures(*parts) == digests(source.pictures)
    found = times(outcome, parts)
    steps = [after - before for before, after in pairwise(found)]
    assert 0 < min(steps) <= max(steps) < 0.2
    assert oracle.shift_seconds(source, parts) < 0.1


@one_of_each_framing
@dialects
async def test_pictures_with_times_below_0_are_shown_in_their_order(
    sample: SampleFolder, dialect: Dialect, ffmpeg: Ffmpeg
) -> None:
    """ffmpeg gives no time for them, and a copy would show them in the order of decoding."""
    path = sample("below_0_matroska")
    outcome = await cut(path, ffmpeg, dialect)
    parts = read_all(outcome.segments, dialect.framing)
    check_joined(outcome, dialect, 12.0)
    found = times(outcome, parts)
    assert len(found) == len(oracle.read(sample("base")).pictures)
    steps = [after - before for before, after in pairwise(found)]
    assert 0 < min(steps) <= max(steps) < 0.2
    assert abs(parts[0].pictures[0].time - parts[0].sound[0].time) < 0.1
    assert (await probe(ffmpeg, path)).notes() == (
        "Pictures do not tell when they are shown; the picture is encoded to be in order.",
    )


@pytest.mark.parametrize(("name", "dialect"), [("below_0_sound", V1), ("below_0_flv", V0)])
async def test_times_below_0_go_on_behind_it(
    name: str, sample: SampleFolder, dialect: Dialect, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(sample(name), ffmpeg, dialect)
    source = oracle.read(sample(SAMPLE_FILES[name].made_of))
    parts = read_all(outcome.segments, dialect.framing)
    check_joined(outcome, dialect, 12.0)
    check_sound(source, parts)
    assert pictures(*parts) == digests(source.pictures)
    for kind in ("sound", "pictures"):
        found = times(outcome, parts, kind)
        before = [item.time for item in getattr(source, kind)]
        assert [time - found[0] for time in found] == pytest.approx(
            [time - before[0] for time in before], abs=0.02
        )
    facts = await probe(ffmpeg, sample(name))
    assert facts.duration_seconds == pytest.approx(12.0, abs=0.1)


@one_of_each_framing
@dialects
async def test_of_recordings_one_behind_the_other_all_is_sent(
    sample: SampleFolder, dialect: Dialect, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(sample("jumps_back_transport"), ffmpeg, dialect)
    source = oracle.read(sample("transport_6s"))
    parts = read_all(outcome.segments, dialect.framing)
    check_joined(outcome, dialect, 12.0)
    assert pictures(*parts) == 2 * digests(source.pictures)
    assert sound(*parts) == 2 * digests(source.sound)
    found = times(outcome, parts)
    assert max(after - before for before, after in pairwise(found)) < 0.3


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("jumps_back", 5.0),
        ("jumps_back_sound_track", 5.0),
        ("jumps_to_and_fro", 605.0),
        ("jumps_back_fragmented", 5.0),
        ("jumps_back_matroska", 5.0),
        ("jumps_back_transport", 6.0),
    ],
)
async def test_a_look_at_a_file_says_where_its_clock_was_set_back(
    name: str, seconds: float, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    facts = await probe(ffmpeg, sample(name))
    (set_back,) = facts.set_backs
    at = 9.0 if name == "jumps_to_and_fro" else 6.0
    assert (set_back.at_seconds, set_back.seconds) == pytest.approx((at, seconds), abs=0.25)
    assert any(f"is set back, first at {set_back.at_seconds:.1f} s by" in n for n in facts.notes())
    if name in {"jumps_back_fragmented", "jumps_back_transport"}:
        assert facts.duration_seconds == pytest.approx(12.0, abs=0.3)


async def test_a_clock_that_was_not_set_back_is_no_note(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    for name in ("movable", "short_clusters", "transport_6s", "flv", "jumps"):
        assert (await probe(ffmpeg, sample(name))).set_backs == ()


def test_a_clock_that_begins_again_after_26_hours_goes_on() -> None:
    clock, plain = TrackClock(wraps=True), TrackClock()
    for one in (clock, plain):
        one.see([95_443.0, 95_443.5, 0.4, 0.9])
    assert clock.set_backs == []
    fragments = TrackClock()
    fragments.see([0.0, 1.0, 2.0, 1.5, 2.5])  # of a second each: set back by one and a half
    assert fragments.set_backs == [SetBack(3.0, 1.5)]
    reordered = TrackClock()
    reordered.see([0.0, 0.1, 0.05, 0.2, 0.15])
    assert reordered.set_backs == []
    assert plain.set_backs == [SetBack(1.0, pytest.approx(95_443.6))]  # type: ignore[arg-type]


@pytest.mark.one_for_each("name")
@dialects
@pytest.mark.parametrize("name", ["jumps_sound_track", "jumps_picture_track"])
async def test_where_one_track_jumps_nothing_is_lost_and_it_is_told(
    path: Path, dialect: Dialect, ffmpeg: Ffmpeg
) -> None:
    """The other track goes on, so that what is behind the jump comes after its end."""
    outcome = await cut(path, ffmpeg, dialect)
    source, parts = oracle.read(path), read_all(outcome.segments, dialect.framing)
    check_joined(outcome, dialect, 18.0)
    check_sound(source, parts)
    assert pictures(*parts) == digests(source.pictures)
    jumps = [jump.seconds for segment in outcome.segments for jump in segment.jumps]
    assert jumps == pytest.approx([36_000.0 - 6.0], abs=0.5)


@one_of_each_framing
@dialects
async def test_no_sample_lasts_as_long_as_the_clock_jumps(
    dialect: Dialect, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(sample("jumps_mp4"), ffmpeg, dialect)
    for part in read_all(outcome.segments, dialect.framing):
        assert part.end - part.start < 12.2
        assert max(item.seconds for item in (*part.pictures, *part.sound)) < 0.2


@pytest.mark.one_for_each(
    "name",
    alike=[
        ("starts_late", "media/starts-late.mkv"),
        ("second_sound_outlasts", "media/second-sound-outlasts.mp4"),
    ],
)
@dialects
@pytest.mark.parametrize(
    "name",
    [
        "starts_late",
        "media/starts-late.mkv",
        "starts_late_fragmented",
        "starts_100_s_late",
        "second_sound_outlasts",
        "media/second-sound-outlasts.mp4",
        "subtitles_outlast",
    ],
)
async def test_a_file_is_whole_where_the_tracks_that_are_sent_are(
    name: str, path: Path, dialect: Dialect, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(path, ffmpeg, dialect)
    source, parts = oracle.read(path), read_all(outcome.segments, dialect.framing)
    check_joined(outcome, dialect, SAMPLE_FILES[name].seconds if name in SAMPLE_FILES else 8.0)
    assert pictures(*parts) == digests(source.pictures)
    check_sound(source, parts)


@pytest.mark.one_for_each("name")
@pytest.mark.parametrize("dialect", [V0, V1], ids=lambda d: d.name)
@pytest.mark.parametrize(
    "name", ["torn", "torn_webm", "torn_flv", "torn_with_subtitles", "torn_starts_late"]
)
async def test_a_torn_file_is_told_all_the_same(
    name: str, dialect: Dialect, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    assert (await cut(sample(name), ffmpeg, dialect)).code == "ends_early"


async def test_a_track_that_is_not_sent_and_lasts_longer_is_noted(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    facts = await probe(ffmpeg, sample("second_sound_outlasts"))
    assert facts.sent_seconds == pytest.approx(8.0, abs=0.15)
    assert "A track that is not sent lasts longer than those that are." in facts.notes()
    assert "A track" not in " ".join((await probe(ffmpeg, sample("starts_100_s_late"))).notes())
    assert "A track" not in " ".join((await probe(ffmpeg, sample("base"))).notes())


@pytest.mark.parametrize(
    "name", ["jumps_mp4", "jumps_matroska", "sparse_sound", "clock-jumps-10h.flv"]
)
async def test_a_look_at_a_file_says_how_long_its_media_is_and_that_its_clock_jumps(
    name: str, path: Path, ffmpeg: Ffmpeg
) -> None:
    facts = await probe(ffmpeg, path)
    assert facts.duration_seconds == pytest.approx(
        SAMPLE_FILES[name].seconds if name in SAMPLE_FILES else 12, abs=0.3
    )
    assert facts.jumps_seconds >= 36_000 - 1
    assert any(f"jumps by {facts.jumps_seconds:.0f} s" in note for note in facts.notes())


async def test_a_picture_that_stays_is_no_jump_to_a_look(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    for name in ("stays", "stays_flv", "one_picture", "slides_silent"):
        facts = await probe(ffmpeg, sample(name))
        assert facts.jumps_seconds == 0
        assert facts.duration_seconds == pytest.approx(SAMPLE_FILES[name].seconds, abs=1.1)


@pytest.mark.one_for_each("name", alike=[("late_by_40s_picture", "late_by_40s_picture_matroska")])
@dialects
@pytest.mark.parametrize(
    "name",
    [
        "late_by_40s_sound",
        "late_by_40s_sound_transport",
        "late_by_40s_picture",
        "late_by_40s_picture_matroska",
    ],
)
async def test_a_track_that_begins_late_is_not_waited_for(
    name: str, dialect: Dialect, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(sample(name), ffmpeg, dialect)
    check_joined(outcome, dialect, 52.0, slack=0.3)
    assert outcome.segments[0].start_seconds == pytest.approx(0.0, abs=0.3)
    source = oracle.read(sample(name))
    parts = read_all(outcome.segments, dialect.framing)
    assert len(pictures(*parts)) == len(source.pictures)
    assert oracle.shift_seconds(source, parts) <= 0.025
    if not name.endswith("transport"):  # of which the first sound alone tells what it is
        check_sound(source, parts)
    shown, heard = (times(outcome, parts, kind)[0] for kind in ("pictures", "sound"))
    wanted = source.sound[0].time - source.pictures[0].time
    assert heard - shown == pytest.approx(wanted, abs=0.05)
    assert abs(wanted) == pytest.approx(40.0, abs=0.2)


@pytest.mark.one_for_each("name")
@pytest.mark.parametrize(
    "name", ["gop_of_34s_later", "gop_of_34s_later_mp4", "gop_of_34s_later_ts"]
)
async def test_where_encoding_begins_in_the_middle_no_sound_is_twice_or_missing(
    name: str, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(sample(name), ffmpeg, V0)
    check_joined(outcome, V0, 40.0, slack=0.3)
    source, parts = oracle.read(sample(name)), read_all(outcome.segments, Framing.WHOLE)
    assert len(pictures(*parts)) == len(source.pictures)
    check_sound(source, parts)
