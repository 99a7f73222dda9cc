"""What the server does not load before it answers; see also `python -m bench start`."""

from __future__ import annotations

import subprocess
import sys

import pytest

_LATER = {
    "the client of uploads and tokens": {"ih_mcp.net.rest", "ih_mcp.net.route", "h11"},
    "the WebSocket client": {"websockets", "ih_mcp.net.opener"},
    "the stand-in": {"ih_mcp.standin", "ih_mcp.standin.server.serve"},
    "what serves a team": {"ih_mcp.http_server", "jwt", "prometheus_client", "psycopg"},
    "media": {"ih_mcp.media.ffmpeg.process", "ih_mcp.media.splitter", "ih_mcp.streams.intake"},
}


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The modules that are there once the server could answer."""
    code = "import sys, ih_mcp.mcp_server.server; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("part", _LATER)
def test_what_a_first_answer_does_not_need_is_loaded_later(part: str, loaded: set[str]) -> None:
    assert not _LATER[part] & loaded
