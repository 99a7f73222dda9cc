"""What holds for any input (plan 3.8): few examples in every run, thousands in `make nightly`.

A failure prints the example, and with `--hypothesis-seed` the run can be had again. Lines of
JSON-RPC and arguments of tools are fuzzed in tests/conformance.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from secrets import token_hex
from tempfile import TemporaryDirectory

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ih_mcp.errors import (
    ConfigurationError,
    LocalProtocolError,
    MediaError,
    PathError,
    RemoteProtocolError,
    TransportError,
)
from ih_mcp.journal import FILE_NAME, open_journal
from ih_mcp.media.file_admission import admit
from ih_mcp.media.recorder_chunks import Recording
from ih_mcp.net.opener import open_socket
from ih_mcp.settings import read_settings
from ih_mcp.streams.config import StreamConfig
from ih_mcp.streams.stream import Stream
from ih_mcp.wire.dialects import DIALECTS, V1
from ih_mcp.wire.messages import Close, Configure, Ended
from ih_mcp.wire.session import Session, Side, State
from tests.streams.service import Service

from .budget import dice, often, report
from .checker import History, check, read_kept
from .checker import Session as Seen

pytestmark = pytest.mark.timeout(7200 if often(0, nightly=1) else 90)


def examples(short: int, *, nightly: int = 5000) -> Callable[..., object]:
    """Settings of a property: so many examples, or many more in the nightly run."""
    return settings(
        max_examples=often(short, nightly=nightly),
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


bodies = st.lists(st.text(max_size=60) | st.binary(max_size=60), min_size=1, max_size=12)


@examples(60)
@given(streams=st.lists(bodies, min_size=1, max_size=4), data=st.data())
async def test_any_messages_of_any_streams_come_back_as_they_were(
    streams: list[list[str | bytes]], data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        await _keep_and_read(Path(folder, "j"), streams, data)
    report("F", "test_properties.py", f"journal round trip: {often(60, nightly=5000)} examples")


@examples(5, nightly=500)
@given(streams=st.lists(bodies, min_size=1, max_size=4), data=st.data())
async def test_any_messages_of_any_streams_come_back_from_postgres_as_they_were(
    streams: list[list[str | bytes]], data: st.DataObject, database: str
) -> None:
    await _keep_and_read(database, streams, data)
    figure = f"journal round trip in PostgreSQL: {often(5, nightly=500)} examples"
    report("F", "test_properties.py", figure)


async def _keep_and_read(
    place: Path | str, streams: list[list[str | bytes]], data: st.DataObject
) -> None:
    prefix = f"st_{token_hex(8)}_"  # a database is used by all examples
    async with open_journal(place) as journal:
        logs = [await journal.begin(f"{prefix}{number}", {}) for number in range(len(streams))]
        left = [(number, body) for number, own in enumerate(streams) for body in own]
        for number, body in left:
            logs[number].append(body, leg=0)
            if data.draw(st.booleans()):
                await logs[number].flush()
        for log in logs:
            await log.flush()
    async with open_journal(place) as journal:
        for number, own in enumerate(streams):
            kept = await read_kept(journal, f"{prefix}{number}")
            assert check(History(sessions=[Seen(sent=own)], kept=kept)) == []


@examples(40)
@given(sent=st.lists(st.text(max_size=300), min_size=1, max_size=30), cut=st.integers(0, 2**20))
async def test_a_log_cut_anywhere_recovers_to_a_beginning(sent: list[str], cut: int) -> None:
    with TemporaryDirectory() as folder:
        whole, torn = Path(folder, "whole"), Path(folder, "torn")
        async with open_journal(whole) as journal:
            log = await journal.begin("st_1", {})
            start = (whole / f"{FILE_NAME}-wal").stat().st_size
            for body in sent:
                log.append(body, leg=0)
                await log.flush()
            torn.mkdir(mode=0o700)  # noqa: ASYNC240 - a test
            shutil.copy(whole / FILE_NAME, torn)
            wal = (whole / f"{FILE_NAME}-wal").read_bytes()
        (torn / f"{FILE_NAME}-wal").write_bytes(wal[: start + cut % (len(wal) - start + 1)])
        async with open_journal(torn) as journal:
            kept = await read_kept(journal, "st_1")
        history = History(sessions=[Seen(sent=sent, is_lost=True)], kept=kept, told={0})
        assert check(history) == []


@examples(40)
@given(sent=bodies, data=st.data())
async def test_reading_from_any_cursor_in_any_steps_is_one_and_the_same_list(
    sent: list[str | bytes], data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        await _read_in_steps(Path(folder, "j"), sent, data)


@examples(5, nightly=500)
@given(sent=bodies, data=st.data())
async def test_reading_from_any_cursor_in_postgres_is_one_and_the_same_list(
    sent: list[str | bytes], data: st.DataObject, database: str
) -> None:
    await _read_in_steps(database, sent, data)


async def _read_in_steps(place: Path | str, sent: list[str | bytes], data: st.DataObject) -> None:
    stream_id = f"st_{token_hex(8)}"
    async with open_journal(place) as journal:
        log = await journal.begin(stream_id, {})
        for body in sent:
            log.append(body, leg=0)
        await log.flush()
        cursor = data.draw(st.integers(0, len(sent) + 3))
        start, read = cursor, []
        while True:
            limit, chars = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 100))
            page = await journal.read_page(stream_id, cursor, limit=limit, max_chars=chars)
            assert len(page.entries) <= limit
            total = sum(len(entry.body) for entry in page.entries)
            assert total <= chars or len(page.entries) == 1
            assert page.last == len(sent)
            if not page.entries:
                break
            read += [entry.body for entry in page.entries]
            cursor = page.entries[-1].cursor
        assert read == sent[start:]


# --- secrets and paths ---------------------------------------------------------------------------

# begun so that none is a word of ours, such as a setting's name
keys = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=60).map(
    lambda text: f"k~{text}"
)


@examples(60)
@given(key=keys, wrong=st.text(max_size=20))
def test_no_key_is_in_what_settings_say(key: str, wrong: str) -> None:
    known = read_settings(api_key=key, key_secret=key, access_token=key)
    assert key not in repr(known)
    assert key not in str(known.model_dump())
    assert key not in known.model_dump_json()
    with pytest.raises(ConfigurationError) as refused:
        read_settings(api_key=key, endpoint=f"https://{wrong}:{key}@h", log_level=f"{wrong}!")
    assert key not in f"{refused.value.what} {refused.value.help} {refused.value.facts}"


@examples(20)
@given(key=keys.filter(lambda key: "," not in key))
async def test_no_key_is_in_what_a_failed_connection_says(key: str) -> None:
    with pytest.raises(TransportError) as failed:
        async with open_socket("ws://127.0.0.1:9/v1/stream/analyze", bearer=key):
            raise AssertionError
    chain: BaseException | None = failed.value
    while chain is not None:
        assert key not in f"{chain} {chain!r} {vars(chain)}"
        chain = chain.__cause__


PARTS = ["..", ".", "a", "b", "out", "link", "up", "deep", "f.webm", "", "~", "/", "x" * 300, "\0"]


@examples(200)
@given(parts=st.lists(st.sampled_from(PARTS) | st.text(max_size=5), max_size=8), root=st.booleans())
def test_whatever_is_admitted_is_inside(parts: list[str], root: bool, tree: Path) -> None:
    path = ("/" if root else "") + "/".join(parts)
    if root and parts and parts[0] == "a":
        path = f"{tree}{path}"
    try:
        found = admit(path, allowed=[tree / "a"])
    except PathError:
        return
    assert found == found.resolve()
    assert found.is_relative_to(tree / "a")
    assert found.read_bytes() == b"inside"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree").resolve()
    for folder in ("a/deep/b", "a/b", "out"):
        (root / folder).mkdir(parents=True)
    for file in ("a/f.webm", "a/b/f.webm", "a/deep/b/f.webm"):
        (root / file).write_bytes(b"inside")
    (root / "out" / "f.webm").write_bytes(b"OUTSIDE")
    (root / "a" / "out").symlink_to(root / "out")
    (root / "a" / "link").symlink_to(root / "a" / "b")
    (root / "a" / "up").symlink_to("..")
    return root


# --- media and protocol --------------------------------------------------------------------------

HEADS = [
    b"",
    b"\x1aE\xdf\xa3",
    b"\0\0\0\x18ftypisom",
    b"RIFF",
    b"\x1aE\xdf\xa3\x01\0\0\0\0\0\0\xff",
]


@examples(150)
@given(
    head=st.sampled_from(HEADS),
    chunks=st.lists(st.binary(max_size=80), min_size=1, max_size=6),
)
def test_any_bytes_of_a_recorder_go_out_unchanged_or_are_refused(
    head: bytes, chunks: list[bytes]
) -> None:
    """Only a header that another one follows is left out."""
    recording = Recording()
    came, gone = b"", 0
    with suppress(MediaError):
        for data in [head + chunks[0], *chunks[1:]]:
            came += data
            if chunk := recording.feed(data):
                gone = came.index(chunk.data, gone) + len(chunk.data)
        if chunk := recording.finish():
            assert came[gone:].endswith(chunk.data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
KINDS = ["session.ready", "session.updated", "session.closing", "session.ended", "error", "x"]
messages = st.builds(
    lambda kind, data: json.dumps({"type": kind, "status": kind, "data": data}),
    st.sampled_from(KINDS),
    json_values,
)


@examples(200)
@given(
    name=st.sampled_from(sorted(DIALECTS)),
    steps=st.lists(st.text(max_size=30) | messages | st.sampled_from([1, 2, 3]), max_size=12),
)
def test_a_session_survives_any_message_in_any_order(name: str, steps: list[str | int]) -> None:
    session = Session(DIALECTS[name], Side.CLIENT)
    was_ended = False
    for step in steps:
        try:
            if step == 1:
                session.send_segment(10)
            elif isinstance(step, int):
                session.send(Close() if step == 2 else Configure(session.config))
            else:
                was_ended |= isinstance(session.receive(step), Ended)
        except (RemoteProtocolError, LocalProtocolError):
            continue
        assert session.state in State
        if was_ended:
            assert session.state is State.ENDED


def mutated(text: str, rng: Random) -> str:
    """A message of the service with a few characters changed, doubled, cut or moved."""
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(text) + 1)
        piece = text[at : at + rng.randrange(1, 9)]
        text = rng.choice(
            [
                text[:at] + text[at + len(piece) :],
                text[:at] + piece + text[at:],
                text[:at] + rng.choice('"{}[]:,\\0eE+-.\n\t \u2028é\U0001f600') + text[at + 1 :],
                text[:at] + str(rng.choice([10**400, -1, "NaN", "1e999", "null"])) + text[at:],
                text[at:] + text[:at],
            ]
        )
    return text


SAMPLES = [
    json.dumps(
        {"type": kind, "timestamp": "2026-11-21T00:00:00Z", "correlation_id": "c", "data": d}
    )
    for kind, d in [
        ("signal.detected", {"signal_type": "interest", "start": 1.5, "probability": "high"}),
        ("signal.ended", {"signal_type": "interest", "start": 1.5, "end": 3, "rationale": "é"}),
        ("engagement.updated", {"state": "engaged", "start": 3}),
        ("conversation_quality.updated", {"overall": {"clarity": 80}}),
        ("coverage.dropped", {"start": 1, "end": 2, "reason": "overload"}),
        ("session.updated", {"config": {"include": []}}),
        ("session.ready", {"max_segment_size_bytes": 5, "session_idle_timeout_seconds": 1}),
        ("error", {"error_id": "ih6002", "message": "m", "link": "l"}),
    ]
]


@pytest.mark.parametrize("row", ["mutations"])
async def test_mutated_messages_of_the_service_are_kept_byte_for_byte(
    row: str, tmp_path: Path
) -> None:
    rng, count = dice(row), often(300, nightly=20_000)
    texts = [mutated(rng.choice(SAMPLES), rng) for _ in range(count)]
    texts = [text for text in texts if "session.closing" not in text]
    service = Service(V1)
    async with open_journal(tmp_path) as journal:
        log = await journal.begin("st_1", {})
        stream = Stream(
            "st_1", StreamConfig(dialect=V1, base_url="http://h"), log=log, opener=service.opener
        )
        with anyio.fail_after(3000):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stream.run)
                sent = await service.greet()
                for text in texts:
                    sent += await service.say(text)
                stream.request_end()
                sent += await service.drain()
                await stream.until(lambda: False)
                tasks.cancel_scope.cancel()
        kept = await read_kept(journal, "st_1")
    assert check(History(sessions=[Seen(sent=sent)], kept=kept)) == []
    report("F", "test_properties.py", f"{count} mutated messages kept byte for byte")
