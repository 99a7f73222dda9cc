"""What was kept can be read from a folder that takes nothing any more."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from ih_mcp.app.runtime import open_runtime
from ih_mcp.errors import JournalError
from ih_mcp.journal import FILE_NAME, open_journal
from ih_mcp.settings import read_settings
from tests.forked import forked, forked_python
from tests.road.host import Host, environment, open_host

from .test_journal import ALL, bodies_of, keep

Freeze = Callable[[], None]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Freeze]]:
    """A data folder on a disk of its own, and how the disk becomes read-only."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    tmpfs = ["-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", str(folder)]
    if not mount or subprocess.run([mount, *tmpfs], check=False, capture_output=True).returncode:
        pytest.skip("mounting a file system needs a privilege")
    assert umount

    def freeze() -> None:
        subprocess.run([mount, "-o", "remount,ro", str(folder)], check=True)

    try:
        yield folder / "data", freeze
    finally:
        subprocess.run([umount, "-l", str(folder)], check=True)


async def fill(folder: Path) -> None:
    async with open_journal(folder) as journal:
        log = await keep(journal, "a", "b", "c")
        await log.write_record({"state": "ended"}, ended=True)
        journal.release(log)


async def test_what_was_kept_is_read_and_nothing_is_written(disk: tuple[Path, Freeze]) -> None:
    folder, freeze = disk
    await fill(folder)
    freeze()
    async with open_journal(folder) as journal:
        assert journal.is_read_only
        assert await bodies_of(journal) == ["a", "b", "c"]
        (row,) = await journal.list_streams()
        assert row.ended_at
        await journal.clean_up()
        for write in (journal.begin("st_2", {}), journal.adopt("st_1")):
            with pytest.raises(JournalError, match="is read-only for this user") as refused:
                await write
            assert refused.value.code == "journal_read_only"
            assert "Set IH_MCP_DATA_DIR" in refused.value.help
        assert await bodies_of(journal) == ["a", "b", "c"]


async def test_several_readers_share_it(disk: tuple[Path, Freeze]) -> None:
    folder, freeze = disk
    await fill(folder)
    freeze()
    async with open_journal(folder) as one, open_journal(folder) as two:
        assert await bodies_of(one) == await bodies_of(two) == ["a", "b", "c"]


_KILLED = """
import os, sys, anyio
from pathlib import Path
from ih_mcp.journal import open_journal
async def main():
    async with open_journal(Path(sys.argv[1])) as journal:
        log = await journal.begin("st_1", {"state": "open"})
        for body in "abc":
            log.append(body, leg=0)
        await log.flush()
        os._exit(0)
anyio.run(main)
"""


async def test_what_a_killed_process_left_in_the_wal_is_read_and_its_stream_is_over(
    disk: tuple[Path, Freeze],
) -> None:
    folder, freeze = disk
    await anyio.run_process([*forked_python(), "-c", _KILLED, str(folder)])
    assert (folder / f"{FILE_NAME}-wal").stat().st_size
    freeze()
    async with open_journal(folder) as journal:
        assert await bodies_of(journal) == ["a", "b", "c"]
        assert (await journal.read_page("st_1", 0, **ALL)).ended


async def test_a_wal_that_cannot_be_read_there_is_told_and_not_left_out(
    disk: tuple[Path, Freeze],
) -> None:
    """SQLite needs its index beside it, and can make none; the file alone would be too old."""
    folder, freeze = disk
    await anyio.run_process([*forked_python(), "-c", _KILLED, str(folder)])
    (folder / f"{FILE_NAME}-shm").unlink()
    freeze()
    with pytest.raises(
        JournalError, match=r"cannot open: .* is read-only for this user"
    ) as refused:
        async with open_journal(folder):
            raise AssertionError
    assert refused.value.code == "journal_read_only"
    assert refused.value.help.startswith("Copy what is kept to another folder. Set IH_MCP_DATA_DIR")


async def test_a_stream_that_another_process_writes_is_not_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder may be read-only for us alone, as one that is mounted into a container."""
    async with open_journal(tmp_path) as writer:
        await keep(writer, "a")
        monkeypatch.setattr("ih_mcp.journal.store.is_read_only_journal", Path.is_file)
        async with open_journal(tmp_path) as reader:
            page = await reader.read_page("st_1", 0, **ALL)
            assert ([entry.body for entry in page.entries], page.ended) == (["a"], False)
            await keep(writer, "b", stream_id="st_2")
            assert await bodies_of(reader, "st_2") == ["b"]


async def test_a_journal_of_another_version_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
        db.execute("PRAGMA user_version=1")
    monkeypatch.setattr("ih_mcp.journal.store.is_read_only_journal", Path.is_file)
    with pytest.raises(JournalError, match="read-only, and of another version") as refused:
        async with open_journal(tmp_path):
            raise AssertionError
    assert "Copy its folder" in refused.value.help


# --- by every command and tool that reads --------------------------------------------------------


def run(folder: Path, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    env = environment(folder, INTERHUMAN_API_KEY="")
    return subprocess.run(
        [*forked(), *arguments], env=env, cwd=tmp_path, capture_output=True, check=False
    )


def test_commands_that_read_work_and_those_that_write_say_what_helps(
    disk: tuple[Path, Freeze], tmp_path: Path, dialogue: Path
) -> None:
    folder, freeze = disk
    anyio.run(fill, folder)
    freeze()
    messages = run(folder, tmp_path, "messages")
    assert (messages.returncode, messages.stdout) == (0, b"a\nb\nc\n"), messages.stderr.decode()
    timeline = run(folder, tmp_path, "timeline", "-o", "talk.html")
    assert timeline.returncode == 0, timeline.stderr.decode()
    assert (tmp_path / "talk.html").stat().st_size
    watch = run(folder, tmp_path, "watch")
    assert watch.returncode == 0, watch.stderr.decode()
    for command in ("stream", "analyze"):
        done = run(folder, tmp_path, command, str(dialogue), "--local")
        assert done.returncode == 2, done.stderr.decode()
        assert b"is read-only for this user" in done.stderr
        assert b"Set IH_MCP_DATA_DIR to a folder this user can write to" in done.stderr
        assert b"Traceback" not in done.stderr
    check = run(folder, tmp_path, "check", "--local")
    assert b"is read-only: what is kept there can be read" in check.stdout
    assert check.returncode == 1


async def test_tools_that_read_work_and_those_that_write_say_what_helps(
    disk: tuple[Path, Freeze], dialogue: Path
) -> None:
    folder, freeze = disk
    await fill(folder)
    freeze()
    env = environment(folder, IH_MCP_MEDIA_DIRS=str(dialogue.parent))
    async with open_host(env) as host:
        messages, last = await host.read_all("st_1")
        assert (messages, last.status["ended"]) == (["a", "b", "c"], True)
        listed = (await host.call("list_streams")).status["streams"]
        assert [stream["stream_id"] for stream in listed] == ["st_1"]
        await refuses(host, "start_stream")
        await refuses(host, "stream_file", path=dialogue.name)
        await refuses(host, "analyze_file", path=dialogue.name)


async def refuses(host: Host, tool: str, **arguments: object) -> None:
    answer = await host.call(tool, **arguments)
    assert answer.error["code"] == "journal_read_only", answer.text
    assert "is read-only for this user" in answer.text
    assert "Set IH_MCP_DATA_DIR" in answer.text


async def test_a_new_folder_on_a_read_only_disk_says_so(disk: tuple[Path, Freeze]) -> None:
    folder, freeze = disk
    freeze()
    with pytest.raises(JournalError, match="Read-only file system") as refused:
        async with open_runtime(read_settings(endpoint="local", data_dir=folder)):
            raise AssertionError
    assert "IH_MCP_DATA_DIR" in refused.value.help
