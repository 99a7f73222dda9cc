"""After `forget` no byte of a message is in any file of the data folder."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from ih_mcp.app.forgetting import Forgotten, forget
from ih_mcp.errors import CallerError, UnknownStreamError
from ih_mcp.journal import FILE_NAME, Journal, Page, StreamRow, UsageTable, follow, open_journal
from ih_mcp.settings import Settings, read_settings
from ih_mcp.wire.minutes import UNLIMITED, MediaUse
from tests.sqlite_journal import db_of, release_lock

MESSAGES = 60
_SECRET = "hesitation-of-{}-{:03}-in-message-{:05}"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(
        endpoint="local", data_dir=tmp_path / "data", mirror_dir=tmp_path / "data" / "mirror"
    )


@pytest.fixture
async def journal(settings: Settings) -> AsyncIterator[Journal]:
    async with open_journal(settings.data_dir) as opened:
        yield opened


def secret(stream_id: str, cursor: int) -> str:
    """What a message of a stream says, in no other stream and no other message."""
    return _SECRET.format(stream_id, cursor % 7, cursor)


async def fill(journal: Journal, *ids: str, ended: bool = True, **record: object) -> None:
    """Streams whose messages come in turn, so that they share pages of the file."""
    logs = [await journal.begin(each, {}, budget=UNLIMITED) for each in ids]
    for cursor in range(1, MESSAGES + 1):
        for log in logs:
            log.append(secret(log.stream_id, cursor) + "." * (cursor * 37 % 900), leg=0)
        if cursor % 5 == 0:
            for log in logs:
                await log.flush()
    for log in logs:
        state = "ended" if ended else "open"
        text = {"state": state, "label": secret(log.stream_id, 0), **record}
        await log.write_record(text, ended=ended)
        if ended:
            journal.release(log)


async def found_in(folder: Path, stream_id: str) -> list[str]:
    """The files that hold any byte of what a stream's messages say."""

    def search() -> list[str]:
        needles = [secret(stream_id, cursor).encode() for cursor in range(MESSAGES + 1)]
        files = [path for path in folder.rglob("*") if path.is_file()]
        data = {path: path.read_bytes() for path in files}
        return [str(path) for path in files if any(each in data[path] for each in needles)]

    return await to_thread.run_sync(search)


async def rows_of(journal: Journal, *ids: str) -> Sequence[StreamRow]:
    return [await journal.find_stream(each) for each in ids]


async def forget_ids(journal: Journal, settings: Settings, *ids: str) -> Forgotten:
    return await forget(journal, settings, await rows_of(journal, *ids))


async def bodies(journal: Journal, stream_id: str) -> list[str]:
    following = follow(journal, stream_id, 0, limit=1000, max_chars=10**6, waits=False)
    async with aclosing(following) as pages:
        return [str(entry.body) async for page in pages for entry in page.entries]


async def test_no_byte_is_left_with_a_reader_attached_and_others_stay_whole(
    journal: Journal, settings: Settings
) -> None:
    await fill(journal, "st_a", "st_b", "an_c")
    async with open_journal(settings.data_dir) as reader:
        before = await bodies(reader, "st_b")
        assert await found_in(settings.data_dir, "st_a")
        forgotten = await forget_ids(journal, settings, "st_a", "an_c")
        assert forgotten == Forgotten(ids=("st_a", "an_c"), files=0)
        assert await found_in(settings.data_dir, "st_a") == []
        assert await found_in(settings.data_dir, "an_c") == []
        assert await bodies(reader, "st_b") == before
        with pytest.raises(UnknownStreamError):
            await reader.find_stream("st_a")
        await fill(journal, "st_d")  # and it goes on
        assert len(await bodies(reader, "st_d")) == MESSAGES


async def test_what_was_deleted_before_and_not_overwritten_goes_too(
    journal: Journal, settings: Settings
) -> None:
    await fill(journal, "st_a", "st_b")
    row = await journal.find_stream("st_a")
    await journal._run_write(partial(journal._store.trim_stream, row.no, MESSAGES // 2))
    await journal._run_write(
        lambda: db_of(journal).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    )
    assert await found_in(settings.data_dir, "st_a")
    await forget_ids(journal, settings, "st_a")
    assert await found_in(settings.data_dir, "st_a") == []


async def test_what_a_reader_holds_is_said_and_gone_when_it_is(
    journal: Journal, settings: Settings
) -> None:
    await fill(journal, "st_a")

    def hold() -> sqlite3.Connection:
        other = sqlite3.connect(
            settings.data_dir / FILE_NAME, isolation_level=None, check_same_thread=False
        )
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM entries").fetchone()
        return other

    other = await to_thread.run_sync(hold)
    db_of(journal).execute("PRAGMA busy_timeout=50")
    forgotten = await forget_ids(journal, settings, "st_a")
    assert forgotten.copy_left == "another process still reads an older state of the journal"
    await to_thread.run_sync(other.close)
    await fill(journal, "st_b")
    assert not (await forget_ids(journal, settings, "st_b")).copy_left
    assert await found_in(settings.data_dir, "st_a") == []


async def test_a_file_that_cannot_be_written_anew_is_said_and_the_stream_is_gone(
    journal: Journal, settings: Settings
) -> None:
    await fill(journal, "st_a")
    # VACUUM attaches a second file, which a full disk refuses.
    db_of(journal).setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    forgotten = await forget_ids(journal, settings, "st_a")
    assert forgotten.copy_left.startswith("the file could not be written anew (")
    with pytest.raises(UnknownStreamError):
        await journal.find_stream("st_a")


async def test_pictures_mirror_and_half_written_files_go_and_no_other(
    journal: Journal, settings: Settings
) -> None:
    await fill(journal, "st_a", "st_b")
    assert settings.mirror_dir
    pictures = settings.data_dir / "pictures"
    gone = [pictures / f"st_a.{kind}" for kind in ("png", "html", "csv", "later")]
    gone += [settings.mirror_dir / "st_a.jsonl", pictures / ".ih-mcp-abcdefgh.tmp"]
    stays = [pictures / "st_b.png", pictures / "st_ab.png", settings.mirror_dir / "st_b.jsonl"]

    def write() -> None:
        for path in (*gone, *stays):
            path.parent.mkdir(exist_ok=True)
            path.write_text(secret("st_a", 1) if path in gone else "kept")
        long_ago = time.time() - 120
        os.utime(gone[-1], (long_ago, long_ago))

    await to_thread.run_sync(write)
    assert (await forget_ids(journal, settings, "st_a")).files == 5
    assert await found_in(settings.data_dir, "st_a") == []
    assert [path async for path in _existing(stays)] == stays


async def _existing(paths: Sequence[Path]) -> AsyncIterator[Path]:
    for path in paths:
        if await anyio.Path(path).exists():
            yield path


async def test_a_file_that_cannot_be_deleted_is_named(journal: Journal, settings: Settings) -> None:
    await fill(journal, "st_a")
    await anyio.Path(settings.data_dir / "pictures" / "st_a.png").mkdir(parents=True)
    (kept,) = (await forget_ids(journal, settings, "st_a")).kept_files
    assert "st_a.png (" in kept


async def test_a_live_stream_of_another_process_is_refused_and_nothing_is_forgotten(
    journal: Journal, settings: Settings
) -> None:
    await fill(journal, "st_a")
    async with open_journal(settings.data_dir) as other:
        await fill(other, "st_live", ended=False)
        with pytest.raises(CallerError, match="st_live is still open in process") as refused:
            await forget_ids(journal, settings, "st_a", "st_live")
        assert refused.value.code == "stream_live"
        assert len(await bodies(journal, "st_a")) == MESSAGES


async def test_a_stream_of_a_killed_process_is_over(journal: Journal, settings: Settings) -> None:
    async with open_journal(settings.data_dir) as killed:
        await fill(killed, "st_dead", ended=False)
        release_lock(killed)
        assert not (await forget_ids(journal, settings, "st_dead")).copy_left
        assert await found_in(settings.data_dir, "st_dead") == []


async def test_an_upload_that_another_process_takes_up_meanwhile_stays(
    journal: Journal, settings: Settings
) -> None:
    await fill(journal, "st_a", "an_b")
    rows = await rows_of(journal, "st_a", "an_b")
    async with open_journal(settings.data_dir) as other:
        await other.adopt("an_b")
        with pytest.raises(CallerError, match="an_b goes on in another process"):
            await forget(journal, settings, rows)
    assert len(await bodies(journal, "st_a")) == MESSAGES


async def test_forgetting_twice_at_once_forgets_once(journal: Journal, settings: Settings) -> None:
    await fill(journal, "st_a")
    rows = await rows_of(journal, "st_a")
    await forget(journal, settings, rows)
    with pytest.raises(CallerError, match="or is forgotten already"):
        await forget(journal, settings, rows)


async def test_who_waits_for_a_message_meanwhile_comes_to_an_end(
    journal: Journal, settings: Settings
) -> None:
    """It sees that the stream is over, or that there is none: whichever it looks at first."""
    async with (
        open_journal(settings.data_dir) as killed,
        open_journal(settings.data_dir) as reader,
    ):
        await fill(killed, "st_dead", ended=False)
        waiting = follow(reader, "st_dead", MESSAGES, limit=9, max_chars=999)
        with anyio.fail_after(10):
            async with aclosing(waiting) as pages:
                assert not (await anext(pages)).entries
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_read_to_the_end, pages)
                    await _forget_dead(killed, journal, settings)
        with pytest.raises(UnknownStreamError):
            await reader.read_page("st_dead", 0, limit=1, max_chars=1)


async def _read_to_the_end(pages: AsyncIterator[Page]) -> None:
    with suppress(UnknownStreamError):
        async for page in pages:
            assert not page.entries


async def _forget_dead(killed: Journal, journal: Journal, settings: Settings) -> None:
    release_lock(killed)
    await forget_ids(journal, settings, "st_dead")


async def test_a_large_journal_waits_for_live_streams(
    journal: Journal, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ih_mcp.app.forgetting._MOST_BYTES_WHILE_LIVE", 1000)
    await fill(journal, "st_a")
    await fill(journal, "st_live", ended=False)
    with pytest.raises(CallerError, match="would hold them up") as refused:
        await forget_ids(journal, settings, "st_a")
    assert refused.value.code == "journal_busy"


async def test_the_minutes_stay_counted_without_the_id(
    journal: Journal, settings: Settings
) -> None:
    await fill(journal, "st_a")
    await journal.account("st_a").spend(60, MediaUse())
    await forget_ids(journal, settings, "st_a")
    (row,) = await journal.read_usage(UsageTable.read_days)
    assert row.use == MediaUse(delivered_seconds=60)
    assert await found_in(settings.data_dir, "st_a") == []
