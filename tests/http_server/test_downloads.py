"""Files that `render_timeline` wrote, fetched by the address in its answer."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from ih_mcp.http_server.upload_tickets import UploadTickets
from ih_mcp.mcp_server import picture_tools

from .conftest import Team, said
from .test_first_request import block

KINDS = ("html", "svg", "csv", "jsonl", "vtt")


@pytest.fixture(scope="module")
async def stream_id(team: Team) -> AsyncIterator[str]:
    async with team.client() as client:
        started = str(said(await client.call_tool("start_stream", {"include": []}))["stream_id"])
        await client.call_tool("end_stream", {"stream_id": started})
        yield started


async def draw(team: Team, stream_id: str, kind: str) -> dict[str, Any]:
    async with team.client() as client:
        given = {"stream_id": stream_id, "format": kind}
        return said(await client.call_tool("render_timeline", given))


def file_of(team: Team, stream_id: str, kind: str) -> Path:
    return team.settings.data_dir / "tenants/acme/pictures" / f"{stream_id}.{kind}"


async def test_each_kind_is_fetched_as_an_attachment_without_a_key(
    team: Team, stream_id: str
) -> None:
    for kind in KINDS:
        drawn = await draw(team, stream_id, kind)
        assert drawn["valid_for_s"] == 900
        assert drawn["command"] == f"curl -o {stream_id}.{kind} '{drawn['get_url']}'"
        async with team.http(None) as http:
            first, got = [await http.get(drawn["get_url"]) for _ in range(2)]  # as often as asked
            head = await http.head(drawn["get_url"])
        assert len(got.content) == drawn["bytes"]
        assert first.content == got.content == file_of(team, stream_id, kind).read_bytes()
        for headers in (got.headers, head.headers):
            assert headers["content-length"] == str(drawn["bytes"])
            assert headers["content-type"] == "application/octet-stream"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            named = f'attachment; filename="{stream_id}.{kind}"'
            assert headers["content-disposition"] == named
        assert head.content == b""


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
async def test_the_command_of_the_docs_fetches_the_file(
    team: Team, stream_id: str, tmp_path: Path
) -> None:
    drawn = await draw(team, stream_id, "csv")
    script = re.sub(r"https:\S*", drawn["get_url"], block("sh", "GET_URL="))
    clean = dict(os.environ, NO_PROXY="*", no_proxy="*")
    await anyio.run_process(["sh", "-ec", script], cwd=tmp_path, env=clean)
    fetched = (tmp_path / f"{stream_id}.csv").read_bytes()
    assert fetched == file_of(team, stream_id, "csv").read_bytes()


async def test_a_file_that_was_removed_or_is_older_is_written_anew(
    team: Team, stream_id: str
) -> None:
    for kind in ("html", "csv"):
        url, file = (await draw(team, stream_id, kind))["get_url"], file_of(team, stream_id, kind)
        written = file.read_bytes()
        async with team.http(None) as http:
            file.unlink()
            assert (await http.get(url)).content == written
            file.write_bytes(b"of an earlier time")
            os.utime(file, (1, 1))
            assert (await http.get(url)).content == written


async def test_a_link_in_the_place_of_the_file_is_not_followed(
    team: Team, stream_id: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    url, file = (await draw(team, stream_id, "csv"))["get_url"], file_of(team, stream_id, "csv")
    file.unlink()
    file.symlink_to(tmp_path / "secret")
    try:
        async with team.http(None) as http:
            answer = await http.get(url)
    finally:
        file.unlink()
    assert answer.status_code == 503
    assert "secret" not in answer.text
    assert str(team.settings.data_dir) not in answer.text


async def test_an_address_is_of_one_file_too_old_after_its_time_and_no_upload_s(
    team: Team, stream_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = (await draw(team, stream_id, "csv"))["get_url"]
    ticket = url.rpartition("/")[2]
    tickets = team.app._tickets
    assert isinstance(tickets, UploadTickets)
    upload = await tickets.issue("acme", "talk.mp4")
    monkeypatch.setattr("ih_mcp.http_server.downloads.DOWNLOAD_SECONDS", 0.0)
    too_old = (await draw(team, stream_id, "csv"))["get_url"]
    async with team.http(None) as http:
        for path in (
            too_old,
            f"/downloads/{upload}",
            f"{url}/..%2f..%2fcallers.toml",
            f"/downloads/{stream_id}.csv",
            "/downloads/",
        ):
            answer = await http.get(path)
            assert answer.status_code == 404, path
            assert answer.json()["ih_mcp"]["error"]["code"] == "unknown_download"
        assert (await http.put(f"/uploads/{ticket}", content=b"x")).status_code == 404
        assert (await http.put(url, content=b"x")).status_code == 405
        assert (await http.get(url)).status_code == 200


async def test_a_download_has_a_line_that_does_not_hold_the_ticket(
    team: Team, stream_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "ih_mcp.audit")
    url = (await draw(team, stream_id, "csv"))["get_url"]
    async with team.http(None) as http:
        await http.get(url)
    (line,) = [text for text in caplog.messages if "ticket" in text]
    by = "http tenant='acme' caller='a download ticket' method='GET'"
    assert line == f"{by} file='{stream_id}.csv' status=200"
    assert url.rpartition("/")[2] not in caplog.text


def test_an_address_is_valid_for_as_long_as_the_docs_say() -> None:
    assert picture_tools.DOWNLOAD_SECONDS == 15 * 60
