"""Containers as streams: what is found does not depend on how the bytes came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ih_mcp.errors import MediaError
from ih_mcp.media.containers import ebml
from ih_mcp.media.containers.container import (
    READERS,
    MediaUnit,
    Reader,
    _is_transport_stream,
    container_of,
    is_headed,
)
from ih_mcp.media.containers.ebml import Elements, Id
from ih_mcp.media.containers.incremental_reader import IncrementalReader
from ih_mcp.media.containers.matroska_clusters import MatroskaReader
from ih_mcp.media.containers.mp4_fragments import Mp4Reader
from ih_mcp.media.cutter import Cutter, Segment
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.media.segment_bounds import bounds
from ih_mcp.wire.dialects import V2, Framing
from tests.reliability.budget import often

from .checks import cut
from .sample_files import SampleFolder

EXAMPLES = settings(
    max_examples=often(30, nightly=500),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Streams(dict[str, bytes]):
    """A stream of each container; too long to be shown."""

    def __repr__(self) -> str:
        return "Streams"


@pytest.fixture(scope="session")
def streams(sample: SampleFolder, ffmpeg: Ffmpeg) -> Streams:
    """A short continued stream of each container, as ffmpeg writes it."""
    import anyio  # noqa: PLC0415 - a fixture of the session cannot be asynchronous here

    async def joined(name: str) -> bytes:
        outcome = await cut(sample(name), ffmpeg, V2)
        return b"".join(segment.data for segment in outcome.segments)

    return Streams(mp4=anyio.run(joined, "short_2s"), webm=anyio.run(joined, "vp8"))


def found(reader: Reader, pieces: Sequence[bytes]) -> list[MediaUnit]:
    atoms = [atom for piece in pieces for atom in reader.feed(piece)]
    return [*atoms, *reader.finish()]


def pieces_of(data: bytes, edges: Sequence[int]) -> list[bytes]:
    places = [0, *sorted(edge % (len(data) + 1) for edge in edges), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


@EXAMPLES
@given(name=st.sampled_from(["mp4", "webm"]), edges=st.lists(st.integers(0, 1 << 24), max_size=30))
def test_what_is_found_does_not_depend_on_how_the_bytes_were_cut(
    name: str, edges: list[int], streams: Streams
) -> None:
    data = streams[name]
    at_once, in_pieces = READERS[name](), READERS[name]()
    assert found(at_once, [data]) == found(in_pieces, pieces_of(data, edges))
    assert at_once.header == in_pieces.header
    assert at_once.reached_seconds == in_pieces.reached_seconds


@pytest.mark.parametrize("name", ["mp4", "webm"])
def test_bytes_may_come_one_by_one(name: str, streams: Streams) -> None:
    data = streams[name][:30_000]
    assert found(READERS[name](), [data]) == found(READERS[name](), [bytes([b]) for b in data])


def segments_of(name: str, framing: Framing, pieces: Sequence[bytes]) -> list[Segment]:
    limits = replace(V2.limits, min_segment_seconds=0.0)
    cutter = Cutter(READERS[name](), bounds(limits, framing, target_seconds=0.5), framing)
    return [*(made for piece in pieces for made in cutter.feed(piece)), *cutter.finish()]


@pytest.mark.parametrize("framing", [Framing.WHOLE, Framing.CONTINUED])
@pytest.mark.parametrize("name", ["mp4", "webm"])
def test_segments_do_not_depend_on_how_the_bytes_came(
    name: str, framing: Framing, streams: Streams
) -> None:
    """A look at what a key frame begins with passes none of its bytes."""
    data = streams[name]
    at_once = segments_of(name, framing, [data])
    assert len(at_once) > 1
    if framing is Framing.CONTINUED:
        assert b"".join(segment.data for segment in at_once) == data
    first = often(20_000, nightly=60_000)
    one_by_one = [bytes([byte]) for byte in data[:first]]
    assert segments_of(name, framing, [*one_by_one, data[first:]]) == at_once
    for step in often((100, 4_096), nightly=(7, 100, 1_000, 4_096)):
        assert segments_of(name, framing, pieces_of(data, range(0, len(data), step))) == at_once


def sized_block(track: int, ticks: int, size_bytes: int, media: int, *, flags: int = 0) -> bytes:
    """A SimpleBlock whose size is written in so many bytes."""
    number = bytes([0x80 | track]) if track < 127 else (0x4000 | track).to_bytes(2, "big")
    payload = number + ticks.to_bytes(2, "big", signed=True) + bytes([flags]) + bytes(media)
    size = (len(payload) | 1 << 7 * size_bytes).to_bytes(size_bytes, "big")
    return bytes([Id.SIMPLE_BLOCK]) + size + payload


def odd_clusters() -> bytes:
    """Clusters with blocks of all kinds that a reader may come upon in a row, or not."""
    tracks = b"".join(
        ebml.element(
            Id.TRACK_ENTRY,
            ebml.element(Id.TRACK_NUMBER, number.to_bytes(2, "big"))
            + ebml.element(Id.TRACK_TYPE, bytes([kind])),
        )
        for number, kind in ((1, 1), (2, 2), (200, 2))
    )
    head = ebml.element(Id.EBML, b"") + Id.SEGMENT.to_bytes(4, "big") + ebml.UNKNOWN
    written = head + ebml.element(Id.TRACKS, tracks)
    group = ebml.element(Id.BLOCK, b"\x81\0\x30\0ab") + ebml.element(Id.REFERENCE_BLOCK, b"\1")
    for begin in range(0, 4_000, 500):
        blocks = [
            sized_block(1 + at % 2, 20 * at, 1 + at % 8, 7 * at, flags=0x80 if at in {1, 8} else 0)
            for at in range(17)
        ]
        blocks += [sized_block(200, 330, 2, 40), ebml.element(Id.BLOCK_GROUP, group), ebml.void(9)]
        blocks += [sized_block(2, 20_000 if begin == 3_000 else 340, 2, 300, flags=0x80)]
        inner = ebml.element(Id.TIMESTAMP, begin.to_bytes(2, "big")) + b"".join(blocks)
        is_known = begin % 1_000 == 0
        written += Id.CLUSTER.to_bytes(4, "big")
        written += (ebml.sized(len(inner)) if is_known else ebml.UNKNOWN) + inner
    return written


def test_blocks_of_all_kinds_are_the_same_in_whatever_pieces_they_come() -> None:
    data = odd_clusters()
    at_once = found(MatroskaReader(), [data])
    assert [unit.start_seconds for unit in at_once] == [n / 2 for n in range(8)]
    assert sum(unit.size for unit in at_once) == len(data) - at_once[0].offset
    assert [len(unit.far_blocks) for unit in at_once] == [0] * 6 + [1, 0]
    assert [len(unit.before_key) for unit in at_once] == [4] * 8
    assert found(MatroskaReader(), [bytes([byte]) for byte in data]) == at_once
    for step in (2, 13, 14, 50, 1_000):
        assert found(MatroskaReader(), pieces_of(data, range(0, len(data), step))) == at_once


def test_a_copy_of_a_reader_and_the_reader_end_a_fragment_each_for_itself(
    streams: Streams,
) -> None:
    """What was refused leaves no trace in what follows it."""
    data = streams["mp4"]
    whole, *_ = found(Mp4Reader(), [data])
    media = data.index(b"mdat", whole.offset) - 4
    reader = Mp4Reader()
    assert reader.feed(data[:media]) == []
    (other,) = reader.copy().feed((8 + 5).to_bytes(4, "big") + b"mdat" + bytes(5))
    assert found(reader, [data[media:]])[0] == whole
    assert other.size == media - whole.offset + 13


@pytest.mark.parametrize("name", ["mp4", "webm"])
def test_atoms_follow_the_header_and_each_other_without_a_gap(name: str, streams: Streams) -> None:
    reader = READERS[name]()
    atoms = found(reader, [streams[name]])
    assert reader.header is not None
    ends = [len(reader.header), *(atom.offset + atom.size for atom in atoms)]
    assert [atom.offset for atom in atoms] == ends[:-1]
    assert streams[name].startswith(reader.header)


@pytest.mark.parametrize("name", ["mp4", "webm"])
def test_times_of_atoms_join(name: str, streams: Streams) -> None:
    atoms = found(READERS[name](), [streams[name]])
    for before, after in pairwise(atoms):
        assert abs(before.end_seconds - after.start_seconds) < 0.05
    assert atoms[0].is_key


@EXAMPLES
@given(
    name=st.sampled_from(["mp4", "webm"]),
    flips=st.lists(st.tuples(st.integers(0, 1 << 24), st.integers(0, 7)), min_size=1, max_size=12),
    near_the_start=st.booleans(),
)
def test_flipped_bits_never_do_worse_than_a_media_error(
    name: str,
    flips: list[tuple[int, int]],
    near_the_start: bool,
    streams: Streams,
) -> None:
    data = bytearray(streams[name][:200_000])
    reach = 3_000 if near_the_start else len(data)
    for place, bit in flips:
        data[place % reach] ^= 1 << bit
    survives(READERS[name], bytes(data))


@EXAMPLES
@given(
    make=st.sampled_from([Mp4Reader, MatroskaReader]),
    start=st.sampled_from(
        [b"", b"\x00\x00\x00\x18ftyp", b"\x00\x00\x00\x40moov", b"\x1aE\xdf\xa3", b"\x1fC\xb6u"]
    ),
    data=st.binary(max_size=400),
)
def test_random_bytes_never_do_worse_than_a_media_error(
    make: Callable[[], Reader], start: bytes, data: bytes
) -> None:
    survives(make, start + data)


def survives(make: Callable[[], Reader], data: bytes) -> None:
    reader = make()
    try:
        atoms = found(reader, [data])
        if atoms:
            head = reader.head()
            assert len(head.filled(0.0, 5.0, 1_000)) == head.size
            assert all(stamp.shifted(1.0) for atom in atoms for stamp in atom.timestamps)
    except MediaError as error:
        if error.code != "bad_container":
            raise


def test_a_box_that_claims_more_than_memory_is_refused() -> None:
    with pytest.raises(MediaError, match="claims"):
        Mp4Reader().feed(b"\xff\xff\xff\xffmoov")


def test_an_element_that_claims_more_than_memory_is_refused() -> None:
    reader = MatroskaReader()
    with pytest.raises(MediaError, match="claims"):
        reader.feed(b"\x1aE\xdf\xa3\x01\x00\x00\xff\xff\xff\xff\xff")


def test_a_matroska_header_without_an_end_is_refused() -> None:
    reader = MatroskaReader()
    reader.feed(ebml.element(Id.EBML, b""))
    void = ebml.element(0xEC, bytes(1 << 24))
    reader.feed(void)
    with pytest.raises(MediaError, match="without an end"):
        reader.feed(void)


def test_an_element_that_comes_byte_by_byte_is_not_copied_with_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copies = list[int]()
    waiting = IncrementalReader.waiting

    def counted(pieces: IncrementalReader) -> tuple[bytes, int]:
        copies.append(1)
        return waiting(pieces)

    monkeypatch.setattr(IncrementalReader, "waiting", counted)
    written = ebml.element(Id.TRACKS, bytes(5_000))
    elements = Elements({Id.TRACKS: ebml.ALL})
    found = [each for place in range(len(written)) for each in elements.feed(written[place:][:1])]
    assert [(each.number, len(each.payload), each.end) for each in found] == [
        (Id.TRACKS, 5_000, len(written))
    ]
    assert len(copies) < 20


@pytest.mark.parametrize(
    ("declared", "blocks"),
    [
        pytest.param(b"", ebml.element(Id.SIMPLE_BLOCK, b"\x83\0\0\x80x"), id="undeclared track"),
        pytest.param(
            ebml.element(Id.TRACK_NUMBER, b"\1") + ebml.element(Id.TRACK_TYPE, b"\1"),
            ebml.element(
                Id.BLOCK_GROUP,
                ebml.element(Id.REFERENCE_BLOCK, b"\1") + ebml.element(Id.BLOCK, b"\x81\0\0\0x"),
            ),
            id="reference before its block",
        ),
    ],
)
def test_clusters_that_no_muxer_writes_are_read_all_the_same(
    declared: bytes, blocks: bytes
) -> None:
    tracks = ebml.element(Id.TRACKS, ebml.element(Id.TRACK_ENTRY, declared) if declared else b"")
    segment = Id.SEGMENT.to_bytes(4, "big") + ebml.UNKNOWN
    block = ebml.element(Id.SIMPLE_BLOCK, b"\x81\0\0\x80x")
    clusters = [
        ebml.element(Id.CLUSTER, ebml.element(Id.TIMESTAMP, bytes([at])) + each)
        for at, each in enumerate([block, blocks])
    ]
    reader = MatroskaReader()
    atoms = reader.feed(ebml.element(Id.EBML, b"") + segment + tracks + b"".join(clusters))
    assert [atom.size for atom in atoms] == [len(cluster) for cluster in clusters]


def test_a_piece_of_very_many_elements_is_refused_and_not_looked_through() -> None:
    segment = Id.SEGMENT.to_bytes(4, "big") + ebml.UNKNOWN
    with pytest.raises(MediaError, match="100_000 elements in one piece"):
        MatroskaReader().feed(ebml.element(Id.EBML, b"") + segment + b"\xec\x80" * (1 << 24))


def test_a_second_header_within_an_mp4_stream_is_refused(streams: Streams) -> None:
    reader = Mp4Reader()
    reader.feed(streams["mp4"])
    with pytest.raises(MediaError, match="second"):
        reader.feed(streams["mp4"])


def test_a_damaged_stream_stays_damaged() -> None:
    reader = Mp4Reader()
    for _ in range(2):
        with pytest.raises(MediaError):
            reader.feed(b"\x00\x00\x00\x01moof\x00\x00\x00\x00\x00\x00\x00\x00")


def test_clusters_of_unknown_size_end_where_the_next_begins() -> None:
    def cluster(seconds: int) -> bytes:
        timestamp = ebml.element(Id.TIMESTAMP, (seconds * 1_000).to_bytes(2, "big"))
        blocks = b"".join(
            ebml.element(Id.SIMPLE_BLOCK, b"\x81" + ticks.to_bytes(2, "big") + flags + b"picture")
            for ticks, flags in ((0, b"\x80"), (500, b"\x00"))
        )
        return b"\x1f\x43\xb6\x75\x01" + b"\xff" * 7 + timestamp + blocks

    track = ebml.element(Id.TRACK_NUMBER, b"\x01") + ebml.element(Id.TRACK_TYPE, b"\x01")
    tracks = ebml.element(Id.TRACKS, ebml.element(Id.TRACK_ENTRY, track))
    segment = b"\x18\x53\x80\x67\x01" + b"\xff" * 7
    stream = ebml.element(Id.EBML, b"") + segment + tracks + cluster(0) + cluster(1) + b"\xa3"
    atoms = found(MatroskaReader(), [stream])
    assert [(a.start_seconds, a.end_seconds, a.is_key) for a in atoms] == [
        (0.0, 1.0, True),
        (1.0, 2.0, True),
    ]
    assert atoms[1].offset + atoms[1].size == len(stream) - 1  # the torn element is left out


def test_a_plain_mp4_has_no_atoms_and_tells_its_length(base: Path) -> None:
    reader = Mp4Reader()
    assert found(reader, [base.read_bytes()]) == []
    assert abs(reader.reached_seconds - 12.0) < 0.1


@pytest.mark.parametrize(
    ("name", "container"),
    [
        ("base", "mp4"),
        ("mkv", "matroska"),
        ("vp8", "matroska"),
        ("transport", "mpegts"),
        ("mjpeg", "avi"),
        ("audio_only_wav", "wav"),
        ("audio_only_ogg", "ogg"),
    ],
)
def test_a_header_tells_its_container(name: str, container: str, sample: SampleFolder) -> None:
    with sample(name).open("rb") as file:
        assert container_of(file.read(1_000)) == container


@pytest.mark.parametrize(
    "data", [b"", b"\x1a", b"G" * 4, b"moofmoof", b"\x00\x00\x00\x18moof", b"\xa3\x40", b"RIFF"]
)
def test_what_does_not_begin_a_container_has_no_header(data: bytes) -> None:
    assert not is_headed(data)


def test_text_of_the_letter_that_marks_transport_packets_is_not_one() -> None:
    assert not is_headed(b"G is a letter. " * 40)


@pytest.mark.parametrize("size", [375, 376, 377, 564])
def test_two_packets_of_mpeg_ts_are_enough_to_tell_it(size: int) -> None:
    packets = (b"\x47" + bytes(187)) * 3
    assert _is_transport_stream(packets[:size]) is (size >= 376)
    assert not _is_transport_stream(packets[1 : size + 1])
