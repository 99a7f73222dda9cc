"""A version of the API that nobody knows yet is a row, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from ih_mcp.app.credentials import Credentials
from ih_mcp.journal import open_journal
from ih_mcp.media.ffmpeg.probe import probe
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.net.opener import open_socket
from ih_mcp.settings import read_settings
from ih_mcp.standin.server import app
from ih_mcp.streams.config import StreamConfig
from ih_mcp.streams.pacing import PaceName
from ih_mcp.streams.registry import open_registry
from ih_mcp.streams.sources.file import FileSource, send_file
from ih_mcp.wire import dialects
from ih_mcp.wire.dialects import DIALECTS, V2, find_dialect

from .conftest import StartStandin

V3 = replace(
    V2,
    name="v3",
    path="/v3/stream/analyze",
    auth_path="/v3/auth",
    models=("inter-3", "inter-2"),
)


def always(url: str) -> Callable[[], Awaitable[str]]:
    async def base_url() -> str:
        return url

    return base_url


async def test_an_invented_version_goes_all_the_way_by_key_pair(
    standin: StartStandin,
    ffmpeg: Ffmpeg,
    dialogue: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = {**DIALECTS, "v3": V3}
    monkeypatch.setattr(dialects, "DIALECTS", known)
    monkeypatch.setattr(app, "DIALECTS", known)
    facts = await probe(ffmpeg, dialogue)
    source = FileSource(dialogue, facts, ffmpeg)
    async with (
        standin(models=V3.models) as running,
        open_journal(tmp_path) as journal,
        open_registry(journal) as registry,
    ):
        settings = read_settings(key_id="kid", key_secret="a-secret")
        credentials = Credentials(settings, always(running.url))
        bearer = await (await credentials.get_credential("v3")).bearer()
        stream = await registry.start(
            StreamConfig(dialect=find_dialect("v3"), base_url=running.url),
            partial(open_socket, bearer=bearer),
            feed=partial(send_file, source=source, pace=PaceName.FAST),
        )
        await stream.until(lambda: False)
        page = await journal.read_page(stream.id, 0, limit=1000, max_chars=10**9)
        (session,) = running.recorder.sessions
    assert stream.failure is None
    assert [entry.body for entry in page.entries] == session.texts
    ready = json.loads(session.texts[0])["data"]["supported_session_config_options"]
    assert ready["model"] == ["inter-3", "inter-2"]
    assert session.path.startswith("/v3/stream/analyze")
