"""Headers of MP4 boxes, also of those that are cut off or cannot be."""

from __future__ import annotations

import struct

import pytest

from ih_mcp.errors import MediaError
from ih_mcp.media.containers.mp4_boxes import box_headers, children


def box(kind: bytes, size: int, body: bytes = b"") -> bytes:
    return struct.pack(">I4s", size, kind) + body


FREE = box(b"free", 12, b"abcd")
LARGE = box(b"mdat", 1) + struct.pack(">Q", 2**33)


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (b"", []),
        (b"\0\0\0\x08mda", []),
        (FREE + box(b"moov", 100), [(b"free", 8, 12), (b"moov", 20, 112)]),
        (LARGE, [(b"mdat", 16, 2**33)]),
        (LARGE[:-1], [(b"mdat", 16, 0)]),
        (box(b"mdat", 0) + FREE, [(b"mdat", 8, 0)]),
        (box(b"free", 7) + FREE, [(b"free", 8, 7)]),
    ],
)
def test_headers_are_read_as_far_as_they_reach(
    data: bytes, headers: list[tuple[bytes, int, int]]
) -> None:
    assert list(box_headers(data, 0, len(data))) == headers


@pytest.mark.parametrize("child", [LARGE[:-1], LARGE, box(b"trak", 9), box(b"trak", 7)])
def test_a_child_that_does_not_fit_into_its_parent_is_refused(child: bytes) -> None:
    with pytest.raises(MediaError, match="does not fit into its parent"):
        list(children(FREE + child, 0, len(FREE + child)))
