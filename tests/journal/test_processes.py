"""The name of an owner tells which process it is."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from anyio import to_thread

from ih_mcp.journal import Process, open_journal
from ih_mcp.journal.owners import Owner, parse_owner


def test_an_owners_name_tells_its_process(tmp_path: Path) -> None:
    ours = Owner(tmp_path)
    process = parse_owner(ours.name)
    assert process == Process(os.getpid(), socket.gethostname())
    assert str(process) == f"process {os.getpid()} on {socket.gethostname()}"
    ours.close()


@pytest.mark.parametrize("host", ["../../etc", "a b\n\0/c", "é" * 300, ""])
def test_a_name_of_a_computer_that_is_no_file_name_does_no_harm(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    ours = Owner(tmp_path)
    assert (tmp_path / f"{ours.name}.lock").is_file()
    assert {path.name[: len(ours.name)] for path in tmp_path.iterdir()} == {ours.name}
    assert parse_owner(ours.name).pid == os.getpid()
    ours.close()


@pytest.mark.parametrize("name", ["0123456789abcdef", "gone", "", "x-y-z"])
def test_the_name_of_an_older_version_tells_no_process(name: str) -> None:
    assert parse_owner(name) == Process()
    assert str(parse_owner(name)) == "another process"


async def test_a_stream_is_of_another_process_only_while_that_one_lives(place: Path | str) -> None:
    async with open_journal(place) as ours, open_journal(place) as other:
        log = await other.begin("st_1", {})
        assert other.process_writing(await other.find_stream("st_1")) is None
        written_by = ours.process_writing(await ours.find_stream("st_1"))
        assert written_by == parse_owner(other._owner.name)
        await log.write_record({"state": "ended"}, ended=True)
        assert ours.process_writing(await ours.find_stream("st_1")) is None


async def test_the_end_of_an_orphan_is_in_the_database_once(place: Path | str) -> None:
    """Not only in what a reader makes of a dead owner; and the first end stays."""
    async with open_journal(place) as journal:
        await journal.begin("st_1", {})
        store = journal._store
        (row,) = await to_thread.run_sync(store.list_streams)
        adopted = replace(row, owner="whoever had it before it was adopted")
        await to_thread.run_sync(store.end_stream, adopted, "{}")
        assert await to_thread.run_sync(store.list_streams) == [row]
        for record in ('{"state":"failed"}', '{"state":"ended"}'):
            await to_thread.run_sync(store.end_stream, row, record)
            (now,) = await to_thread.run_sync(store.list_streams)
            assert (now.record, now.ended_at is not None) == ('{"state":"failed"}', True)
