"""What clients say may stand in what a stand-in logs; a terminal is not steered by it."""

from __future__ import annotations

import io
import logging

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.redaction import redacting_logs
from ih_mcp.standin.server.app import create_app
from ih_mcp.standin.server.tokens import answer_refusals

HOSTILE = "\x1b]52;c;cm0gLXJm\x07\x9b31m\u202e"


def test_log_lines_are_escaped_and_tracebacks_stay_lines() -> None:
    written = io.StringIO()
    logger = logging.getLogger("tests.of.lines")
    logger.addHandler(logging.StreamHandler(written))
    with redacting_logs():
        try:
            raise ValueError(f"no {HOSTILE}\nis known")
        except ValueError:
            logger.exception("%s", HOSTILE, stack_info=True)
    lines = written.getvalue().splitlines()
    assert lines[0] == r"\x1b]52;c;cm0gLXJm\x07\x9b31m\u202e"
    assert lines[1] == "Traceback (most recent call last):"
    assert all(line.isprintable() for line in lines)


async def _fails(request: Request) -> Response:
    raise RuntimeError(request.url.path)


def test_a_request_that_fails_is_logged_without_what_steers(
    ffmpeg: Ffmpeg, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(ffmpeg=ffmpeg)
    app.router.routes.insert(0, Route("/x/{rest}", answer_refusals(_fails)))
    assert isinstance(app, Starlette)
    with TestClient(app) as client:
        assert client.get("/x/%1b%5d0;owned%07").status_code == 500
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.getMessage().isprintable()
