"""S24, S28, S31, S38, S42: pictures and terminals, whoever owns the folder and writes the text."""

from __future__ import annotations

import io
import json
import logging
import math
import os
import random
import re
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ih_mcp import cli
from ih_mcp.app.jsonl import frame_message
from ih_mcp.cli.browser import in_browser
from ih_mcp.errors import JournalError
from ih_mcp.journal import open_journal
from ih_mcp.mcp_server.picture_tools import _keep
from ih_mcp.printable import escape_unprintable
from ih_mcp.private_files import keep_newest, open_private, write_private
from ih_mcp.standin.recorder import Recorder
from ih_mcp.timeline.bounds import MAX_MARKS, MAX_SIGNALS, bounded, left_out
from ih_mcp.timeline.formats import FileKind, picture
from ih_mcp.timeline.html import file_page
from ih_mcp.timeline.image import draw
from ih_mcp.timeline.model import Drawing, Timeline
from ih_mcp.timeline.rows import make_rows, tick_seconds
from ih_mcp.timeline.terminal import TerminalTimeline
from ih_mcp.wire.dialects import V1
from ih_mcp.wire.spans import MAX_MEDIA_SECONDS
from tests.capture.test_scripts import _TIMELINE as TIMELINE_JS
from tests.capture.test_scripts import run as run_script
from tests.forked import forked
from tests.mcp_server.test_resources import client
from tests.road.host import environment
from tests.timeline.known import MESSAGES, STATUS, drawing, entries, message

from .budget import SEED, often, report
from .hold import holding
from .test_security_secrets import Service, service

if sys.platform != "win32":
    import termios

__all__ = ["service"]  # a fixture
pytestmark = pytest.mark.timeout(120)
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="modes and links of POSIX")


# --- S24: what is not ours is neither deleted nor written through --------------------------------


def picture_names(count: int) -> list[str]:
    kinds = ("png", "svg", "html")
    return [f"{'an' if n % 7 == 0 else 'st'}_{n:032x}.{kinds[n % 3]}" for n in range(count)]


def names_of(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def seen(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def photos(folder: Path) -> dict[str, bytes]:
    """A folder of the user, with a hundred and fifty photos and names that are nearly ours."""
    folder.mkdir()
    near = [f"st_{'a' * 31}.png", f"st_{'A' * 32}.png", f"st_{'a' * 32}.png.bak", "st_1.html"]
    for name in [*(f"IMG_{n}.jpg" for n in range(150)), *near, f"xst_{'a' * 32}.png"]:
        (folder / name).write_bytes(name.encode())
        os.utime(folder / name, (0, 0))
    return seen(folder)


async def test_s24_the_photos_of_a_user_in_pictures_stay(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    before = photos(folder)
    async with client(tmp_path) as opened:
        result = await opened.call_tool("render_timeline", {"stream_id": "st_a", "format": "html"})
    assert not result.is_error
    assert {name: data for name, data in seen(folder).items() if name != "st_a.html"} == before
    report("S24", "photos", f"{len(before)} files of the user beside a picture: all are left")


@POSIX
def test_s24_a_folder_that_is_a_link_takes_no_picture(tmp_path: Path) -> None:
    theirs = tmp_path / "documents"
    before = photos(theirs)
    (tmp_path / "pictures").symlink_to(theirs)
    with pytest.raises(JournalError, match="no folder, or a link to one"):
        _keep(tmp_path / "pictures" / "st_1.html", b"picture")
    assert seen(theirs) == before


@POSIX
def test_s24_a_folder_that_others_can_change_takes_no_picture(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(JournalError, match="other users can change this folder"):
        _keep(folder / "st_1.html", b"picture")
    assert names_of(folder) == set()


def test_s24_only_the_oldest_of_our_pictures_go_and_a_folder_among_them_is_nothing(
    tmp_path: Path,
) -> None:
    ours = picture_names(120)
    for age, name in enumerate(ours):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (age, age))
    others = {f"st_{'f' * 32}.png", f"an_{'e' * 32}.html"}
    folder, link = (tmp_path / name for name in sorted(others))
    folder.mkdir()
    target = tmp_path / "target"
    target.write_bytes(b"theirs")
    link.symlink_to(target)
    for _ in range(2):
        path = tmp_path / "st_1.html"
        _keep(path, b"picture")
        left = names_of(tmp_path) - others - {"target", path.name}
        assert left == set(ours[20:])
    assert (target.read_bytes(), link.is_symlink(), folder.is_dir()) == (b"theirs", True, True)


@POSIX
def test_s24_nothing_is_written_through_a_link_of_a_pictures_name(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"theirs")
    folder = tmp_path / "pictures"
    folder.mkdir(mode=0o700)
    for name in (target, tmp_path / "nowhere"):
        (folder / "st_1.html").symlink_to(name)
        with pytest.raises(JournalError, match=r"st_1\.html: it is a link"):
            _keep(folder / "st_1.html", b"picture")
        (folder / "st_1.html").unlink()
    assert target.read_bytes() == b"theirs"
    assert not (tmp_path / "nowhere").exists()


def test_s24_what_killed_processes_left_half_written_goes_after_an_hour(tmp_path: Path) -> None:
    old, new = tmp_path / ".ih-mcp-abcd_123.tmp", tmp_path / ".ih-mcp-abcd_124.tmp"
    theirs = tmp_path / ".ih-mcp-notes.tmp"
    for path in (old, new, theirs):
        path.write_bytes(b"x")
    for path in (old, theirs):
        os.utime(path, (0, 0))
    keep_newest(tmp_path, re.compile("x"), 0)
    assert names_of(tmp_path) == {new.name, theirs.name}


async def test_s24_what_a_killed_capture_left_goes_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webbrowser.open", lambda _: True)
    left, running = "ih-mcp-open-abcdefgh.html", "ih-mcp-open-bcdefghi.html"
    theirs = {"open-position.html", "ih-mcp-open-source.html"}
    for name in {left, running} | theirs:
        (tmp_path / name).write_bytes(b"x")
        age = time.time() - (10 if name == running else 7200)
        os.utime(tmp_path / name, (age, age))
    async with in_browser("http://127.0.0.1/#t", folder=tmp_path):
        assert left not in names_of(tmp_path)
    assert names_of(tmp_path) == {running} | theirs


# --- S42: files about people are private ---------------------------------------------------------


def modes(path: Path) -> tuple[int, bool]:
    status = path.lstat()
    return stat.S_IMODE(status.st_mode), stat.S_ISREG(status.st_mode)


async def drawn(tmp_path: Path, output: Path) -> subprocess.CompletedProcess[bytes]:
    """`ih-mcp timeline -o`, with a umask that takes nothing away."""
    env = environment(tmp_path)
    command = [*forked(), "timeline", "st_a", "-o", str(output)]
    before = os.umask(0)
    try:
        return await anyio.run_process(command, env=env, check=False)
    finally:
        os.umask(before)


@POSIX
async def test_s42_a_timeline_is_private_whatever_was_there(tmp_path: Path) -> None:
    output, link, target = (tmp_path / name for name in ("new.html", "link.html", "target"))
    async with client(tmp_path):
        pass  # keeps a stream
    assert (await drawn(tmp_path, output)).returncode == 0
    assert modes(output) == (0o600, True)
    output.write_text("what was here before")
    output.chmod(0o644)
    assert (await drawn(tmp_path, output)).returncode == 0
    assert modes(output) == (0o600, True)
    assert "what was here before" not in output.read_text()
    target.write_text("theirs")
    link.symlink_to(target)
    refused = await drawn(tmp_path, link)
    assert (refused.returncode, target.read_text()) == (2, "theirs")
    assert b"link.html cannot be written: it is a link; name the file itself" in refused.stderr
    report(
        "S42", "timeline -o", "mode 0600 at umask 0, also over a file of 0644; a link is refused"
    )


@POSIX
async def test_s42_what_a_stand_in_writes_down_is_private(tmp_path: Path) -> None:
    path, link = tmp_path / "frames", tmp_path / "link"
    before = os.umask(0)
    try:
        async with Recorder().writing(path):
            pass
    finally:
        os.umask(before)
    assert modes(path) == (0o600, True)
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(OSError, match="it is a link; name the file itself"):
        async with Recorder().writing(link):
            pass
    assert not (tmp_path / "nowhere").exists()


@POSIX
def test_s42_a_write_that_fails_leaves_what_was_there_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.html"
    write_private(path, b"whole")

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OSError, match="No space left"):
        write_private(path, b"other")
    assert seen(tmp_path) == {"x.html": b"whole"}


@POSIX
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_s42_something_that_is_no_file_is_not_replaced(make: object, tmp_path: Path) -> None:
    path = tmp_path / "x.html"
    assert callable(make)
    make(path)
    with pytest.raises(OSError, match="something that is no file has this name"):
        write_private(path, b"x")
    assert not path.is_file()
    (tmp_path / "y").symlink_to(path)
    with pytest.raises(OSError, match="it is a link"):
        open_private(tmp_path / "y", os.O_WRONLY | os.O_CREAT)


# --- S31: what the service says does not steer a terminal -----------------------------------------

ATTACK = "\x1b]52;c;cm0gLXJm\x07\x1b]0;owned\x07\u009b31m\u202e\r\x08"
HOSTILE_MESSAGES = [f"not json {ATTACK}", json.dumps({"type": ATTACK}, ensure_ascii=False), "a\nb"]
ESCAPED = r"\x1b]52;c;cm0gLXJm\x07\x1b]0;owned\x07\x9b31m\u202e\r\x08"
STEERING = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]")


def on_a_terminal(command: list[str], env: Mapping[str, str]) -> tuple[bytes, bytes, int]:
    """What a command writes to a terminal, what it writes to standard error, and its code."""
    reader, terminal = os.openpty()
    attributes = termios.tcgetattr(terminal)
    attributes[1] &= ~termios.OPOST  # line breaks as they are written
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)
    with subprocess.Popen(
        command, env=env, stdin=subprocess.DEVNULL, stdout=terminal, stderr=subprocess.PIPE
    ) as process:
        os.close(terminal)
        written = b""
        with suppress(OSError):  # EIO: nobody writes any more
            while data := os.read(reader, 65_536):
                written += data
        os.close(reader)
        _, errors = process.communicate(timeout=60)
    return written, errors, process.returncode


@contextmanager
def service_of_messages(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The settings for a stand-in, in a process of its own, that says hostile things."""
    steps = [{"at": "ready", "send": text} for text in HOSTILE_MESSAGES]
    script = tmp_path / "script.json"
    script.write_text(json.dumps(steps))
    command = [*forked(), "standin", "--script", str(script)]
    env = environment(tmp_path)
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            url = process.stdout.readline().decode().strip()
            yield env | {"IH_MCP_ENDPOINT": url, "INTERHUMAN_API_KEY": "ih_live_0123456789"}
        finally:
            process.terminate()


@POSIX
def test_s31_messages_reach_a_terminal_as_escapes_and_a_pipe_as_they_came(
    tmp_path: Path, dialogue: Path
) -> None:
    raw = b"".join(map(frame_message, HOSTILE_MESSAGES))
    with service_of_messages(tmp_path) as env:
        stream = [*forked(), "stream", str(dialogue), "--pace", "fast"]
        shown, _, code = on_a_terminal(stream, env)
        assert code == 0
        assert not STEERING.search(shown)
        assert f"not json {ESCAPED}\n".encode() in shown
    messages = [*forked(), "messages"]
    again, _, _ = on_a_terminal(messages, env)
    assert again == shown
    piped = subprocess.run(messages, env=env, check=True, stdout=subprocess.PIPE, timeout=60)
    assert raw in piped.stdout
    assert on_a_terminal([*messages, "--raw"], env)[0] == piped.stdout
    report(
        "S31",
        "terminal",
        "OSC 52, OSC 0, C1 and bidi controls: escaped on a pty, in pipes as they came",
    )


@POSIX
@pytest.mark.parametrize("words", [["token"], ["analyze", "CLIP", "--api", "v1"]])
def test_s31_an_answer_of_http_reaches_a_terminal_as_escapes(
    words: list[str], tmp_path: Path, dialogue: Path, service: Service
) -> None:
    answer = {"access_token": "t0ken-of-this-kind", "expires_in": 900, "signals": [], "x": ATTACK}
    service.body = json.dumps(answer, ensure_ascii=False).encode()
    env = environment(tmp_path, endpoint=service.url)
    command = [*forked(), *(str(dialogue) if word == "CLIP" else word for word in words)]
    shown, errors, code = on_a_terminal(command, env)
    assert code == 0, errors
    assert not STEERING.search(shown)
    assert rb"\x9b31m\u202e" in shown
    piped = subprocess.run(command, env=env, check=True, capture_output=True, timeout=60)
    assert piped.stdout == service.body + b"\n"
    assert on_a_terminal([*command, "--raw"], env)[0] == piped.stdout


@POSIX
def test_s31_a_recording_prints_messages_as_escapes(tmp_path: Path) -> None:
    source = "-re -f lavfi -i testsrc2=s=64x48:r=5 -re -f lavfi -i sine=440:r=48000"
    with service_of_messages(tmp_path) as env:
        command = [*forked(), "capture", "--device", "--seconds", "2"]
        shown, errors, _ = on_a_terminal(command, env | {"IH_MCP_CAPTURE_INPUT": source})
    assert f"not json {ESCAPED}\n".encode() in shown, errors
    assert not STEERING.search(shown)


def test_s31_a_mistake_of_ours_shows_no_control_characters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(*_: object) -> int:
        logging.getLogger("any.library").warning("said %s", ATTACK)
        raise RuntimeError(ATTACK)

    monkeypatch.setattr("ih_mcp.cli._serve", breaks)
    handler = logging.StreamHandler()
    logging.getLogger("any.library").addHandler(handler)
    try:
        assert cli.main([]) == 1
    finally:
        logging.getLogger("any.library").removeHandler(handler)
    said = capsys.readouterr().err
    assert f"said {ESCAPED}\n" in said
    assert f"RuntimeError: {ESCAPED}\n" in said
    assert not STEERING.search(said.encode())


@given(st.text())
def test_s31_what_is_shown_is_one_line_without_what_steers(text: str) -> None:
    shown = escape_unprintable(text)
    assert not STEERING.search(shown.encode())
    assert "\n" not in shown
    shown.encode()  # no half of a character
    assert escape_unprintable(shown) == shown


def test_s31_what_persian_and_emoji_need_is_shown_as_it_is() -> None:
    for text in ("می‌خواهم", "👩‍👩‍👧", "naïve — “quoted”", "日本語"):
        assert escape_unprintable(text) == text
    assert (
        escape_unprintable("\u202eabc\ufffe\U0001ffff\ufdd0") == r"\u202eabc\ufffe\U0001ffff\ufdd0"
    )


# --- S38: pictures of hostile texts and times ----------------------------------------------------


def printed(found: Drawing, *, width: int = 100) -> str:
    written = io.BytesIO()
    file = io.TextIOWrapper(written, encoding="utf-8")
    Console(width=width, file=file, force_terminal=True, color_system="truecolor").print(
        TerminalTimeline(found)
    )
    file.flush()
    return written.getvalue().decode()


@pytest.mark.parametrize("name", ["[/x]", "[link=https://evil]agreement[/link]", "[bold]x", "\\["])
def test_s38_the_name_of_a_signal_is_no_markup(name: str) -> None:
    phase = {
        "span": 0, "layer": 0, "signal": name, "start": 1.0, "end": 2.0,
        "ends_implicitly": False, "probability": "high", "rationale": name,
    }  # fmt: skip
    shown = printed({**drawing(), "phases": [phase]})
    assert name[:19] in shown
    assert "\x1b]8;" not in shown


NUMBERS = [math.nan, math.inf, -1e9, 999_999_999, -999_999_999, 1e300, 10**40, 0, -200]
TEXTS = [ATTACK, "\ufffe\uffff\ufdd0", "\ud83d", "x" * 5000, "]]><script>", "[/x]", "", "$\\foo$"]
OTHERS = [None, True, [], {}, [{"a": [1]}], {"start": -5, "end": "x"}]
VALUES: list[Sequence[object]] = [NUMBERS, TEXTS, OTHERS]
KINDS = ["result", "signal.ended", "engagement.updated", "coverage.dropped", "coverage.degraded"]
SEEDS = [json.loads(text) for text in MESSAGES if text.startswith("{")]


def mutated(value: object, chance: random.Random) -> object:
    """A value of a message with some of its parts replaced by what should not be there."""
    if isinstance(value, dict):
        return {name: mutated(item, chance) for name, item in value.items()}
    if isinstance(value, list):
        return [mutated(item, chance) for item in value] * chance.choice([1, 1, 1, 3])
    if chance.random() < 0.6:
        return value
    return chance.choice(chance.choice(VALUES))


def hostile_drawings(count: int, each: int) -> Iterator[Drawing]:
    """Pictures of streams whose messages are all a little wrong."""
    chance = random.Random(SEED)  # noqa: S311 - the same each time
    for _ in range(count):
        timeline = Timeline(V1)
        state = chance.choice(["ended", "open", "failed"])
        status = replace(STATUS, state=state, source=ATTACK)
        messages = []
        for _ in range(each):
            changed = mutated(chance.choice(SEEDS), chance)
            assert isinstance(changed, dict)
            kind = chance.choice(KINDS) if chance.random() < 0.3 else changed["type"]
            messages.append(json.dumps({**changed, "type": kind}))
        timeline.fold_all(entries(messages), status)
        if state == "ended":
            timeline.close(status)
        yield timeline.as_json(status, stream_id="st_1")


@pytest.mark.filterwarnings("ignore:Glyph")  # no font has all characters
def test_s38_thousands_of_messages_that_are_wrong_are_drawn() -> None:
    drawn, pages = 0, often(40, nightly=200)
    for number, found in enumerate(hostile_drawings(pages, 30)):
        limit = 100.0 if found["state"] == "ended" else float("inf")
        assert 0 <= float(str(found["seconds"])) <= limit
        page = file_page(found)
        assert "<script>]]" not in page
        page.encode()
        shown = printed(found)
        assert not STEERING.search(re.sub(r"\x1b\[[\d;]*m", "", shown).encode())
        assert len(shown) < 100_000
        if number % 10 == 0:
            ET.fromstring(draw(found, "svg"))  # noqa: S314 - our own
            drawn += 1
        if number % 40 == 0:
            assert draw(found, "png").startswith(b"\x89PNG")
    report(
        "S38",
        "mutated",
        f"{pages * 30:,} messages: {pages} pages and terminals, {drawn} SVG are drawn",
    )


TIMES = [
    [{"start": -999_999_999, "end": 5}],
    [{"start": 0, "end": 999_999_999}],
    [{"start": -5, "end": -1}],
    [{"start": 999_999_998, "end": 999_999_999}],
]


@pytest.mark.parametrize("ranges", TIMES)
@pytest.mark.parametrize("state", ["ended", "open"])
def test_s38_times_outside_of_the_media_are_put_at_its_edge_and_that_is_told(
    ranges: list[object], state: str
) -> None:
    timeline = Timeline(V1)
    status = replace(STATUS, state=state)
    timeline.fold_all(entries([*MESSAGES, message("coverage.dropped", ranges=ranges)]), status)
    found = timeline.as_json(status, stream_id="st_1")
    (start, end) = found["dropped"][-1]  # type: ignore[index]  # a list of pairs
    longest = 100 if state == "ended" else MAX_MEDIA_SECONDS + 40
    assert 0 <= start <= end <= longest
    assert left_out(found)
    assert left_out(found)[0].endswith("shown at its edge")
    assert left_out(found)[0] in " ".join(printed(found, width=200).split("\n"))
    assert left_out(found)[0] in file_page(found)
    assert left_out(found)[0].encode() in draw(found, "svg")


def test_s38_an_index_below_zero_is_drawn_at_zero_and_told_as_it_is() -> None:
    period = {"start": 0, "end": 11, "values": {"quality_index": -200}}
    found = {**drawing(), "quality": [period]}
    (row,) = [row for row in make_rows(found) if row.look == "quality"]
    assert [(mark.values, mark.text) for mark in row.marks] == [({"quality_index": 0.0}, "-200")]
    assert "▁▁▁" in re.sub(r"\x1b\[[\d;]*m", "", printed(found))
    assert draw(found, "svg")


@pytest.mark.parametrize("seconds", [1, 10, 90, 4000, 86_400, 999_999_999])
def test_s38_a_scale_of_any_length_has_few_ticks(seconds: int, tmp_path: Path) -> None:
    step = tick_seconds(seconds, 8)
    assert seconds / step <= 8
    script = f"console.log(m.tickSeconds({seconds}, 8))"
    assert run_script(TIMELINE_JS, script, tmp_path) == step


# --- S28: a picture has bounds -------------------------------------------------------------------


def crowded(names: int, spans: int, periods: int = 0, layers: int = 1) -> Drawing:
    signals = [
        {"span": n, "layer": n % layers, "signal": f"signal-{n % names}", "start": float(n),
         "end": n + 3.0, "ends_implicitly": False, "probability": "high", "rationale": "why"}
        for n in range(spans)
    ]  # fmt: skip
    quality = [
        {"start": 3.0 * n, "end": 3.0 * n + 3, "values": {"quality_index": n % 100}}
        for n in range(periods)
    ]
    return {**drawing(), "phases": signals, "quality": quality, "seconds": float(max(spans, 40))}


CROWDS = [
    (2000, 2000, 0, 1), (41, 41, 0, 1), (12, 50_000, 1200, 1), (3, 900, 5000, 1), (1, 1, 3000, 1),
    (2, 90, 3, 10),
]  # fmt: skip


@pytest.mark.parametrize(("names", "spans", "periods", "layers"), CROWDS)
def test_s28_server_and_page_leave_the_same_out(
    names: int, spans: int, periods: int, layers: int, tmp_path: Path
) -> None:
    found = {**crowded(names, spans, periods, layers), "not_kept": layers - 1}
    most = make_rows(found)
    assert sum(row.look == "signal" for row in most) <= MAX_SIGNALS
    assert sum(len(row.marks) for row in most) <= MAX_MARKS
    (tmp_path / "drawing.json").write_text(json.dumps(found))
    path = json.dumps(str(tmp_path / "drawing.json"))
    script = f"""import {{ readFileSync }} from "node:fs";
    const found = JSON.parse(readFileSync({path}));
    console.log(JSON.stringify([m.bounded(found), m.leftOut(found)]));"""
    assert run_script(TIMELINE_JS, script, tmp_path) == [bounded(found), left_out(found)]


def test_s28_what_fits_is_the_drawing_itself() -> None:
    assert bounded(drawing()) == drawing()
    assert left_out(drawing()) == []


@pytest.mark.parametrize("kind", ["png", "svg", "html"])
async def test_s28_two_thousand_names_are_drawn_without_holding_the_loop(kind: FileKind) -> None:
    found = crowded(2000, 2000)
    async with holding() as hold:
        data = await picture(found, kind)
    assert hold.loop_seconds < 0.05
    assert len(data) < 2_500_000
    assert left_out(found) == ["and 1,960 more signals"]
    if kind != "png":
        assert b"and 1,960 more signals" in data
    report("S28", "test_security_pictures.py", f"2,000 names as {kind}: {hold}")


async def test_s28_the_answer_tells_what_a_picture_leaves_out(tmp_path: Path) -> None:
    texts = [message("signal.detected", signal_type=f"s{n}", start=float(n)) for n in range(41)]
    async with client(tmp_path) as opened:
        async with open_journal(tmp_path) as journal:
            log = await journal.begin("st_b", {"state": "open", "api": "v1"})
            for text in texts:
                log.append(text, leg=0)
            await log.flush()
            journal.release(log)
        result = await opened.call_tool("render_timeline", {"stream_id": "st_b", "format": "html"})
    status = json.loads(result.content[0].text)["ih_mcp"]  # type: ignore[union-attr]  # a text
    assert status["not_shown"] == "and 1 more signal"
