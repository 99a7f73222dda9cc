"""How long the files of tenants are kept, whether or not a tenant calls again."""

from __future__ import annotations

import os
import time
from pathlib import Path

import anyio
import pytest

from ih_mcp.http_server import files_room
from ih_mcp.http_server.files_room import KEEP_SECONDS, remove_old_files
from ih_mcp.http_server.serve import open_team_server
from ih_mcp.settings import Settings, read_settings

DAY_OLD, YOUNG = time.time() - KEEP_SECONDS - 60, time.time() - KEEP_SECONDS / 2


def put(path: Path, modified_at: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"video")
    os.utime(path, (modified_at, modified_at))
    return path


@pytest.mark.parametrize("uploads", [False, True])
def test_old_files_of_every_tenant_go_and_nothing_else_does(tmp_path: Path, uploads: bool) -> None:
    data, shared = tmp_path / "data", tmp_path / "uploads"
    more = {"uploads": shared} if uploads else {}
    settings = read_settings(data_dir=data, **more)
    roots = [data / "files", data / "tenants" / "acme" / "files"]
    roots += [shared / "acme"] if uploads else []
    old = [put(root / "old.mp4", DAY_OLD) for root in roots]
    stay = [put(root / "young.mp4", YOUNG) for root in roots]
    stay += [put(data / name, DAY_OLD) for name in ("journal.db", "tenants/acme/journal.db")]
    remove_old_files(settings)
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in stay)
    remove_old_files(read_settings(data_dir=tmp_path / "none"))  # there is nothing yet


async def test_a_server_looks_for_old_files_when_it_starts_and_each_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = anyio.Event()
    times = list[Settings]()

    def look(settings: Settings) -> None:
        times.append(settings)
        if len(times) == 2:
            anyio.from_thread.run_sync(looked.set)

    monkeypatch.setattr(files_room, "remove_old_files", look)
    monkeypatch.setattr(files_room, "_TIDY_SECONDS", 0.0)
    settings = read_settings(data_dir=tmp_path, endpoint="local", listen="127.0.0.1:0")
    with anyio.fail_after(30):
        async with open_team_server(settings):
            await looked.wait()
    assert times[0] is settings
