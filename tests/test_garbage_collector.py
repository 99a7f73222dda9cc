"""What a full collection would visit: not the spans of an enormous stream, nor what a start made.

A collection that visits 200,000 objects takes 100 ms, in which no thread of the process runs.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ih_mcp.garbage_collector import MANY_OBJECTS, collecting_nothing
from ih_mcp.journal import Entry
from ih_mcp.streams.status import StreamStatus
from ih_mcp.timeline.exports.readings import make_rows_once
from ih_mcp.timeline.model import Drawing, Timeline, changes, free_lists
from ih_mcp.wire.dialects import V1

MESSAGES, SIGNALS = 20, 1000
MOST_VISITED = 2 * MANY_OBJECTS + 20_000
"""What was made last, what is young, and a margin."""


def entries(kind: str) -> Iterator[Entry]:
    """Messages about 20,000 signals, each by a name of its own."""
    for number in range(MESSAGES):
        signals = [
            {"type": f"{number:04}{place:03}", "start": place, "end": place + 1}
            for place in range(SIGNALS)
        ]
        text = json.dumps({"type": f"signal.{kind}", "data": {"signals": signals}})
        yield Entry(number + 1, 0, 0, text)


@pytest.fixture
def visited() -> Callable[[], int]:
    """Gives how many objects a full collection would visit, beside what tests left before."""
    gc.collect()
    gc.freeze()
    return lambda: len(gc.get_objects())


def test_no_collection_visits_the_spans_of_an_enormous_stream(visited: Callable[[], int]) -> None:
    timeline, status = Timeline(V1), StreamStatus(state="ended")
    empty: Drawing = timeline.as_json(status, stream_id="st_1")
    steps: list[Callable[[], object]] = [
        lambda: timeline.fold_all(entries("detected"), status),
        lambda: timeline.fold_all(entries("updated"), status),
        lambda: timeline.fold(Entry(41, 1, 0, "{}"), offset_seconds=5.0),  # a new leg ends all
        lambda: timeline.fold_all(entries("detected"), status),
        lambda: timeline.close(status),
        lambda: timeline.as_json(status, stream_id="st_1"),
    ]
    kept = []
    for number, step in enumerate(steps):
        kept.append(step())
        assert visited() < MOST_VISITED, number
    drawn: Any = kept[-1]
    assert len(drawn["spans"]) == 2 * MESSAGES * SIGNALS
    kept.append(changes(empty, drawn))
    assert visited() < MOST_VISITED
    free_lists(drawn)
    kept.append(make_rows_once(timeline, status))
    assert visited() < MOST_VISITED


def test_a_server_never_visits_what_its_start_made() -> None:
    """Each full collection took 65 ms, of the start first, then of the event loop."""
    asked = [
        "import gc, os, sys",
        "from ih_mcp.cli import main",
        "count = lambda: gc.get_stats()[2]['collections']",
        "def end(code):",
        "    shown = len(gc.get_objects()), gc.get_freeze_count(), count() - began, gc.isenabled()",
        "    print(*shown, file=sys.stderr, flush=True)",
        "    really(code)",
        "really, os._exit = os._exit, end",
        "began = count()",
        "sys.exit(main([]))",
    ]
    ended = subprocess.run(
        [sys.executable, "-c", "\n".join(asked)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    visited, left_out, collections, collects_again = ended.stderr.split()
    assert int(visited) < 30_000 < int(left_out)
    assert (collections, collects_again) == ("0", "True")


def test_collections_go_on_where_a_server_could_not_start() -> None:
    def start() -> None:
        assert not gc.isenabled()
        raise OSError("in use")

    with pytest.raises(OSError, match="in use"), collecting_nothing():
        start()
    assert gc.isenabled()
