"""A copy of a stream's messages in a file: whole, in order, private, and never in the way."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from ih_mcp.app import mirror
from ih_mcp.app.jsonl import frame_message
from ih_mcp.app.mirror import Mirror, open_mirror
from ih_mcp.journal import Entry, Journal, StreamLog, open_journal
from tests.road.host import environment, open_host

BODIES: list[str | bytes] = ['{"type" :  "x"}', "line\nbreak", "\x1ebegins", b"\x00\xff", "é"]
WHOLE = b"".join(map(frame_message, BODIES))


@asynccontextmanager
async def mirrored(tmp_path: Path) -> AsyncIterator[tuple[Journal, Mirror, StreamLog]]:
    async with (
        open_journal(tmp_path / "data") as journal,
        open_mirror(journal, tmp_path / "watched") as copies,
    ):
        log = await journal.begin("st_a", {})
        copies.follow("st_a")
        yield journal, copies, log


async def end(journal: Journal, log: StreamLog) -> None:
    await log.write_record({}, ended=True)
    journal.release(log)


async def until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(5):
        while not holds():  # noqa: ASYNC110 - a file notifies nobody
            await anyio.sleep(0.01)


async def grows_to(path: Path, data: bytes) -> None:
    await until(lambda: path.exists() and path.read_bytes() == data)


async def test_messages_are_copied_as_they_come_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "watched" / "st_a.jsonl"
    async with mirrored(tmp_path) as (journal, copies, log):
        assert copies.status_of("st_a") == {"mirror": str(path)}
        log.append(BODIES[0], leg=0)
        await grows_to(path, frame_message(BODIES[0]))  # while the stream goes on
        for body in BODIES[1:]:
            log.append(body, leg=1)
        await end(journal, log)
    assert path.read_bytes() == WHOLE


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
async def test_only_its_user_can_read_it(tmp_path: Path) -> None:
    async with mirrored(tmp_path) as (journal, _, log):
        log.append("x", leg=0)
        await end(journal, log)
    folder = anyio.Path(tmp_path / "watched")
    assert stat.S_IMODE((await folder.stat()).st_mode) == 0o700
    assert stat.S_IMODE((await (folder / "st_a.jsonl").stat()).st_mode) == 0o600


async def test_the_last_messages_of_a_process_are_in_it(tmp_path: Path) -> None:
    async with mirrored(tmp_path) as (journal, _, log):
        for body in BODIES:
            log.append(body, leg=0)
        await end(journal, log)  # and the process goes at once
    assert (tmp_path / "watched" / "st_a.jsonl").read_bytes() == WHOLE


async def test_a_full_disk_is_told_leaves_no_half_message_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = len(WHOLE) - 3
    write = os.write

    def write_while_there_is_room(descriptor: int, data: bytes) -> int:
        taken = data[: room - os.fstat(descriptor).st_size]
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, taken)

    path = tmp_path / "watched" / "st_a.jsonl"
    monkeypatch.setattr(mirror, "_RETRY_SECONDS", 0.05)
    async with mirrored(tmp_path) as (journal, copies, log):
        log.append(BODIES[0], leg=0)
        await grows_to(path, frame_message(BODIES[0]))
        monkeypatch.setattr(os, "write", write_while_there_is_room)
        for body in BODIES[1:]:
            log.append(body, leg=0)
        await until(lambda: "mirror_problem" in copies.status_of("st_a"))
        problem = copies.status_of("st_a")["mirror_problem"]
        assert problem == (
            "the file has the messages to cursor 1 only (No space left on device); "
            "poll_events still has them all"
        )
        assert path.read_bytes() == frame_message(BODIES[0])
        assert log.last == len(BODIES)  # the journal is not held up
        monkeypatch.setattr(os, "write", write)
        await grows_to(path, WHOLE)
        await end(journal, log)
        await until(lambda: "mirror_problem" not in copies.status_of("st_a"))


async def test_a_folder_that_cannot_be_is_told_and_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "watched").write_text("a file stands here")
    async with mirrored(tmp_path) as (journal, copies, log):
        log.append("x", leg=0)
        await until(lambda: "mirror_problem" in copies.status_of("st_a"))
        await end(journal, log)
        page = await journal.read_page("st_a", 0, limit=9, max_chars=9)
    assert [entry.body for entry in page.entries] == ["x"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
async def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "watched").mkdir()
    (tmp_path / "other").write_text("")
    (tmp_path / "watched" / "st_a.jsonl").symlink_to(tmp_path / "other")
    async with mirrored(tmp_path) as (journal, copies, log):
        log.append("x", leg=0)
        await until(lambda: "mirror_problem" in copies.status_of("st_a"))
        await end(journal, log)
    assert (tmp_path / "other").read_text() == ""


async def test_without_a_folder_nothing_is_copied_or_told(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal, open_mirror(journal, None) as copies:
        await journal.begin("st_a", {})
        copies.follow("st_a")
        assert copies.status_of("st_a") == {}


def test_the_folders_of_a_copy_are_made_and_messages_added_to_it(tmp_path: Path) -> None:
    path = tmp_path / "kept" / "more" / "st_a.jsonl"
    for _ in range(2):
        mirror._append(path, [Entry(1, 0, 0, "one")])
    assert path.read_bytes() == b"one\none\n"
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_page_is_added_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []

    def write(descriptor: int, data: bytes) -> int:
        if len(written) == 2:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        written.append(data[:3])
        return original(descriptor, data[:3])

    original = os.write
    monkeypatch.setattr(os, "write", write)
    entries: Sequence[Entry] = [Entry(1, 0, 0, "abcdefghi")]
    with pytest.raises(OSError, match="quota"):
        mirror._append(tmp_path / "st_a.jsonl", entries)
    assert (tmp_path / "st_a.jsonl").read_bytes() == b""


async def test_a_files_whole_stream_is_mirrored_where_the_status_says(
    tmp_path: Path, dialogue: Path
) -> None:
    env = environment(
        tmp_path / "data",
        IH_MCP_MEDIA_DIRS=str(dialogue.parent),
        IH_MCP_MIRROR_DIR=str(tmp_path / "watched"),
        IH_MCP_ANALYST="placeholder",
    )
    async with open_host(env) as host:
        started = await host.call("stream_file", path=str(dialogue))
        stream_id, told = started.status["stream_id"], started.status["mirror"]
        messages, _ = await host.read_all(stream_id, wait_s=20)
        (listed,) = (await host.call("list_streams")).status["streams"]
        assert listed["mirror"] == told == str(tmp_path / "watched" / f"{stream_id}.jsonl")
        await grows_to(Path(told), b"".join(map(frame_message, messages)))
        checked = await host.call("check_setup")
    assert checked.status["mirror"] == str(tmp_path / "watched")


async def test_a_write_that_fails_is_tried_again_after_a_while_and_not_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    did: list[object] = []

    def refuse_twice(*_: object) -> None:
        did.append("wrote")
        if did.count("wrote") < 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def sleep(seconds: float) -> None:
        did.append(seconds)

    monkeypatch.setattr(mirror, "_append", refuse_twice)
    monkeypatch.setattr("ih_mcp.app.mirror.anyio.sleep", sleep)
    copy = mirror._MirrorFile(tmp_path / "st_a.jsonl")
    await mirror._append_or_wait(copy, [Entry(1, 0, 0, "x")])
    wait = mirror._RETRY_SECONDS
    assert did == ["wrote", wait, "wrote", wait, "wrote"]
    assert (copy.cursor, copy.problem) == (1, "")
