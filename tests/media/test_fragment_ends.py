"""What a fragmented MP4 tells of its end, and what is said of a file that need not be whole."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ih_mcp.errors import MediaError
from ih_mcp.media.containers.header_facts import _entry_number, read_header_facts
from ih_mcp.media.ffmpeg.early_end import describe_end, require_end
from ih_mcp.media.ffmpeg.facts import Facts
from ih_mcp.media.ffmpeg.program import Ffmpeg

from .test_mp4_boxes import box


def _fragmented(*, mehd: int | None = None, sidx_of: int = 0, ends_in_index: bool = False) -> bytes:
    """The boxes alone of a fragmented MP4, with a clock of 1,000 a second."""
    clock = struct.pack(">4xIIII", 0, 0, 1_000, 0) + bytes(80)
    extends = box(b"mvex", box(b"mehd", struct.pack(">II", 0, mehd)) if mehd is not None else b"")
    index = struct.pack(">IIIIIHH", 0, 1, 1_000, 0, 0, 0, sidx_of) + bytes(12 * sidx_of)
    parts = [
        box(b"ftyp", b"isom"),
        box(b"moov", box(b"mvhd", clock) + extends),
        box(b"sidx", index) if sidx_of else b"",
        box(b"moof", box(b"traf", box(b"tfhd", bytes(8)))),
        box(b"mdat", bytes(8)),
        box(b"mfra", box(b"mfro", bytes(8))) if ends_in_index else b"",
    ]
    return b"".join(parts)


@pytest.mark.parametrize(
    ("given", "is_open_ended", "seconds"),
    [
        ({}, True, None),
        ({"mehd": 0}, True, None),
        ({"mehd": 20_000}, True, 20.0),
        ({"sidx_of": 1}, True, None),
        ({"sidx_of": 4}, False, None),
        ({"ends_in_index": True}, False, None),
        ({"mehd": 20_000, "ends_in_index": True}, False, 20.0),
    ],
)
def test_fragments_tell_where_they_end_or_do_not(
    given: Mapping[str, Any], is_open_ended: bool, seconds: float | None
) -> None:
    found = read_header_facts(io.BytesIO(_fragmented(**given)))
    assert (found.is_open_ended, found.fragments_seconds) == (is_open_ended, seconds)


@pytest.mark.parametrize(("flags", "number"), [(0, 1), (1, 1), (2, 7), (3, 7), (8, 1), (9, 1)])
def test_a_fragment_names_its_sample_entry_or_has_the_first(flags: int, number: int) -> None:
    """Behind its track stands where its media begins, then the entry, each where a bit says so."""
    place, entry = bytes(8) if flags & 1 else b"", b"\0\0\0\7" if flags & 2 else b""
    named = struct.pack(">II", flags, 1) + place + entry
    assert _entry_number(named + b"\0\0\0\5") == number  # the usual length of a sample


def test_boxes_that_are_cut_in_the_middle_tell_nothing() -> None:
    data = _fragmented(mehd=20_000, sidx_of=4, ends_in_index=True)
    for size in range(len(data)):
        read_header_facts(io.BytesIO(data[:size]))


@pytest.mark.parametrize(
    ("container", "given", "said"),
    [
        ("mov,mp4", {"duration_seconds": 20.0}, ""),
        ("mov,mp4", {"duration_seconds": 10.0, "is_open_ended": True}, "Nothing in the file tells"),
        ("mov,mp4", {"duration_seconds": 10.0, "fragments_seconds": 20.0},
            "Its header tells of 20.0 s and 10.0 s are there"),
        ("mov,mp4", {"duration_seconds": 19.5, "fragments_seconds": 20.0}, ""),
        ("mpegts", {"duration_seconds": 10.0}, "Nothing in the file tells"),
        ("matroska,webm", {"duration_seconds": 10.0}, ""),
        ("matroska,webm", {"duration_seconds": None}, "Nothing in the file tells"),
    ],
)  # fmt: skip
def test_a_file_that_need_not_be_whole_is_said_to_be_so(
    container: str, given: dict[str, Any], said: str
) -> None:
    facts = Facts(container=container, video=None, audio=None, **given)
    notes = describe_end(facts, facts.duration_seconds or 10.0)
    assert [note.startswith(said) for note in notes] == ([True] if said else [])


@pytest.mark.parametrize("told", [{"duration_seconds": None}, {"jumps_seconds": 20.0}])
async def test_no_file_is_looked_at_for_an_end_that_it_does_not_tell(
    told: dict[str, Any], ffmpeg: Ffmpeg
) -> None:
    facts = replace(Facts(container="mov", duration_seconds=9.0, video=None, audio=None), **told)
    await require_end(ffmpeg, Path("there-is-none.mp4"), facts)


@pytest.mark.parametrize(("declared_seconds", "is_whole"), [(12.6, True), (13.5, False)])
async def test_a_packet_behind_where_the_last_second_begins_is_enough(
    declared_seconds: float, is_whole: bool, base: Path, ffmpeg: Ffmpeg
) -> None:
    """The file has 12 s."""
    facts = Facts(container="mov", duration_seconds=declared_seconds, video=None, audio=None)
    with nullcontext() if is_whole else pytest.raises(MediaError, match="its last part is missing"):
        await require_end(ffmpeg, base, facts)
