"""What must hold for any bytes at all; an `AssertionError` or a foreign exception is a finding."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from ih_mcp.errors import JournalError, LocalProtocolError, MediaError, RemoteProtocolError
from ih_mcp.journal import FILE_NAME
from ih_mcp.journal.store import Batch, Entry, Store
from ih_mcp.mcp_server.stdio import parse_line
from ih_mcp.mcp_server.stdout_writer import encode
from ih_mcp.media.containers.container import READERS, Reader
from ih_mcp.media.recorder_chunks import Recording
from ih_mcp.streams.outbox import Outbox, QueuedSegment
from ih_mcp.streams.outbox import RandomAccessPoint as Beginning
from ih_mcp.streams.splice import Splice
from ih_mcp.wire.dialects import DIALECTS
from ih_mcp.wire.messages import Reading
from ih_mcp.wire.progress import read_progress
from ih_mcp.wire.session import Session, Side, State
from ih_mcp.wire.spans import EngagementSpan, Lifecycle, Span

from . import seeds

# --- the journal ---------------------------------------------------------------------------------

_KEPT: Sequence[str | bytes] = [
    *(
        f'{{"type":"signal.detected","data":{{"start":{number}}}}}' for number in range(120)
    ),  # some pages
    "é\U0001f600" * 9,
    "",
    b"\0\xff binary",
    "x" * 6000,  # overflows its page
    *(f"in the log {number}" for number in range(8)),
]
_IN_LOG = 8
"""The last of them are in the write-ahead log only."""
_MAX_EDITS = 64
_PAGES = 60
_MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else None  # noqa: S108 - a disk is slow


@cache
def journal_files() -> tuple[bytes, bytes]:
    """A database, and the write-ahead log beside it."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "j", FILE_NAME)
        with closing(Store(path)) as store:
            no = store.begin_stream("st_1", "owner", "{}")
            _keep(store, no, 0, _KEPT[:-_IN_LOG])
        with closing(Store(path)) as store:
            _keep(store, no, len(_KEPT) - _IN_LOG, _KEPT[-_IN_LOG:])
            return path.read_bytes(), Path(f"{path}-wal").read_bytes()


def _keep(store: Store, no: int, before: int, bodies: Sequence[str | bytes]) -> None:
    rows = [(no << 32 | cursor, 0, 1, body) for cursor, body in enumerate(bodies, before + 1)]
    store.append([Batch(no, rows, sum(map(len, bodies)))])


def journal(data: bytes) -> None:
    """A damaged file is refused, or gives messages as they were written, in their places."""
    kind, rest = data[:1], data[1:]
    database, log = journal_files()
    if kind == b"\2":
        database = rest
    elif kind == b"\3":
        log = log[: int.from_bytes(rest[:3])]
    elif kind == b"\4":
        log = rest
    else:
        database, log = _edited(database, log, rest)
    with TemporaryDirectory(dir=_MEMORY) as folder:
        path = Path(folder, FILE_NAME)
        path.write_bytes(database)
        Path(f"{path}-wal").write_bytes(log)
        with suppress(JournalError), closing(Store(path)) as store:
            for row in store.list_streams():
                for entry in _read_all(store, row.id):
                    assert entry.body == _KEPT[entry.cursor - 1]
                    assert type(entry.body) is type(_KEPT[entry.cursor - 1])


def _edited(database: bytes, log: bytes, edits: bytes) -> tuple[bytes, bytes]:
    whole = bytearray(database + log)
    for at in range(0, min(len(edits), 4 * _MAX_EDITS) - 3, 4):
        whole[int.from_bytes(edits[at : at + 3]) % len(whole)] ^= edits[at + 3]
    return bytes(whole[: len(database)]), bytes(whole[len(database) :])


def _read_all(store: Store, stream_id: str) -> Iterator[Entry]:
    """As a reader does who goes on behind what is damaged."""
    cursor = 0
    for _ in range(_PAGES):
        try:
            found = store.read_page(stream_id, cursor, limit=20, max_chars=4000)
        except JournalError as exc:
            if exc.code != "journal_damaged":
                return
            cursor += 1
            continue
        if not found or not found[1]:
            return
        yield from found[1]
        cursor = found[1][-1].cursor


@cache
def _whole() -> tuple[Store, TemporaryDirectory[str]]:
    """A journal nobody damages; it goes with the process."""
    folder = TemporaryDirectory()
    path = Path(folder.name, "j", FILE_NAME)
    path.parent.mkdir(mode=0o700)
    for name, part in zip((path, Path(f"{path}-wal")), journal_files(), strict=True):
        name.write_bytes(part)
    return Store(path), folder


def cursor(data: bytes) -> None:
    """From any cursor in any steps: what follows it, in order, within the bounds of the page."""
    store, _ = _whole()
    for at in range(0, min(len(data), 160) - 7, 8):
        after, limit = int.from_bytes(data[at : at + 5]), data[at + 5] + 1
        max_chars = int.from_bytes(data[at + 6 : at + 8])
        found = store.read_page("st_1", after, limit=limit, max_chars=max_chars)
        assert found is not None
        row, entries = found
        assert row.last == len(_KEPT)
        assert [entry.cursor for entry in entries] == [*range(after + 1, after + 1 + len(entries))]
        assert [entry.body for entry in entries] == [*_KEPT[after : after + len(entries)]]
        assert bool(entries) == (after < len(_KEPT))
        assert len(entries) <= limit
        assert len(entries) <= 1 or sum(len(entry.body) for entry in entries) <= max_chars


# --- media ---------------------------------------------------------------------------------------


_MAX_PIECES = 64


def container(data: bytes) -> None:
    """What is found does not depend on how the bytes were cut; no byte is lost or made up."""
    file = data[1:]
    step = max(1 + (data[0] if data else 0), len(file) // _MAX_PIECES)
    pieces = [file[at : at + step] for at in range(0, len(file), step)]
    for make in READERS.values():
        whole, piecewise = _atoms(make, [file]), _atoms(make, pieces)
        assert whole == piecewise, (whole, piecewise)
    recording, gone = Recording(), 0
    with suppress(MediaError):
        for piece in pieces:
            chunk = recording.feed(piece)
            if chunk is None:
                continue
            gone = file.index(chunk.data, gone)  # a header without media may be left out
            gone += len(chunk.data)
            if chunk.key_offset is not None:
                assert chunk.key_offset < len(chunk.data)
                assert chunk.key_seconds is not None
                assert math.isfinite(chunk.key_seconds)
            if not chunk.headed:
                with suppress(MediaError):
                    assert recording.whole(chunk).endswith(chunk.data)
        if rest := recording.finish():
            assert file[gone:].endswith(rest.data)


def _atoms(make: Callable[[], Reader], pieces: Sequence[bytes]) -> object:
    reader = make()
    found: list[object] = []
    try:
        for piece in pieces:
            found += reader.feed(piece)
        found += reader.finish()
    except MediaError as exc:
        return exc.code  # how many atoms were told before depends on the pieces
    return found


# --- messages ------------------------------------------------------------------------------------


def line(data: bytes) -> None:
    """Each line has one answer or is one message; each answer is one line of JSON."""
    text = data.split(b"\n")[0]
    message, answers = parse_line(text, len(text))
    assert not (message and answers)
    for answer in answers:
        written = b"".join(encode(answer)).decode()
        assert "\n" not in written
        assert json.loads(written)["error"]["code"] < 0
    try:
        known: object = json.loads(text.decode(errors="replace"))
    except (ValueError, RecursionError):
        return
    if not isinstance(known, list):
        assert len(answers) <= 1
        is_request = isinstance(known, dict) and "method" in known and "id" in known
        if is_request and not message:
            assert answers


def relay(data: bytes) -> None:
    """Any text leaves the session whole; times that come of it are finite."""
    names = sorted(DIALECTS)
    session = Session(DIALECTS[names[(data[0] if data else 0) % len(names)]], Side.CLIENT)
    lives = Lifecycle()
    for text in data[1:].decode(errors="replace").split("\n"):
        with suppress(LocalProtocolError):
            session.send_segment(session.limits.min_segment_bytes)
        was_ended = session.state is State.ENDED
        try:
            message = session.receive(text)
        except RemoteProtocolError:
            continue
        assert not was_ended
        assert not isinstance(message, Reading) or _is_finite(read_progress(message))
        lives.receive(message, offset_seconds=3.0)  # type: ignore[arg-type]  # of a server
    lives.close()
    assert math.isfinite(lives.latest_seconds)
    spans: list[Span | EngagementSpan] = [*lives.spans, *lives.engagement]
    for span in spans:
        assert math.isfinite(span.start_seconds)
        assert span.end_seconds is not None
        assert math.isfinite(span.end_seconds)
    assert not lives.active


def _is_finite(found: object) -> bool:
    return found is None or all(
        math.isfinite(getattr(found, name)) for name in ("until_seconds", "window_seconds")
    )


# --- a gap between two sessions ------------------------------------------------------------------

_HEADER = b"HEADER"


def gap(data: bytes) -> None:
    """Segments through any losses: bytes of media add up, and each session begins with a header.

    A byte is a step: put a segment that can or cannot begin a session, send one, part one as for
    a session that grew too old, lose the connection with or without sending again.
    """
    outbox, splice = Outbox(keeps_sent=True), Splice(is_first=True)
    came, went, waiting = b"", b"", 0
    is_first, has_replayed = True, False
    for step in data[:200]:
        what, size = step % 6, step // 6
        if what < 2:
            body = bytes((len(came) + at) % 251 for at in range(size + 1))
            begins = Beginning(_HEADER, size * (step % 5) // 5) if what else None
            outbox.put(QueuedSegment(body, entry=begins))
            came += body
            waiting += 1
        elif what == 2 and waiting:
            item = outbox._items[0]
            assert isinstance(item, QueuedSegment)
            was_begun = splice.is_begun
            sent = splice.media_of(item)
            outbox.remove_written()
            waiting -= 1
            went += _media_of(sent, item, is_start=not was_begun and not is_first)
        elif what == 3 and waiting:
            item = outbox._items[0]
            assert isinstance(item, QueuedSegment)
            if item.entry and item.entry.offset and splice.is_begun:
                outbox.split_head()
                waiting += 1
        elif what == 4:
            splice, is_first = Splice(is_first=not went and is_first), not went and is_first
        elif what == 5 and went:
            waiting += outbox.put_back()
            went, has_replayed = b"", True
            splice, is_first = Splice(is_first=False), False
        held = b"".join(item.data for item in outbox._items if isinstance(item, QueuedSegment))
        assert outbox.bytes == outbox.queued.bytes == len(held)
        assert outbox.segments == waiting
        assert has_replayed or went + held == came
    outbox.clear()
    assert outbox.bytes == outbox.queued.bytes == 0


def _media_of(sent: bytes | None, item: QueuedSegment, *, is_start: bool) -> bytes:
    """The media of a segment that was sent, or was left out as a session cannot begin with it."""
    if sent is None:
        assert is_start
        assert item.entry is None
    elif is_start:
        assert item.entry is not None
        assert sent == _HEADER + item.data[item.entry.offset :]
    else:
        assert sent == item.data
    return item.data


@dataclass(frozen=True, slots=True)
class Target:
    run: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]


TARGETS: Mapping[str, Target] = {
    "journal": Target(journal, seeds.edits),
    "cursor": Target(cursor, seeds.walks),
    "container": Target(container, seeds.containers),
    "line": Target(line, seeds.lines),
    "relay": Target(relay, seeds.talks),
    "gap": Target(gap, seeds.gaps),
}
