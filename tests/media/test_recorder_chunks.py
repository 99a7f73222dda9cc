"""Chunks of real recorders: passed on as they came, measured, cut anew, or refused."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ih_mcp.errors import MediaError
from ih_mcp.media.containers import ebml
from ih_mcp.media.containers.container import TimeJump, is_headed
from ih_mcp.media.recorder_chunks import Chunk, Recording
from tests.reliability.budget import IS_LONG, often

from . import oracle
from .oracle import digests
from .sample_files import SampleFolder
from .test_matroska_clusters import BOTH, block, cluster, header

Chunks = Callable[[str], list[bytes]]
RECORDINGS = (
    "chromium-av1-3s",
    "chromium-vp8-keyint3s-3s",
    "chromium-default-3s",
    "chromium-vp8-3s",
    "chromium-vp8-1s",
    "chromium-vp8-250ms",
    "chromium-vp8-noaudio-3s",
    "chromium-vp9-3s",
    "chromium-h264-3s",
    "chromium-mp4-1s",
    "chromium-mp4-3s",
    "firefox-vp8-1s",
)
ALIKE = (
    ("chromium-vp8-keyint3s-3s", "chromium-vp8-3s", "chromium-default-3s"),
    ("chromium-vp8-250ms", "chromium-vp8-1s"),
    ("chromium-mp4-1s", "chromium-mp4-3s"),
)


def passed(pieces: Sequence[bytes]) -> list[Chunk]:
    recording = Recording()
    taken = [recording.feed(piece) for piece in pieces] + [recording.finish()]
    return [chunk for chunk in taken if chunk]


def joined(sent: Sequence[Chunk]) -> bytes:
    return b"".join(chunk.data for chunk in sent)


@pytest.mark.parametrize("name", RECORDINGS)
def test_chunks_pass_byte_for_byte_with_one_header(name: str, chunks: Chunks) -> None:
    pieces = chunks(name)
    sent = passed(pieces)
    assert joined(sent) == b"".join(pieces)
    assert [chunk.headed for chunk in sent] == [True] + [False] * (len(sent) - 1)
    assert is_headed(sent[0].data)
    assert all(chunk.data for chunk in sent)


@pytest.mark.parametrize("name", RECORDINGS)
def test_chunks_tell_how_much_media_they_add(name: str, chunks: Chunks) -> None:
    sent = passed(chunks(name))
    last = oracle.last_start(b"".join(chunks(name)))
    told = sum(chunk.seconds or 0.0 for chunk in sent)
    assert told == pytest.approx(last, abs=0.15)  # the last block's own length is not written
    assert all(chunk.seconds is not None and chunk.seconds >= 0 for chunk in sent)


def test_a_one_byte_first_chunk_waits_for_the_next(chunks: Chunks) -> None:
    pieces = chunks("chromium-vp8-250ms")
    assert len(pieces[0]) == 1
    recording = Recording()
    assert recording.feed(pieces[0]) is None
    second = recording.feed(pieces[1])
    assert second is not None
    assert second.data == pieces[0] + pieces[1]


def test_a_header_alone_waits_for_media_and_an_empty_chunk_is_left_out(chunks: Chunks) -> None:
    pieces = chunks("chromium-mp4-1s")
    assert (len(pieces[0]), len(pieces[-1])) == (1_181, 0)
    recording = Recording()
    assert recording.feed(pieces[0]) is None
    assert recording.header == pieces[0]
    first = recording.feed(pieces[1])
    assert first is not None
    assert first.headed
    assert recording.feed(b"") is None


def test_matroska_under_another_name_is_known_by_its_bytes(chunks: Chunks) -> None:
    recording = Recording()
    recording.feed(chunks("chromium-h264-3s")[0])
    assert recording.container == "matroska"


@settings(
    max_examples=often(15, nightly=200),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    name=st.sampled_from(["chromium-vp8-250ms", "chromium-mp4-1s", "firefox-vp8-1s"]),
    seed=st.integers(0, 1 << 30),
)
def test_times_do_not_depend_on_where_chunks_were_cut(name: str, seed: int, chunks: Chunks) -> None:
    data = b"".join(chunks(name))
    chance, edges = random.Random(seed), {0, len(data)}  # noqa: S311 - no secret
    edges |= {chance.randrange(len(data)) for _ in range(20)} | set(range(1, 12))
    places = sorted(edges)
    sent = passed([data[a:b] for a, b in pairwise(places)])
    assert joined(sent) == data
    assert sent[-1].end_seconds == passed([data])[-1].end_seconds


def test_a_chunk_that_begins_with_a_key_frame_is_made_whole_by_the_header(chunks: Chunks) -> None:
    recording = Recording()
    sent = [chunk for piece in chunks("chromium-mp4-3s") if (chunk := recording.feed(piece))]
    whole = recording.whole(sent[1])
    assert whole == (recording.header or b"") + sent[1].data
    assert len(oracle.read(whole).pictures) == 101  # a fragment each


@pytest.mark.parametrize("name", ["chromium-vp8-3s", "chromium-vp8-1s", "firefox-vp8-1s"])
def test_a_chunk_that_cannot_be_made_decodable_is_refused_with_the_reason(
    name: str, chunks: Chunks
) -> None:
    recording = Recording()
    sent = [chunk for piece in chunks(name) if (chunk := recording.feed(piece))]
    assert recording.whole(sent[0]) == sent[0].data
    with pytest.raises(MediaError, match="begins within") as caught:
        recording.whole(sent[1])
    assert caught.value.code == "not_decodable"


def test_a_recording_without_its_first_byte_is_refused(chunks: Chunks) -> None:
    recording = Recording()
    with pytest.raises(MediaError) as caught:
        recording.feed(b"".join(chunks("chromium-vp8-250ms"))[1:])
    assert caught.value.code == "no_header"
    assert "first" in caught.value.help


def test_a_recording_that_ends_before_it_can_be_told_is_an_error() -> None:
    recording = Recording()
    assert recording.feed(b"\x1a\x45") is None
    with pytest.raises(MediaError):
        recording.finish()


def test_clips_that_each_have_a_header_are_each_a_recording(sample: SampleFolder) -> None:
    clip = sample("short_2s").read_bytes()
    sent = passed([clip, clip])
    assert [chunk.headed for chunk in sent] == [True, True]
    assert [chunk.data for chunk in sent] == [clip, clip]
    assert sent[1].seconds == pytest.approx(2.1, abs=0.1)


def test_the_times_of_a_recorder_that_is_started_anew_go_on(chunks: Chunks) -> None:
    once = passed(chunks("chromium-vp8-3s"))
    twice = passed([*chunks("chromium-vp8-3s"), *chunks("chromium-mp4-3s")])
    end = once[-1].end_seconds
    assert end is not None
    anew = [chunk for chunk in twice if chunk.start_seconds is not None][len(once) :]
    assert anew[0].headed
    assert anew[0].start_seconds == end
    assert anew[-1].end_seconds == pytest.approx(
        end + (passed(chunks("chromium-mp4-3s"))[-1].end_seconds or 0)
    )
    assert anew[0].key_seconds == pytest.approx(end, abs=0.2)


def test_a_jump_of_a_recorder_that_is_started_anew_is_told_in_times_of_the_recording() -> None:
    blocks = [block(1, ticks, is_key=ticks == 0) for ticks in range(0, 2_001, 400)]
    first = header(*BOTH) + cluster(0, *blocks)
    anew = header(*BOTH) + cluster(0, block(1, 0, is_key=True), block(1, 400))
    jumping = cluster(5_000, block(1, 0, is_key=True), block(1, 400))
    alone, both = passed([anew, jumping]), passed([first, anew, jumping])
    assert both[0].end_seconds == 2.0
    assert [chunk.jump for chunk in alone] == [None, TimeJump(0.4, 5.0)]
    assert [chunk.jump for chunk in both] == [None, None, TimeJump(2.4, 7.0)]


@pytest.mark.parametrize("name", ["chromium-mp4-1s", "chromium-vp8-250ms"])
def test_a_recorder_that_was_started_anew_begins_anew_however_little_came_first(
    name: str, chunks: Chunks
) -> None:
    pieces = [piece for piece in chunks(name) if piece]  # the first: a header alone, a single byte
    once, twice = passed(pieces), passed([*pieces, *pieces])
    assert joined(twice) == b"".join(pieces) * 2
    assert [chunk.headed for chunk in twice] == [chunk.headed for chunk in once] * 2
    end = once[-1].end_seconds
    assert end is not None
    assert twice[-1].end_seconds == pytest.approx(2 * end, abs=0.01)


@pytest.mark.parametrize("name", ["chromium-mp4-1s", "firefox-vp8-1s"])
def test_a_header_that_no_media_followed_is_left_out(name: str, chunks: Chunks) -> None:
    pieces = chunks(name)
    header = pieces[0] if name == "chromium-mp4-1s" else pieces[0][:313]
    assert passed([header, *pieces]) == passed(pieces)


def test_a_single_byte_that_begins_nothing_goes_out_in_its_place(chunks: Chunks) -> None:
    data = b"".join(chunks("chromium-vp8-3s"))
    at = data.index(b"\x1a", 50_000)
    pieces = [data[:at], data[at : at + 1], data[at + 1 :]]
    assert joined(passed(pieces)) == data
    assert joined(passed(pieces[:2])) == data[: at + 1]


def test_a_recording_that_never_comes_to_media_is_refused() -> None:
    recording = Recording()
    recording.feed(b"\0\0\0\x18ftypisom\0\0\0\0isomiso2" + b"\x7f\xff\xff\xfffree")
    more = (recording.feed(bytes(1 << 20)) for _ in range(17))
    with pytest.raises(MediaError, match="hold no media"):
        list(more)


def test_other_containers_pass_without_times(sample: SampleFolder) -> None:
    data = sample("transport").read_bytes()
    sent = passed([data[:50_000], data[50_000:]])
    assert [chunk.headed for chunk in sent] == [True, False]
    assert sent[0].seconds is None


@pytest.mark.one_for_each("name", alike=ALIKE)
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_stream_can_begin_anew_wherever_a_chunk_says_so(name: str, chunks: Chunks) -> None:
    recording = Recording()
    sent = [c for piece in chunks(name) if (c := recording.feed(piece))]
    entries = [(n, c) for n, c in enumerate(sent) if c.key_offset is not None]
    assert entries[0][0] == 0
    assert entries[0][1].key_offset == len(recording.header or b"")
    if not IS_LONG and len(entries) > 2:  # the first two, and the media up to the third
        sent, entries = sent[: entries[2][0]], entries[:2]
    source = oracle.read(joined(sent))
    for number, chunk in entries:
        rest = chunk.data[chunk.key_offset :] + joined(sent[number + 1 :])
        later = oracle.read((recording.header or b"") + rest)
        assert not later.errors
        assert digests(later.pictures) == digests(source.pictures)[-len(later.pictures) :]
        assert digests(later.sound) == digests(source.sound)[-len(later.sound) :]
        assert later.pictures[0].time == pytest.approx(chunk.key_seconds, abs=0.002)


@pytest.mark.parametrize(("name", "least"), [("chromium-vp8-3s", 4), ("chromium-mp4-3s", 4)])
def test_chunks_that_are_longer_than_the_key_frames_are_apart_say_so(
    name: str, least: int, chunks: Chunks
) -> None:
    assert sum(chunk.key_offset is not None for chunk in passed(chunks(name))) >= least


def test_what_only_the_next_chunk_can_tell_is_not_said(chunks: Chunks) -> None:
    pieces = chunks("chromium-mp4-3s")
    data, begins = b"".join(pieces), len(pieces[0] + pieces[1])  # where a fragment begins
    for cut in (1, 9, 40):  # within its `moof`
        edges = [0, begins, begins + cut, len(data)]
        _, torn, after = passed([data[a:b] for a, b in pairwise(edges)])
        assert torn.key_offset is None
        assert after.key_offset is not None  # of a later fragment
        assert after.key_offset > 100_000


def test_fragments_that_say_where_their_media_is_are_not_moved(sample: SampleFolder) -> None:
    data = sample("fragmented").read_bytes()
    recording = Recording()
    places = [found.start() - 4 for found in re.finditer(b"moof", data)]
    edges = [0, *places[1:], len(data)]
    sent = [c for a, b in pairwise(edges) if (c := recording.feed(data[a:b]))]
    assert [chunk.key_offset for chunk in sent] == [places[0], *[None] * (len(sent) - 1)]
    with pytest.raises(MediaError, match="cannot be moved"):
        recording.whole(sent[1])


def test_the_sound_alone_can_be_begun_at_every_cluster(sample: SampleFolder) -> None:
    data = sample("audio_only_webm").read_bytes()
    sent = passed([data[at : at + 20_000] for at in range(0, len(data), 20_000)])
    assert sum(chunk.key_offset is not None for chunk in sent) >= 2


@pytest.mark.parametrize("container", ["mp4", "webm"])
def test_a_header_beyond_a_mebibyte_is_passed_on_but_not_kept(
    container: str, sample: SampleFolder
) -> None:
    data = sample({"mp4": "movable", "webm": "vp9"}[container]).read_bytes()
    (plain,) = passed([data])
    padding = bytes(1 << 20)
    if container == "mp4":
        fat = (len(padding) + 8).to_bytes(4, "big") + b"ftyp" + padding + data
    else:
        fat = data[: plain.key_offset] + ebml.element(0xEC, padding) + data[plain.key_offset :]
    recording = Recording()
    chunk = recording.feed(fat)
    assert chunk is not None
    assert (recording.header, chunk.key_offset) == (None, None)
    assert chunk.end_seconds == plain.end_seconds
    with pytest.raises(MediaError, match="kept"):
        recording.whole(replace(chunk, headed=False))


def test_twelve_bytes_tell_whether_a_recording_begins() -> None:
    assert Recording().feed(b"RIFF\0\0\0\0ABC") is None
    with pytest.raises(MediaError):
        Recording().feed(b"RIFF\0\0\0\0ABCD")
