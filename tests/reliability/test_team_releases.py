"""T15: two releases run side by side on one database; the newer one has added to its tables."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from anyio import to_thread

from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import RunningStandin, serve
from tests.conftest import REPOSITORY
from tests.leaks import KEY as SERVICE_KEY

from .budget import IS_LONG, report
from .replicas import Fleet, Replica, call, open_client, open_fleet, put_segment

pytest.importorskip("psycopg", reason="the extra `team` is not installed")
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not IS_LONG, reason="builds a wheel, starts real processes; runs at night"),
]
FILE = "test_team_releases.py"
LAST_RELEASE = os.environ.get("IH_MCP_LAST_RELEASE", "1fb10f8")
"""A tag or commit; before the first release the commit that several replicas began with."""


@pytest.fixture
async def service(ffmpeg: Ffmpeg) -> AsyncIterator[RunningStandin]:
    async with serve(Options(key=SERVICE_KEY), ffmpeg=ffmpeg) as running:
        yield running


@pytest.fixture
def last_release(tmp_path: Path) -> Path:
    """A folder with the package of the last release, from its wheel."""
    archived = subprocess.run(
        ["git", "archive", "--format=tar", LAST_RELEASE, ".", ":(exclude)tests"],  # noqa: S607 - the developer's
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
    )
    if archived.returncode:
        pytest.skip(f"the history is not here: {archived.stderr.decode().strip()}")
    source, installed = tmp_path / "source", tmp_path / "installed"
    with tarfile.open(fileobj=io.BytesIO(archived.stdout)) as tar:
        tar.extractall(source, filter="data")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        files.extractall(installed)  # noqa: S202 - we have built it
    return installed


async def start_old(fleet: Fleet, folder: Path) -> Replica:
    program = [sys.executable, "-m", "ih_mcp"]
    return await fleet.start(program, PYTHONPATH=str(folder))


async def carry(carrier: Replica, other: Replica) -> None:
    """A stream of one of them, half of whose calls go to the other; each reads the same."""
    async with open_client(carrier.url, "auto") as client:
        stream, _ = await call(client, "start_stream", include=[])
    stream_id = stream["stream_id"]
    for number in range(1, 7):
        await put_segment((carrier, other)[number % 2].url, stream_id, number)
    async with open_client(other.url, "legacy") as client:
        ended, _ = await call(client, "end_stream", stream_id=stream_id)
        assert ended["ended"]
    read = []
    for replica in (carrier, other):
        async with open_client(replica.url, "auto") as client:
            status, messages = await call(client, "poll_events", stream_id=stream_id, limit=200)
        assert (status["state"], status["ended"], status["remaining"]) == ("ended", True, 0)
        read.append(messages)
    assert read[0] == read[1]
    assert read[0]


async def test_t15_the_last_release_and_this_one_share_a_database(
    service: RunningStandin, database: str, tmp_path: Path, last_release: Path
) -> None:
    async with open_fleet(service.url, database, tmp_path) as fleet:
        old = await start_old(fleet, last_release)
        assert str(last_release) in await to_thread.run_sync(_package_of, old)
        async with open_client(old.url, "auto") as client:  # lives while the tables grow
            living, _ = await call(client, "start_stream", include=[])
        new = await fleet.start()
        await put_segment(new.url, living["stream_id"], 1)
        for carrier, other in ((old, new), (new, old)):
            await carry(carrier, other)
        again = await start_old(fleet, last_release)  # as where a deploy is taken back
        for carrier, other in ((again, new), (new, again)):
            await carry(carrier, other)
        async with open_client(again.url, "auto") as client:
            ended, _ = await call(client, "end_stream", stream_id=living["stream_id"])
        assert ended["ended"]
    sessions = service.recorder.sessions
    assert len(sessions) == 5
    assert {session.end for session in sessions} == {"session.ended"}
    report("T15", FILE, f"{LAST_RELEASE} and this one: 5 streams, each called at both, 0 errors")


def _package_of(replica: Replica) -> str:
    """Where a process has the package from."""
    return Path(f"/proc/{replica.process.pid}/environ").read_text(errors="replace")
