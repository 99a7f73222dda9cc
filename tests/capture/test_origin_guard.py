"""Who may ask: names and pages that are not ours get nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from ih_mcp.capture.page_server import PageServer
from ih_mcp.capture.serve import open_page_server
from ih_mcp.errors import ConfigurationError
from ih_mcp.journal import open_journal
from tests.plain_http import plain_http

FILES = ["/", *(f"/static/{name}" for name in ("page.js", "page.css", "timeline.js", "icon.svg"))]


@pytest.fixture
async def server(tmp_path: object) -> AsyncIterator[PageServer]:
    async with open_journal(tmp_path) as journal, open_page_server(journal, None) as opened:  # type: ignore[arg-type]
        yield opened


async def ask(
    server: PageServer, path: str, *, method: str = "GET", **headers: str
) -> httpx2.Response:
    async with plain_http() as client:
        return await client.request(method, f"{server.origin}{path}", headers=headers)


@pytest.mark.parametrize("path", FILES)
async def test_every_file_comes_with_a_strict_policy(server: PageServer, path: str) -> None:
    answer = await ask(server, path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert (
        "http"
        not in policy.replace(server.origin, "").replace("localhost", "").split("connect-src")[0]
    )


async def test_the_page_asks_for_nothing_outside(server: PageServer) -> None:
    for path in FILES:
        text = (await ask(server, path)).text
        for word in ("https://", "//cdn", "@import"):
            assert word not in text, path


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "[::1]:{port}",
        "",
    ],
)
async def test_another_name_is_not_served(server: PageServer, host: str) -> None:
    port = server.origin.rpartition(":")[2]
    answer = await ask(server, "/", Host=host.format(port=port))
    assert answer.status_code in {400, 421}  # 400: the HTTP library's own answer to an empty name
    assert "<video" not in answer.text


async def test_localhost_is_this_machine_too(server: PageServer) -> None:
    port = server.origin.rpartition(":")[2]
    assert (await ask(server, "/", Host=f"localhost:{port}")).status_code == 200


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "http://127.0.0.1"])
async def test_a_ticket_is_only_taken_from_our_own_page(
    server: PageServer, origin: str | None
) -> None:
    headers = {} if origin is None else {"Origin": origin}
    assert (await ask(server, "/ticket", method="POST", **headers)).status_code == 403


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example"])
async def test_another_pages_socket_is_refused(server: PageServer, origin: str | None) -> None:
    url = server.origin.replace("http", "ws", 1) + "/live"
    with pytest.raises(InvalidStatus) as caught:
        async with connect(url, origin=origin):  # type: ignore[arg-type]  # a plain string
            pass
    assert caught.value.response.status_code == 403


async def test_no_path_leads_out_of_the_page(server: PageServer) -> None:
    for path in ("/static/..%2Fapp.py", "/static/app.py", "/static/", "/static/%2e%2e/app.py"):
        assert (await ask(server, path)).status_code == 404, path


async def test_beyond_this_machine_needs_https(tmp_path: object) -> None:
    async with open_journal(tmp_path) as journal:  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match=r"open to others at 0\.0\.0\.0") as caught:
            async with open_page_server(journal, None, host="0.0.0.0"):  # noqa: S104 - what is refused
                pass
        assert "IH_MCP_CAPTURE_ORIGIN" in caught.value.help
        origin = "https://live.example"
        async with open_page_server(journal, None, host="0.0.0.0", origin=origin) as server:  # noqa: S104
            assert server.origin == origin


async def test_a_taken_port_is_an_error_that_says_so(server: PageServer, tmp_path: object) -> None:
    port = int(server.origin.rpartition(":")[2])
    async with open_journal(tmp_path) as journal:  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match=f"cannot be served at 127.0.0.1:{port}"):
            async with open_page_server(journal, None, port=port):
                pass
