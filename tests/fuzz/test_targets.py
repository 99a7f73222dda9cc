"""The targets of fuzzing themselves, by plain chance: they hold, and they see what is wrong."""

from __future__ import annotations

import subprocess
import sys
from random import Random

import pytest

from ih_mcp.media.containers.matroska_clusters import MatroskaReader
from ih_mcp.streams.outbox import Outbox
from tests.reliability.budget import dice

from .__main__ import NAMES
from .targets import TARGETS, journal_files

_TRIES = 40


def _changed(seed: bytes, rng: Random) -> bytes:
    data = bytearray(seed)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(data) + 1)
        data[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(5))
    return bytes(data)


def test_all_targets_can_be_named() -> None:
    assert tuple(TARGETS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_target_holds_for_its_seeds_and_what_is_near_them(name: str) -> None:
    target, rng = TARGETS[name], dice("fuzz", name)
    found = [b"", *target.seeds()]
    for data in [*found, *(_changed(rng.choice(found), rng) for _ in range(_TRIES))]:
        print(f"input {data.hex()}")  # noqa: T201 - pytest shows it where it fails
        target.run(data)


def test_a_journal_that_does_not_look_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ih_mcp.journal.store.is_whole", lambda *_: True)
    place = journal_files()[0].index(b'"start":7')
    with pytest.raises(AssertionError):
        TARGETS["journal"].run(b"\0" + place.to_bytes(3) + b"\1")


def test_no_bit_of_a_kept_message_can_flip_unseen() -> None:
    """Its length and kind stand before it: text may become bytes."""
    place = journal_files()[0].index(b'"start":7')
    for at in range(place - 44, place + 12):
        for bit in range(8):
            TARGETS["journal"].run(b"\0" + at.to_bytes(3) + bytes([1 << bit]))


def test_bytes_that_do_not_add_up_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outbox, "split_head", lambda self: self._items.popleft())
    with pytest.raises(AssertionError):
        TARGETS["gap"].run(bytes([0, 2, 6 * 7 + 1, 3]))


def test_a_reader_that_minds_the_pieces_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = MatroskaReader.feed
    monkeypatch.setattr(MatroskaReader, "feed", lambda self, data: [*feed(self, data), len(data)])
    with pytest.raises(AssertionError):
        TARGETS["container"].run(TARGETS["container"].seeds()[0])


def test_a_name_that_is_none_is_refused() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "nonsense"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no target nonsense; there are journal, cursor" in done.stderr
