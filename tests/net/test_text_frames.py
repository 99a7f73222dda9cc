from __future__ import annotations

import pytest

from ih_mcp.net.text_frames import take_texts

_EVERYTHING = 2**20


def text_frame(text: bytes) -> bytes:
    length = len(text).to_bytes(1) if len(text) < 126 else b"\x7e" + len(text).to_bytes(2)
    return b"\x81" + length + text


@pytest.mark.parametrize("size", [0, 1, 125, 126, 255, 256, 65_535])
def test_a_text_is_taken_once_it_is_whole(size: int) -> None:
    frame = text_frame(b"x" * size)
    for there in {1, 2, 3, 4, len(frame) - 1} & set(range(1, len(frame))):
        waiting = bytearray(frame[:there])
        texts, needed = take_texts(waiting, _EVERYTHING)
        assert not texts
        assert waiting == frame[:there]
        assert there < needed <= len(frame)
    waiting = bytearray(frame)
    assert take_texts(waiting, _EVERYTHING) == ([b"x" * size], 1)
    assert not waiting


def test_how_much_is_needed_is_known_from_the_first_four_bytes() -> None:
    frame = text_frame(b"x" * 1000)
    assert take_texts(bytearray(frame[:4]), _EVERYTHING) == ([], len(frame))


def test_texts_are_taken_in_order_up_to_the_beginning_of_one() -> None:
    waiting = bytearray(text_frame(b"a") + text_frame(b"") + text_frame(b"b" * 300) + b"\x81\x05no")
    assert take_texts(waiting, _EVERYTHING) == ([b"a", b"", b"b" * 300], 7)
    assert waiting == b"\x81\x05no"


@pytest.mark.parametrize(
    "other",
    [
        b"\x01\x02ab",  # the first frame of several
        b"\x80\x02ab",  # the last of several
        b"\x82\x02ab",  # binary
        b"\x89\x00",  # a ping
        b"\x88\x00",  # a close
        b"\xc1\x02ab",  # with a bit of an extension
        b"\x81\x82\x00\x00\x00\x00ab",  # masked, which a server must not
        b"\x81\x7f" + (65_536).to_bytes(8),  # long
    ],
)
def test_a_frame_of_another_kind_is_left_with_all_that_follows(other: bytes) -> None:
    rest = other + text_frame(b"later")
    waiting = bytearray(text_frame(b"now") + rest)
    assert take_texts(waiting, _EVERYTHING) == ([b"now"], 1)
    assert waiting == rest
    assert take_texts(waiting, _EVERYTHING) == ([], 1)
    assert waiting == rest


def test_no_further_text_is_taken_after_as_many_bytes_as_are_asked_for() -> None:
    for most_bytes, count in ((1, 1), (10, 1), (11, 2), (20, 2), (100, 10)):
        waiting = bytearray(text_frame(b"12345678") * 10)
        assert take_texts(waiting, most_bytes) == ([b"12345678"] * count, 1)
        assert len(waiting) == 100 - 10 * count
