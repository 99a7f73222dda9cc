"""One test for each trap the study of splitting fell into, named after it."""

from __future__ import annotations

import io
import os
import random
import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from itertools import pairwise
from pathlib import Path

import anyio
import av
import pytest

from ih_mcp.errors import MediaError
from ih_mcp.media.containers.container import READERS
from ih_mcp.media.cutter import Cutter
from ih_mcp.media.ffmpeg import commands
from ih_mcp.media.ffmpeg.facts import Facts
from ih_mcp.media.ffmpeg.probe import probe
from ih_mcp.media.ffmpeg.process import running
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.media.ffmpeg.recipes import FRAGMENT_BYTES, recipe
from ih_mcp.media.segment_bounds import bounds
from ih_mcp.media.splitter import split
from ih_mcp.wire.dialects import V0, V1, V2, Dialect, Framing

from . import oracle
from .checks import Outcome, check_sample, cut, pictures, read_all
from .oracle import digests
from .sample_files import SampleFolder

Chunks = Callable[[str], list[bytes]]


def seconds(outcome: Outcome) -> list[float]:
    return [segment.end_seconds - segment.start_seconds for segment in outcome.segments]


async def written(facts: Facts, path: Path, ffmpeg: Ffmpeg, *encode: str) -> bytes:
    """What ffmpeg writes for whole segments, uncut."""
    made = recipe(
        facts, Framing.WHOLE, target_seconds=5.0, max_bytes=1 << 24, encode=frozenset(encode)
    )
    command = commands.segments(ffmpeg.path, f"file:{path}", made, start_seconds=0.0)
    data = b""
    async with running(command) as child:
        while piece := await child.read():
            data += piece
        await child.finish()
    return data


async def facts_of(data: bytes, ffmpeg: Ffmpeg, folder: Path) -> Facts:
    path = await anyio.Path(folder / "one").resolve()
    await path.write_bytes(data)
    return await probe(ffmpeg, Path(path))


async def test_01_the_first_packet_of_sound_is_not_displaced(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    path = sample("late_audio")
    whole = read_all((await cut(path, ffmpeg)).segments, Framing.WHOLE)
    source = oracle.read(path)
    assert whole[0].sound[0].time == pytest.approx(source.sound[0].time, abs=0.002)
    assert oracle.shift_seconds(source, whole) <= 0.002


@pytest.mark.parametrize("dialect", [V0, V1], ids=lambda d: d.name)
async def test_02_sound_in_adts_frames_does_not_end_the_copy_early(
    dialect: Dialect, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(sample("transport"), ffmpeg, dialect)
    assert outcome.error is None
    assert outcome.segments[-1].end_seconds == pytest.approx(12.0, abs=0.05)


async def test_03_what_is_read_to_know_a_stream_is_not_dropped() -> None:
    command = commands.decoded("f", pictures_per_second=2, width=64, height=48, hertz=16_000)
    assert "-fflags" not in command  # that nothing is lost is shown in test_decode


async def test_04_copies_neither_overlap_nor_lose(sample: SampleFolder, ffmpeg: Ffmpeg) -> None:
    path = sample("transport_wrapped")
    parts = read_all((await cut(path, ffmpeg)).segments, Framing.WHOLE)
    assert pictures(*parts) == digests(oracle.read(path).pictures)


@pytest.mark.parametrize("dialect", [V0, V1], ids=lambda d: d.name)
async def test_05_no_segment_is_shorter_than_the_minimum(
    dialect: Dialect, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(sample("tail_11s"), ffmpeg, dialect, target_seconds=3.0)
    assert outcome.error is None
    assert min(seconds(outcome)) >= 3.0


async def test_06_a_still_picture_makes_longer_segments_not_smaller_ones(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(sample("still"), ffmpeg, min_segment_bytes=6_000)
    assert outcome.error is None
    assert min(len(segment.data) for segment in outcome.segments) >= 6_000
    assert sum(seconds(outcome)) == pytest.approx(70.0, abs=0.2)


async def test_07_a_gop_of_too_many_bytes_is_encoded(sample: SampleFolder, ffmpeg: Ffmpeg) -> None:
    path = sample("fat")
    outcome = await cut(path, ffmpeg, max_segment_bytes=4 << 20)
    parts = read_all(outcome.segments, Framing.WHOLE)
    assert outcome.error is None
    assert max(len(segment.data) for segment in outcome.segments) <= 4 << 20
    assert len(pictures(*parts)) == len(oracle.read(path).pictures)


async def test_07_a_gop_that_is_too_long_is_encoded(sample: SampleFolder, ffmpeg: Ffmpeg) -> None:
    path = sample("gop_whole")
    outcome = await cut(path, ffmpeg, max_segment_seconds=6.0)
    assert outcome.error is None
    assert max(seconds(outcome)) <= 6.1
    parts = read_all(outcome.segments, Framing.WHOLE)
    assert len(pictures(*parts)) == len(oracle.read(path).pictures)


async def test_07_only_from_the_long_gop_on_and_no_picture_twice(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    path = sample("long_gop_later")
    source = oracle.read(path)
    outcome = await cut(path, ffmpeg, target_seconds=3.0, max_segment_seconds=4.5)
    assert outcome.error is None
    parts = read_all(outcome.segments, Framing.WHOLE)
    assert len(pictures(*parts)) == len(source.pictures)
    assert pictures(*parts)[:90] == digests(source.pictures)[:90]  # the first segment is a copy
    for before, after in pairwise(outcome.segments):
        assert after.start_seconds == pytest.approx(before.end_seconds, abs=0.04)


async def test_07_a_continued_stream_that_cannot_fit_is_encoded_from_its_beginning(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(sample("fat"), ffmpeg, V1, max_segment_bytes=3 << 20)
    assert outcome.error is None
    assert [segment.headed for segment in outcome.segments].count(True) == 1
    joined = read_all(outcome.segments, Framing.CONTINUED)[0]
    assert len(joined.pictures) == 240


async def test_08_a_fat_gop_comes_in_small_fragments(sample: SampleFolder, ffmpeg: Ffmpeg) -> None:
    path = sample("fat")
    data = await written(await probe(ffmpeg, path), path, ffmpeg)
    atoms = READERS["mp4"]().feed(data)
    assert len(data) > 2 * FRAGMENT_BYTES
    assert max(atom.size for atom in atoms) < FRAGMENT_BYTES * 1.5


async def test_09_an_open_gop_is_seen_and_not_cut(sample: SampleFolder, ffmpeg: Ffmpeg) -> None:
    path = sample("open_gop")
    atoms = READERS["mp4"]().feed(await written(await probe(ffmpeg, path), path, ffmpeg))
    assert sum(atom.has_leading for atom in atoms) > len(atoms) / 2
    closed = READERS["mp4"]().feed(
        await written(await probe(ffmpeg, sample("base")), sample("base"), ffmpeg)
    )
    assert not any(atom.has_leading for atom in closed)
    outcome = await cut(path, ffmpeg, target_seconds=3.0)
    assert seconds(outcome) == pytest.approx([12.0], abs=0.05)


@pytest.mark.parametrize("name", ["open_gop", "hevc_open_gop"])
async def test_09_open_gops_beyond_the_maximum_are_encoded_and_no_picture_is_lost(
    name: str, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    path = sample(name)
    outcome = await cut(path, ffmpeg, target_seconds=3.0, max_segment_seconds=5.0)
    assert outcome.error is None
    assert len(outcome.segments) > 1
    parts = read_all(outcome.segments, Framing.WHOLE)
    assert not any(part.errors for part in parts)
    assert len(pictures(*parts)) == len(oracle.read(path).pictures)


async def test_09_a_continued_stream_tells_what_beginning_in_an_open_gop_costs(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    opened = (await cut(sample("open_gop"), ffmpeg, V2)).segments
    closed = (await cut(sample("base"), ffmpeg, V2)).segments
    assert any(segment.is_key and segment.has_leading for segment in opened[1:])
    assert not any(segment.has_leading for segment in closed)


async def test_10_a_webm_segment_declares_its_own_length(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(sample("vp9"), ffmpeg)
    parts = read_all(outcome.segments, Framing.WHOLE)
    declared = [part.declared_seconds for part in parts]
    assert declared == pytest.approx(seconds(outcome), abs=0.1)


async def test_11_a_track_that_starts_late_does_not_shift_later_segments(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(sample("late_audio"), ffmpeg)
    parts = read_all(outcome.segments, Framing.WHOLE)
    assert [part.start for part in parts] == pytest.approx([0.0] * len(parts), abs=0.03)
    assert parts[1].sound[0].time < 0.05


@pytest.mark.parametrize("dialect", [V0, V1], ids=lambda d: d.name)
async def test_12_where_a_phone_was_stays_private_and_its_rotation_is_kept(
    dialect: Dialect, sample: SampleFolder, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    assert b"+55.6761" in await anyio.Path(sample("rotated")).read_bytes()
    segments = (await cut(sample("rotated"), ffmpeg, dialect)).segments
    assert not any(b"+55.6761" in segment.data for segment in segments)
    facts = await facts_of(segments[0].data, ffmpeg, tmp_path)
    assert facts.video is not None
    assert abs(facts.video.rotation_degrees) == 90.0


@pytest.mark.parametrize("name", ["cover", "two_audio_subtitles", "chapters"])
async def test_13_one_picture_and_one_sound_track_are_sent(
    name: str, sample: SampleFolder, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    data = (await cut(sample(name), ffmpeg)).segments[0].data
    with av.open(io.BytesIO(data), "r") as container:
        assert len(container.streams) == 2
    facts = await facts_of(data, ffmpeg, tmp_path)
    assert facts.video is not None
    assert facts.video.codec == "h264"


@pytest.mark.parametrize("name", ["prores_pcm", "four_four_four", "odd_size"])
async def test_14_what_few_decoders_read_is_encoded(
    name: str, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    await check_sample(name, sample, ffmpeg, Framing.WHOLE)


def test_15_a_header_may_be_split_and_chunks_cut_anywhere(chunks: Chunks) -> None:
    for name, container in (("chromium-vp8-250ms", "webm"), ("chromium-mp4-1s", "mp4")):
        pieces = chunks(name)
        data, chance = b"".join(pieces), random.Random(name)  # noqa: S311 - no secret
        places = sorted({0, 1, len(data), *(chance.randrange(len(data)) for _ in range(40))})
        elsewhere = [data[a:b] for a, b in pairwise(places)]
        assert recut(elsewhere, container) == recut(pieces, container) != []


def test_16_key_frames_are_of_the_picture_whatever_browsers_number_and_flag(
    chunks: Chunks,
) -> None:
    for name in ("firefox-vp8-1s", "chromium-h264-3s"):
        data = b"".join(chunks(name))
        reader = READERS["webm"]()
        atoms = [*reader.feed(data), *reader.finish()]
        told = [atom.start_seconds for atom in atoms if atom.is_key]
        with av.open(io.BytesIO(data), "r") as container:
            packets = [p for p in container.demux(video=0) if p.is_keyframe and p.size]
        seen = [float((p.pts or 0) * (p.time_base or 0)) for p in packets]
        assert told == pytest.approx(seen, abs=0.002)


def recut(pieces: Sequence[bytes], container: str) -> list[bytes]:
    cutter = Cutter(
        READERS[container](),
        bounds(V0.limits, V0.framing, target_seconds=3.0),
        Framing.WHOLE,
        is_live=True,
    )
    segments = [segment.data for piece in pieces for segment in cutter.feed(piece)]
    with suppress(MediaError):  # a last one may be too short
        segments += [segment.data for segment in cutter.finish()]
    return segments


async def test_17_a_slow_sender_fills_neither_disk_nor_memory(
    sample: SampleFolder, ffmpeg: Ffmpeg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    path = sample("fat")
    segments = split(path, ffmpeg=ffmpeg, limits=V2.limits, framing=V2.framing, target_seconds=1.0)
    taken = 0
    async with aclosing(segments):
        async for segment in segments:
            taken += len(segment.data)
            for written_bytes in written_by_children():
                assert written_bytes <= taken + (6 << 20)  # pipe, a fragment, held segment
    assert taken > 2 * FRAGMENT_BYTES
    assert [found async for found in anyio.Path(tmp_path).iterdir()] == []


def written_by_children() -> list[int]:
    """How many bytes each ffmpeg below this process has written so far."""
    if sys.platform != "linux":
        return []
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    counts = []
    for pid in children:
        with suppress(OSError):  # it may be done by now
            if Path(f"/proc/{pid}/comm").read_text().startswith("ffmpeg"):
                counts.append(Path(f"/proc/{pid}/io").read_text())
    return [int(text.split("wchar: ")[1].split()[0]) for text in counts]


async def test_18_a_talkative_ffmpeg_does_not_stop(sample: SampleFolder, ffmpeg: Ffmpeg) -> None:
    url = f"file:{sample('scratched')}"
    command = [ffmpeg.path, "-nostdin", "-v", "debug", "-i", url, "-f", "null", "-"]
    async with running(command) as child:
        assert await child.read() == b""
        await child.finish()
        assert len(child.log.text()) > 1 << 15


@pytest.mark.skipif(os.name != "posix", reason="there are no such pipes")
async def test_19_one_that_waits_for_a_pipe_to_open_is_gone(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    command = [ffmpeg.path, "-nostdin", "-i", f"file:{tmp_path / 'pipe.mp4'}", "-f", "null", "-"]
    with anyio.fail_after(3):
        with anyio.move_on_after(0.2):
            async with running(command) as child:
                await child.read()


async def test_20_a_playlist_or_a_picture_under_another_name_is_not_read(
    sample: SampleFolder, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    names = {
        "list.mp4": f"#EXTM3U\n#EXTINF:10,\n{sample('base')}\n#EXT-X-ENDLIST\n".encode(),
        "concat.mp4": f"ffconcat version 1.0\nfile '{sample('base')}'\n".encode(),
        "picture.mp4": sample("red").read_bytes(),
        "words.txt": b"words " * 1_000,
    }
    for name, data in names.items():
        path = await anyio.Path(tmp_path / name).resolve()
        await path.write_bytes(data)
        outcome = await cut(Path(path), ffmpeg)
        assert outcome.segments == []
        assert outcome.code in {"format_not_allowed", "not_media"}


async def test_21_a_file_cut_off_in_its_media_is_told_with_where_it_ends(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(sample("torn"), ffmpeg)
    assert isinstance(outcome.error, MediaError)
    assert "ends at 8.2 of 12.0 s" in str(outcome.error)
    assert outcome.segments


async def test_22_a_file_without_its_index_is_called_incomplete(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(sample("torn_index_last"), ffmpeg)
    assert isinstance(outcome.error, MediaError)
    assert outcome.code == "incomplete_file"
    assert "still being recorded" in outcome.error.help


async def test_22_a_matroska_file_that_still_grows_is_read_as_far_as_it_is(
    sample: SampleFolder, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    data = await anyio.Path(sample("mkv")).read_bytes()
    path = await anyio.Path(tmp_path / "growing.mkv").resolve()
    await path.write_bytes(data[: len(data) // 2])
    outcome = await cut(Path(path), ffmpeg)
    assert outcome.code == "ends_early"
    assert sum(seconds(outcome)) == pytest.approx(6.0, abs=1.0)


async def test_23_times_that_jump_back_in_joined_files_are_mended(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    for name in ("matroska_joined", "transport_joined"):
        outcome = await cut(sample(name), ffmpeg)
        assert outcome.error is None
        assert sum(seconds(outcome)) == pytest.approx(24.0, abs=0.2)
        parts = read_all(outcome.segments, Framing.WHOLE)
        assert len(pictures(*parts)) == 720


async def test_24_pictures_at_varying_rates_are_not_repeated(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    path = sample("variable_rate")
    data = await written(await probe(ffmpeg, path), path, ffmpeg, "video")
    assert len(oracle.read(data).pictures) == len(oracle.read(path).pictures)


@pytest.mark.one_for_each("name")
@pytest.mark.parametrize("dialect", [V0, V1], ids=lambda d: d.name)
@pytest.mark.parametrize(
    "name",
    ["begins_unmarked", "begins_unmarked_fragmented", "never_marked", "never_marked_silent"],
)
async def test_no_picture_before_the_first_marked_key_frame_is_lost(
    name: str, dialect: Dialect, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    facts = await probe(ffmpeg, sample(name))
    assert any("does not begin with a key frame" in note for note in facts.notes())
    outcome = await cut(sample(name), ffmpeg, dialect)
    assert outcome.error is None
    parts = read_all(outcome.segments, dialect.framing)
    source = oracle.read(sample(name))
    assert len(pictures(*parts)) == len(source.pictures)
    assert outcome.segments[0].start_seconds == pytest.approx(0.0, abs=0.1)
    assert outcome.segments[-1].end_seconds == pytest.approx(source.end - source.start, abs=0.2)


@pytest.mark.parametrize(("name", "lasts"), [("joined_in_a_gop", 9.6), ("late_picture", 15.0)])
async def test_where_the_picture_begins_late_it_is_copied_and_its_sound_counts(
    name: str, lasts: float, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    facts = await probe(ffmpeg, sample(name))
    assert facts.unmarked == frozenset()
    for dialect in (V0, V1):
        outcome = await cut(sample(name), ffmpeg, dialect)
        assert outcome.error is None
        assert sum(seconds(outcome)) == pytest.approx(lasts, abs=0.3)
        assert outcome.segments[0].start_seconds == pytest.approx(0.0, abs=0.1)
