"""The page's scripts by themselves, in node: what is sent when, and what changes add up to."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ih_mcp.timeline.model import changes
from ih_mcp.timeline.rows import clock, make_rows
from tests.timeline.known import changing_drawing, drawing

_ROOT = Path(__file__).parents[2] / "ih_mcp"
_SENDER, _TIMELINE = _ROOT / "capture/static/sender.js", _ROOT / "timeline/static/timeline.js"


def run(module: Path, script: str, tmp_path: Path) -> Any:
    """What a script prints, with a module's exports as `m`."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node here")
    shutil.copytree(module.parent, tmp_path, dirs_exist_ok=True)
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    code = f"import * as m from {json.dumps((tmp_path / module.name).as_uri())};\n{script}"
    done = subprocess.run(
        [node, "--input-type=module", "-e", code], capture_output=True, check=False, timeout=15
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


_MADE = """
const sent = [], gone = [];
let isOpen = true;
const sender = new m.Sender({
  send: (chunk) => { if (isOpen) sent.push(`${chunk.recording}${chunk.seq}`); return isOpen; },
  onOverflow: (told) => gone.push(told),
});
const chunk = (recording, seq, size = 10, seconds = 3) => ({recording, seq, blob: {size}, seconds});
"""


def test_nothing_is_sent_before_the_seat_and_two_chunks_are_under_way(tmp_path: Path) -> None:
    script = """
    for (const seq of [0, 1, 2, 3]) sender.put(chunk("a", seq));
    const before = [...sent];
    sender.seated({recording: "", next_seq: 0});
    const first = [...sent];
    sender.settled({recording: "a", seq: 0});
    console.log(JSON.stringify([before, first, sent]));
    """
    assert run(_SENDER, _MADE + script, tmp_path) == [[], ["a0", "a1"], ["a0", "a1", "a2"]]


def test_after_a_lost_connection_what_was_not_confirmed_is_sent_again_in_order(
    tmp_path: Path,
) -> None:
    script = """
    sender.seated({recording: "", next_seq: 0});
    for (const seq of [0, 1]) sender.put(chunk("a", seq));
    sender.put(chunk("b", 0));
    isOpen = false;
    sender.lost();
    isOpen = true;
    sender.seated({recording: "a", next_seq: 1});
    const kept = sender.queue.map((chunk) => chunk.recording + chunk.seq);
    console.log(JSON.stringify([sent, kept]));
    """
    sent, kept = run(_SENDER, _MADE + script, tmp_path)
    assert sent == ["a0", "a1", "a1", "b0"]
    assert kept == ["a1", "b0"]


def test_what_cannot_wait_goes_and_what_is_under_way_stays(tmp_path: Path) -> None:
    script = """
    sender.seated({recording: "", next_seq: 0});
    for (let seq = 0; seq < 11; seq += 1) sender.put(chunk("a", seq));
    console.log(JSON.stringify([gone, sender.queue.map((chunk) => chunk.seq)]));
    """
    gone, kept = run(_SENDER, _MADE + script, tmp_path)
    assert gone == [{"seconds": 27, "bytes": 90}]
    assert kept == [0, 1]


def test_the_page_adds_changes_up_as_the_server_means_them(tmp_path: Path) -> None:
    known: dict[str, Any] = drawing()
    early = {**known, "spans": known["spans"][:1], "engagement": [], "state": "open"}
    steps = [changes({}, early), changes(early, known)]
    script = f"""
    let drawing = {{}};
    for (const step of {json.dumps(steps)}) drawing = m.apply(drawing, step);
    console.log(JSON.stringify(drawing));
    """
    assert run(_TIMELINE, script, tmp_path) == known


def test_the_page_tells_media_time_as_the_other_pictures_do(tmp_path: Path) -> None:
    times = [0, 5.5, 59.96, 65, 3599.96, 3725.5, 36_000]
    script = f"console.log(JSON.stringify({json.dumps(times)}.map(m.clock)))"
    assert run(_TIMELINE, script, tmp_path) == [clock(seconds) for seconds in times]


def test_the_page_has_the_lanes_and_marks_of_the_other_pictures(tmp_path: Path) -> None:
    script = f"""
    const lanes = m.lanes({json.dumps(changing_drawing())});
    console.log(JSON.stringify(lanes.map(({{name, items}}) => [name, items.map((item) =>
      [item.from, item.to, item.look, item.layer ?? 0, item.isImplicit ?? false])])))"""
    assert run(_TIMELINE, script, tmp_path) == [
        [
            row.name,
            [
                [m.start_seconds, m.end_seconds, m.look, m.layer, m.ends_implicitly]
                for m in row.marks
            ],
        ]
        for row in make_rows(changing_drawing())
    ]


def test_a_signal_named_like_a_member_of_objects_has_no_meaning(tmp_path: Path) -> None:
    known: dict[str, Any] = drawing()
    names = ["constructor", "toString", "__proto__", "agreement"]
    given = {
        "meanings": {"agreement": "says yes"},
        "phases": [{**known["phases"][0], "signal": name} for name in names],
    }
    script = f"""
    const lanes = m.lanes(JSON.parse({json.dumps(json.dumps(given))}));
    console.log(JSON.stringify(lanes.map(({{name, items}}) => [name, String(items[0].meaning)])))"""
    told = run(_TIMELINE, script, tmp_path)
    assert told == [*([name, ""] for name in names[:3]), ["agreement", "says yes"]]
