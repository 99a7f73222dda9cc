"""A container stream that begins anew in the middle of another: PyAV says whether it is right."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import av
import pytest
from anyio import run_process

from ih_mcp.errors import MediaError
from ih_mcp.media.containers.container_types import MediaUnit, Reader, TrackSpan
from ih_mcp.media.cutter import Cutter, Draft
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.media.segment_bounds import bounds
from ih_mcp.wire.dialects import V0, V1, V2, Framing
from tests.reliability.budget import often

from . import oracle
from .checks import begun_anew, check_begun_anew, check_heads, cut, joined, pictures, sound
from .oracle import digests
from .sample_files import SampleFolder


@pytest.mark.parametrize("name", ["base", "late_audio", "variable_rate", "vp8", "audio_only"])
async def test_a_stream_begins_anew_at_any_key_segment(
    name: str, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    await check_begun_anew(name, sample, ffmpeg)


@pytest.mark.parametrize("name", ["jumps_encoded", "stays_until_key", "stays_silent"])
async def test_a_stream_that_begins_anew_shows_each_picture_when_the_other_does(
    name: str, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    """Also where pictures are decoded long before they are shown: the clock jumps, or one stays."""
    segments = (await cut(sample(name), ffmpeg, V2, target_seconds=1.0)).segments
    times = [item.time for item in oracle.read(joined(segments)).pictures]
    steps = [after - before for before, after in pairwise(times)]
    assert 0 < min(steps) <= max(steps) < (41 if name.startswith("stays") else 0.5)
    begins = [index for index, segment in enumerate(segments) if segment.key_offset is not None]
    for index in often(begins[1:4], nightly=begins[:6]):
        later = oracle.read(begun_anew(segments[index:]))
        found = [item.time + segments[index].first_seconds for item in later.pictures]
        assert found == pytest.approx(times[-len(found) :], abs=0.05)
        assert pictures(later) == pictures(oracle.read(joined(segments)))[-len(found) :]
    assert len(begins) > 3


async def test_it_begins_anew_again_and_again(sample: SampleFolder, ffmpeg: Ffmpeg) -> None:
    segments = (await cut(sample("base"), ffmpeg, V2, target_seconds=1.0)).segments
    edges = [index for index, segment in enumerate(segments) if segment.is_key]
    legs = [segments[a:b] for a, b in zip(edges, [*edges[1:], len(segments)], strict=True)]
    parts = [oracle.read(begun_anew(leg)) for leg in legs]
    source = oracle.read(sample("base"))
    assert pictures(*parts) == digests(source.pictures)
    assert sound(*parts) == digests(source.sound)
    assert max(abs(part.start) for part in parts) <= 0.03


_IRREGULAR = "-g 1000 -force_key_frames 4.2,8.04"
_ENCODERS = {
    "mp4": "-c:v libx264 -pix_fmt yuv420p -c:a aac",
    "webm": "-c:v libvpx -threads 1 -b:v 20k",
}


@pytest.mark.parametrize("kind", sorted(_ENCODERS))
async def test_a_stream_begins_anew_with_a_key_frame_within_a_segment(
    kind: str, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    """Of WebM at a low bit rate, ffmpeg begins no Cluster with it."""
    path = tmp_path / f"irregular.{kind}"
    make = f"{ffmpeg.path} -v error -f lavfi -i testsrc=d=12:s=64x48:r=25 -f lavfi -i sine=d=12"
    await run_process([*make.split(), *f"{_ENCODERS[kind]} {_IRREGULAR}".split(), str(path)])
    segments = (await cut(path, ffmpeg, V1, target_seconds=3.0)).segments
    whole, ends = oracle.read(joined(segments)), segments[-1].end_seconds
    with av.open(path) as container:  # encoders put more of them than were asked for
        all_keys = [
            packet.pts * packet.time_base
            for packet in container.demux(video=0)
            if packet.is_keyframe and packet.pts is not None
        ]
    began_within = 0
    for index, segment in enumerate(segments):
        keys = [
            float(at)
            for at in all_keys
            if segment.start_seconds - 0.03 < at < segment.end_seconds - 0.03
        ]
        assert (segment.key_offset is not None) == bool(keys)
        if not keys:
            continue
        began_within += not segment.is_key
        begins, later = segment.first_seconds, oracle.read(begun_anew(segments[index:]))
        assert pictures(later) == pictures(whole)[round(keys[0] * 25) :]
        assert not later.errors
        assert later.pictures[0].time == pytest.approx(keys[0] - begins, abs=0.03)
        assert later.end == pytest.approx(ends - begins, abs=0.06)
        assert sound(later) == sound(whole)[-len(later.sound) :]
        assert later.sound[0].time <= later.pictures[0].time + 0.03
    assert began_within
    is_within_cluster = any(segment.clocks and segment.clocks.before_key for segment in segments)
    assert is_within_cluster == (kind == "webm")


async def test_it_begins_anew_where_the_source_was_begun_late(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    segments = (await cut(sample("base"), ffmpeg, V1, start_seconds=4.0)).segments
    whole, later = oracle.read(joined(segments)), oracle.read(begun_anew(segments[1:]))
    assert segments[1].is_key
    assert 0 < len(later.pictures) < len(whole.pictures)
    assert pictures(later) == pictures(whole)[-len(later.pictures) :]
    assert abs(later.start) <= 0.03


async def test_the_clocks_of_a_segment_are_counted_from_the_origin(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    segments = (await cut(sample("vp9"), ffmpeg, V2, target_seconds=1.0)).segments
    origin = segments[2].first_seconds
    data = segments[2].rebased(origin, headed=True) + segments[4].rebased(origin, headed=False)
    times = [item.time for item in oracle.read(data).pictures]
    assert times[0] == pytest.approx(0.0, abs=0.03)
    assert times[-1] == pytest.approx(segments[4].end_seconds - origin, abs=0.05)


async def test_an_origin_after_its_beginning_is_a_mistake(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    segments = (await cut(sample("base"), ffmpeg, V2, target_seconds=1.0)).segments
    late = segments[1].first_seconds + 0.5
    with pytest.raises(ValueError, match="before"):
        segments[1].rebased(late, headed=True)


async def test_a_first_segment_is_left_as_it_is(sample: SampleFolder, ffmpeg: Ffmpeg) -> None:
    segments = (await cut(sample("base"), ffmpeg, V2, target_seconds=1.0)).segments
    before = segments[0].data
    segments[0].rebased(segments[0].first_seconds, headed=True)
    assert segments[0].data is before
    check_heads(segments, Framing.CONTINUED)


async def test_what_stands_alone_begins_anew_by_itself(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    segments = (await cut(sample("base"), ffmpeg, V0)).segments
    assert all(segment.is_key for segment in segments)
    assert segments[1].rebased(segments[1].first_seconds, headed=True) is segments[1].data


def test_what_is_joined_brings_its_key_frame_to_where_it_stands_then() -> None:
    draft, rest = (Draft(head, 0.0, 0.0, 0.0, 0.0, 0.0, 4) for head in (b"HEAD", b"HEAD"))
    draft.media, draft.size = [memoryview(b"pictures")], 12
    rest.media, rest.size = [memoryview(b"xxkey")], 9
    rest.key_offset, rest.before_key, rest.key_seconds = 6, ((4, b"--"),), 2.0
    draft.join(rest)
    whole = draft.written()
    assert draft.key_offset is not None
    assert whole[draft.key_offset :] == b"key"
    assert [(whole[at : at + len(nothing)], nothing) for at, nothing in draft.before_key] == [
        (b"xx", b"--")
    ]
    assert draft.key_seconds == 2.0


def test_the_last_sample_alone_is_made_shorter_before_a_jump() -> None:
    draft = Draft(b"", 0.0, 0.0, 0.0, 0.0, 0.0, 0)
    for number, last_length in enumerate([(12, 4, 40), None]):
        span = TrackSpan(1, 0.0, 0.0, 1.0, last_length=last_length)
        unit = MediaUnit(
            offset=100 * number,
            size=100,
            spans=(span,),
            is_key=True,
            has_picture=True,
            has_leading=False,
            timestamps=(),
        )
        draft.add(unit, [memoryview(bytes(100))])
    draft.shorten([1])
    assert draft.changed == []  # the second unit has the last one, and no field that is its alone


def test_a_file_begins_with_its_sound_where_that_comes_long_before_the_picture() -> None:
    def unit(number: int, sound: float) -> MediaUnit:
        picture = TrackSpan(1, sound + 2.0, sound + 2.0, sound + 4.0)
        return MediaUnit(
            offset=4 * number,
            size=4,
            spans=(picture, TrackSpan(2, sound, sound, sound + 4.0)),
            is_key=True,
            has_picture=True,
            has_leading=False,
            timestamps=(),
        )

    units = iter([unit(0, 0.0), unit(1, 4.0)])
    reader = SimpleNamespace(header=b"", head=lambda: SimpleNamespace(size=0), finish=list)
    reader.feed = lambda data: [next(units) for _ in range(len(data) // 4)]
    limits = bounds(V1.limits, Framing.CONTINUED, target_seconds=3.0)
    cutter = Cutter(cast(Reader, reader), limits, Framing.CONTINUED)
    segments = [*cutter.feed(bytes(8)), *cutter.finish()]
    assert [segment.start_seconds for segment in segments] == [0.0]


def test_after_a_failure_a_stream_is_cut_up_to_what_follows_or_the_failure() -> None:
    def reached(*, is_begun: bool = True, **drafts: SimpleNamespace) -> tuple[float, ...]:
        cutter = SimpleNamespace(
            is_begun=is_begun, _begin=10.0, _skipped=2.0, _skips=0.5, _held=None, _open=None,
            _reached_seconds=lambda _: 3.0,
        )  # fmt: skip
        cutter.__dict__.update(drafts)
        return Cutter.reached(cast("Cutter", cutter), MediaError("it ends here"))

    before = SimpleNamespace(start_seconds=2.0, first_seconds=1.5, skipped_seconds=9.0)
    behind = SimpleNamespace(start_seconds=4.0, first_seconds=3.5, skipped_seconds=1.0)
    assert reached(is_begun=False) == (10.0, 10.0, 2.0)
    assert reached() == reached(_held=before) == reached(_open=before) == (13.0, 13.0, 2.5)
    assert reached(_held=behind) == reached(_held=before, _open=behind) == (13.0, 13.5, 3.0)
