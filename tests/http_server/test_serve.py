"""MCP over HTTP as callers of a team meet it: official clients, a real socket."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from mcp_types import TextContent

from ih_mcp.errors import ConfigurationError
from ih_mcp.http_server import app as app_module
from ih_mcp.http_server.files_room import FilesRoom
from ih_mcp.http_server.serve import open_team_server
from ih_mcp.settings import Settings
from tests.streams.test_all_or_nothing import cluster, webm_header

from .conftest import CALLERS, KEYS, Era, Team, said

FULL = Path("/dev/full")
BOTH_ERAS = pytest.mark.parametrize("era", ["auto", "legacy"])


async def start(team: Team, caller: str = "ann") -> str:
    async with team.client(caller) as client:
        stream_id: str = said(await client.call_tool("start_stream", {"include": []}))["stream_id"]
    return stream_id


async def messages_of(team: Team, stream_id: str, era: Era) -> list[str]:
    """All messages to the end, each poll over a client of its own, as through a balancer."""
    cursor, messages = 0, list[str]()
    while True:
        async with team.client(era=era) as client:
            result = await client.call_tool(
                "poll_events", {"stream_id": stream_id, "cursor": cursor, "wait_s": 10}
            )
        messages += [block.text for block in result.content[1:] if isinstance(block, TextContent)]
        status = said(result)
        if status["ended"]:
            return messages
        cursor = status["next_cursor"]


@BOTH_ERAS
async def test_a_pushed_stream_from_start_to_end(team: Team, era: Era) -> None:
    stream_id = await start(team)
    async with team.http() as http:
        first = webm_header() + cluster(0)
        for number, data in enumerate((first, cluster(1000), cluster(2000)), 1):
            path = f"/streams/{stream_id}/segments/{number}"
            for _ in range(2):  # a repeat is harmless
                answer = await http.put(path, content=data)
                assert answer.status_code == 200
                assert answer.json()["ih_mcp"]["next_seq"] == number + 1
        wrong = await http.put(f"/streams/{stream_id}/segments/3", content=cluster(9000))
        assert wrong.status_code != 200
        assert wrong.json()["ih_mcp"]["error"]["next_seq"] == 4
    async with team.client(era=era) as client:
        assert said(await client.call_tool("end_stream", {"stream_id": stream_id}))["ended"]
    assert await messages_of(team, stream_id, era) == await kept(team, stream_id)


async def kept(team: Team, stream_id: str) -> list[str]:
    """What the tenant's journal has."""
    journal = team.app.tenants._open["acme"].runtime.journal
    page = await journal.read_page(stream_id, 0, limit=200, max_chars=500_000)
    assert page.entries
    return [str(entry.body) for entry in page.entries]


# --- tenants -------------------------------------------------------------------------------------


@BOTH_ERAS
async def test_another_tenant_s_stream_is_as_unknown_as_one_that_never_was(
    team: Team, era: Era
) -> None:
    stream_id, never = await start(team), "st_" + "0" * 32
    async with team.client("bob", era) as client:
        tools = (await client.list_tools()).tools
        asking = [tool.name for tool in tools if "stream_id" in tool.input_schema["properties"]]
        assert {"poll_events", "end_stream", "push_segment", "render_timeline"} <= {*asking}
        for name in asking:
            more: dict[str, Any] = {"data_base64": "AAAA"} if name == "push_segment" else {}
            answers = []
            for asked in (stream_id, never):
                result = await client.call_tool(name, {"stream_id": asked, **more})
                assert result.is_error, name
                assert said(result)["code"] == "unknown_stream", name
                block = result.content[0]
                assert isinstance(block, TextContent)
                answers.append(block.text.replace(asked, "ID"))
            assert answers[0] == answers[1]
        listed = said(await client.call_tool("list_streams", {}))
        assert listed["streams"] == []
    async with team.http("bob") as http:
        put = await http.put(f"/streams/{stream_id}/segments/1", content=webm_header())
        assert (put.status_code, put.json()["ih_mcp"]["error"]["code"]) == (404, "unknown_stream")
    async with team.client("admin", era) as colleague:
        status = said(await colleague.call_tool("list_streams", {"stream_id": stream_id}))
        assert status["state"] in {"connecting", "open"}


async def test_only_a_caller_with_the_scope_has_the_tool_that_mints_tokens(team: Team) -> None:
    has = {}
    for caller in ("ann", "admin"):
        async with team.client(caller) as client:
            has[caller] = {tool.name for tool in (await client.list_tools()).tools}
            minted = await client.call_tool("create_token", {"kind": "client"})
            assert minted.is_error == (caller == "ann")
    assert has["admin"] - has["ann"] == {"create_token"}
    assert "upload_file" in has["ann"]


@BOTH_ERAS
async def test_a_subscription_is_refused_where_nothing_could_be_delivered(
    team: Team, era: Era
) -> None:
    async with team.client(era=era) as client:
        resources = client.server_capabilities.resources
    assert not (era == "legacy" and resources and resources.subscribe)


# --- keys, hosts and origins ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", "Basic " + KEYS["ann"], KEYS["ann"], "Bearer é"]
)
async def test_without_the_key_of_a_caller_nothing_is_answered(
    team: Team, header: str | None
) -> None:
    headers = {b"Authorization": header.encode()} if header is not None else {}
    async with team.http(None) as http:
        for method, path in (("POST", "/mcp"), ("GET", "/mcp"), ("PUT", "/files/a.mp4")):
            answer = await http.request(method, path, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
            error = answer.json()["ih_mcp"]["error"]
            assert "caller add" in error["help"]
            assert error["what"] in {
                "this request shows no key and no token",
                "the key is of no caller of this server",
                "the header Authorization has no `Bearer` and a key or token behind it",
            }
        assert (await http.get("/health")).json()["ok"]
        assert (await http.get("/ready")).json() == {"ready": True}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil@127.0.0.1"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:1"}, 200),
        ({"Origin": "http://localhost:1"}, 200),
    ],
)
async def test_pages_of_other_sites_are_refused_on_every_path(
    team: Team, headers: dict[str, str], status: int
) -> None:
    async with team.http() as http:
        for path in ("/health", "/ready"):
            assert (await http.get(path, headers=headers)).status_code == status
        if status != 200:
            for path in ("/mcp", "/uploads/x", "/files/x"):
                assert (await http.put(path, headers=headers)).status_code == status


async def test_a_probe_that_knows_an_address_alone_is_answered(team: Team) -> None:
    async with team.http() as http:
        for host in ("192.0.2.7:8765", "192.0.2.7", "[2001:db8::7]:8765"):
            for path, status in (
                ("/health", 200),
                ("/ready", 200),
                ("/mcp", 421),
                ("/files/x", 421),
            ):
                assert (await http.get(path, headers={"Host": host})).status_code == status
        for host in ("a.example", "192.0.2.7.a.example", "a@192.0.2.7x", "[", ""):
            assert (await http.get("/ready", headers={"Host": host})).status_code in {400, 421}


async def test_callers_are_read_again_and_a_removed_one_is_refused(own_team: Team) -> None:
    callers = own_team.app.bearers.callers
    assert callers is not None
    async with own_team.http("bob") as http:
        assert (await http.get("/nothing")).status_code == 404
        own_team.app.bearers.callers = type(callers)(
            callers.tenants,
            {key: each for key, each in callers._by_key_hash.items() if each.name != "bob"},
        )
        assert (await http.get("/nothing")).status_code == 401


async def test_streams_of_a_tenant_without_callers_are_ended(own_team: Team) -> None:
    """Those of a caller that was removed go on while its tenant has another."""
    stream_id = await start(own_team)
    callers = own_team.app.bearers.callers
    assert callers is not None
    live = own_team.app.tenants._open["acme"].runtime.registry.live_ids

    def remove(*names: str) -> int:
        left = {k: each for k, each in callers._by_key_hash.items() if each.name not in names}
        own_team.app.bearers.callers = type(callers)(callers.tenants, left)
        return own_team.app.end_streams_without_caller()

    assert live == [stream_id]
    assert remove("ann") == 0
    assert remove("ann", "admin") == 1
    assert remove("ann", "admin") == 0  # asked once
    await own_team.app.wait_until_idle()
    journal = own_team.app.tenants._open["acme"].runtime.journal
    while not (row := await journal.find_stream(stream_id)).ended_at:  # its last record
        await anyio.lowlevel.checkpoint()
    assert json.loads(row.record)["state"] == "ended"


async def test_a_caller_has_a_bound_of_calls_at_a_time(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "MAX_CALLS", 1)
    entered, go_on = anyio.Event(), anyio.Event()

    async def wait(*_: object) -> None:
        entered.set()
        await go_on.wait()

    async def request(wanted: int, caller: str) -> None:
        async with team.http(caller) as http:
            answer = await http.get("/nothing")
            assert answer.status_code == wanted
            assert (wanted != 429) or answer.headers["retry-after"] == "1"

    original = team.app.tenant_of

    async def slow(name: str) -> Any:
        await wait()
        return await original(name)

    async with anyio.create_task_group() as tasks:
        monkeypatch.setattr(team.app, "tenant_of", slow)
        tasks.start_soon(request, 404, "ann")
        await entered.wait()
        monkeypatch.setattr(team.app, "tenant_of", original)
        await request(429, "ann")
        await request(404, "bob")
        go_on.set()


# --- files ---------------------------------------------------------------------------------------


async def test_a_file_is_put_by_key_and_streamed_by_name(team: Team, dialogue: Path) -> None:
    video = await anyio.Path(dialogue).read_bytes()
    async with team.http() as http:
        put = await http.put("/files/my%20talk.mp4", content=video)
        assert put.status_code == 201
        assert put.json()["ih_mcp"]["bytes"] == len(video)
    async with team.client() as client:
        status = said(await client.call_tool("stream_file", {"path": "my talk.mp4"}))
        assert status["source"] == "my talk.mp4"
        await client.call_tool("end_stream", {"stream_id": status["stream_id"]})
    async with team.client("bob") as client:
        none = said(await client.call_tool("stream_file", {"path": "my talk.mp4"}))
        assert none["code"] == "file_not_found"
    async with team.http() as http:
        assert (await http.delete("/files/my talk.mp4")).status_code == 200
        again = await http.delete("/files/my talk.mp4")
        assert again.json()["ih_mcp"]["error"]["code"] == "file_not_found"


async def test_a_path_of_the_caller_s_machine_is_answered_with_how_to_send_the_file(
    team: Team,
) -> None:
    async with team.client() as client:
        for path in ("/home/ann/talk.mp4", "not-sent.mp4"):
            refused = await client.call_tool("stream_file", {"path": path})
            assert "call upload_file, send the file there" in str(refused.content[0])
            assert "Copy the file" not in str(refused.content[0])
        stream = said(await client.call_tool("start_stream", {}))["stream_id"]
        listed = said(await client.call_tool("list_streams", {"stream_id": stream}))
        assert listed["to_delete"].endswith(f"where this server runs: ih-mcp forget {stream}")
        chunk = {"stream_id": stream, "path": "/home/ann/chunk-000.webm"}
        refused = await client.call_tool("push_segment", chunk)
        assert "push_segment takes its bytes as data_base64" in str(refused.content[0])
        await client.call_tool("end_stream", {"stream_id": stream})


async def test_a_ticket_takes_one_file_without_a_key(own_team: Team) -> None:
    async with own_team.client() as client:
        given = said(await client.call_tool("upload_file", {"name": "talk.mp4"}))
    async with own_team.http(None) as http:
        page = await http.get(given["put_url"])
        assert "talk.mp4" in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        empty = await http.put(given["put_url"], content=b"")
        assert empty.json()["ih_mcp"]["error"]["code"] == "empty_file"
        assert (await http.put(given["put_url"], content=b"video")).status_code == 201
        used = await http.put(given["put_url"], content=b"other")
        assert used.json()["ih_mcp"]["error"]["code"] == "unknown_ticket"
    kept_file = own_team.settings.data_dir / "tenants/acme/files/talk.mp4"
    assert await anyio.Path(kept_file).read_bytes() == b"video"
    assert [path.name for path in kept_file.parent.iterdir()] == ["talk.mp4"]


@pytest.mark.parametrize(
    "name", ["..", ".hidden", "%2e%2e%2fx", "a%2fb", "a%00b", "a%0ab", "x" * 128]
)
async def test_a_name_that_could_leave_the_folder_is_refused(own_team: Team, name: str) -> None:
    async with own_team.http() as http:
        answer = await http.put(f"/files/{name}", content=b"x")
        assert answer.status_code in {400, 404}
    folder = own_team.settings.data_dir / "tenants"
    assert not [
        path for path in folder.rglob("*") if path.is_file() and path.parent.name == "files"
    ]


async def test_files_have_a_bound_of_bytes(settings: Settings) -> None:
    small = settings.model_copy(update={"max_files_bytes": 10})
    async with open_team_server(small) as server:
        team = Team(server.url, server.app, small)
        async with team.http() as http:
            assert (await http.put("/files/a.mp4", content=b"123456")).status_code == 201
            full = await http.put("/files/b.mp4", content=b"123456")
            assert (full.status_code, full.json()["ih_mcp"]["error"]["code"]) == (507, "no_space")
            assert (await http.delete("/files/a.mp4")).status_code == 200
            assert (await http.put("/files/b.mp4", content=b"123456")).status_code == 201


async def test_uploads_at_once_share_the_bound_of_bytes(settings: Settings) -> None:
    small = settings.model_copy(update={"max_files_bytes": 10})
    begun, go_on = anyio.Event(), anyio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"123456"
        begun.set()
        await go_on.wait()
        yield b"7"

    async with open_team_server(small) as server, anyio.create_task_group() as tasks:
        team = Team(server.url, server.app, small)
        statuses = []

        async def put() -> None:
            async with team.http() as http:
                statuses.append((await http.put("/files/a.mp4", content=slow())).status_code)

        tasks.start_soon(put)
        await begun.wait()
        room = await room_of(team)
        while not room._uploads or not next(iter(room._uploads)).size:  # on its way to the server
            await anyio.lowlevel.checkpoint()
        async with team.http() as http:
            full = await http.put("/files/b.mp4", content=b"12345")
            assert (full.status_code, full.json()["ih_mcp"]["error"]["code"]) == (507, "no_space")
            assert (await http.put("/files/b.mp4", content=b"123")).status_code == 201
            go_on.set()
            while room._uploads:
                await anyio.lowlevel.checkpoint()
            assert (await http.put("/files/c.mp4", content=b"1")).status_code == 507
            assert (await http.put("/files/a.mp4", content=b"")).status_code == 400
            assert (await http.delete("/files/a.mp4")).status_code == 200
            assert (await http.put("/files/c.mp4", content=b"1234567")).status_code == 201
    assert statuses == [201]


async def room_of(team: Team) -> FilesRoom:
    """Of ann's tenant, once its first call has opened it."""
    while "acme" not in team.app.tenants._open:
        await anyio.lowlevel.checkpoint()
    return team.app.tenants._open["acme"].room


async def test_an_upload_by_ticket_has_a_line_that_does_not_hold_the_ticket(
    own_team: Team, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "ih_mcp.audit")
    async with own_team.client() as client:
        given = said(await client.call_tool("upload_file", {"name": "talk.mp4"}))
    async with own_team.http(None) as http:
        await http.put(given["put_url"], content=b"")
        await http.put(given["put_url"], content=b"video")
    lines = [text for text in caplog.messages if "ticket" in text]
    by = "http tenant='acme' caller='an upload ticket' method='PUT' file='talk.mp4' status="
    assert lines == [f"{by}400", f"{by}201"]
    assert given["put_url"].rpartition("/")[2] not in caplog.text


# --- going away ----------------------------------------------------------------------------------


@BOTH_ERAS
async def test_a_drain_answers_waiting_polls_and_lets_live_streams_go_on(
    own_team: Team, era: Era
) -> None:
    stream_id = await start(own_team)
    runtime = own_team.app.tenants._open["acme"].runtime
    async with own_team.client(era=era) as client, own_team.http() as http:
        last = runtime.registry.live(stream_id).log.last

        async def poll() -> None:
            arguments = {"stream_id": stream_id, "cursor": last, "wait_s": 25}
            status = said(await client.call_tool("poll_events", arguments))
            assert (status["returned"], status["next_cursor"]) == (0, last)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(poll)
            while runtime.draining.leaving._event is None:  # nobody waits for it yet
                await anyio.lowlevel.checkpoint()
            assert own_team.app.drain() == 1
        ready = await http.get("/ready")
        assert (ready.status_code, ready.json()) == (503, {"ready": False, "live_streams": 1})
        assert (await http.get("/health")).status_code == 200
        refused = said(await client.call_tool("start_stream", {}))
        assert (refused["code"], refused["retry"]) == ("draining", True)
        put = await http.put(f"/streams/{stream_id}/segments/1", content=webm_header() + cluster(0))
        assert put.status_code == 200
        await client.call_tool("end_stream", {"stream_id": stream_id})
        await own_team.app.wait_until_idle()


# --- start ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"listen": "0.0.0.0:0", "callers": None}, "beyond this machine the server needs callers"),
        ({"public_url": "https://team.example", "callers": None}, "needs callers"),
        ({"listen": "nowhere"}, "'nowhere' is no address to listen on"),
        ({"listen": "127.0.0.1:99999"}, "is no address to listen on"),
        ({"listen": "203.0.113.1:0"}, "cannot listen on 203.0.113.1:0"),
        ({"callers": Path("/nowhere/callers.toml")}, "cannot be read: No such file"),
        ({"data_dir": Path(__file__, "data")}, "data cannot be used: Not a directory"),
        ({"uploads": Path(__file__)}, "test_serve.py cannot be used: File exists"),
    ],
)
async def test_it_refuses_to_start_and_says_why(
    settings: Settings, changed: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigurationError, match=text) as refused:
        async with open_team_server(settings.model_copy(update=changed)):
            pass
    assert refused.value.help


@pytest.mark.parametrize("name", ["listen", "cluster_listen", "admin_listen"])
async def test_an_address_that_cannot_be_listened_on_is_told_with_its_setting(
    settings: Settings, name: str
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        for address, text in ((taken, "cannot listen on"), ("x", "no address to listen on")):
            with pytest.raises(ConfigurationError, match=text) as refused:
                async with open_team_server(settings.model_copy(update={name: address})):
                    pass
            assert f"(IH_MCP_{name.upper()})" in refused.value.what


async def test_a_tenant_without_its_key_is_told_and_others_are_served(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BETA_KEY", "ih_k")
    monkeypatch.delenv("ACME_KEY", raising=False)
    callers = tmp_path / "callers.toml"
    rows = '[tenants.acme]\napi_key_variable = "ACME_KEY"\n'
    rows += '[tenants.beta]\napi_key_variable = "BETA_KEY"\n'
    await anyio.Path(callers).write_text(rows + CALLERS)
    async with open_team_server(settings) as server:
        team = Team(server.url, server.app, settings)
        async with team.http("ann") as http:
            answer = await http.post("/mcp", content=json.dumps({}))
            error = answer.json()["ih_mcp"]["error"]
            assert (answer.status_code, error["code"]) == (503, "no_api_key")
            assert "ACME_KEY is not set" in error["what"]
        assert await start(team, "bob")


async def test_a_poll_looks_at_its_stream_meanwhile_only_where_its_caller_asked_for_progress(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a stream of another replica each look is a question to the database."""
    asked = list[object]()

    async def report(call: object) -> None:
        asked.append(call)

    async def on_progress(progress: float, total: float | None, message: str | None) -> None: ...

    monkeypatch.setattr("ih_mcp.mcp_server.event_tools._report_progress", report)
    async with team.client() as client:
        stream_id = said(await client.call_tool("start_stream", {"include": []}))["stream_id"]
        read = said(await client.call_tool("poll_events", {"stream_id": stream_id}))
        waiting = {"stream_id": stream_id, "cursor": read["next_cursor"], "wait_s": 0.1}
        await client.call_tool("poll_events", waiting)
        assert asked == []
        await client.call_tool("poll_events", waiting, progress_callback=on_progress)
        assert len(asked) == 1
        await client.call_tool("end_stream", {"stream_id": stream_id})


async def test_a_stream_of_another_server_is_answered_with_what_helps_callers_of_servers(
    team: Team,
) -> None:
    """Two servers of one folder, without a database: only the first one carries the stream."""
    async with open_team_server(team.settings) as server:
        other = Team(server.url, server.app, team.settings)
        stream_id = await start(team)
        async with other.client() as client:
            refused = await client.call_tool("end_stream", {"stream_id": stream_id})
            assert said(refused)["code"] == "elsewhere"
            text = str(refused.content[0])
            assert said(
                await client.call_tool("poll_events", {"stream_id": stream_id, "wait_s": 0})
            )
        async with other.http() as http:
            put = await http.put(f"/streams/{stream_id}/segments/1", content=webm_header())
        assert (put.status_code, put.json()["ih_mcp"]["error"]["code"]) == (409, "elsewhere")
        for said_there in (text, put.text):
            assert "Another server has it" in said_there
            assert "IH_MCP_CLUSTER_LISTEN" in said_there
            assert "client that started the stream" not in said_there
    async with team.client() as client:
        assert said(await client.call_tool("end_stream", {"stream_id": stream_id}))["ended"]


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a file that is always full")
async def test_a_full_disk_is_an_answer_to_who_sends_a_file(
    own_team: Team, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with own_team.http() as http:
        assert (await http.put("/files/kept.mp4", content=b"video")).status_code == 201
        monkeypatch.setattr("ih_mcp.http_server.files._create", lambda _: FULL.open("wb"))
        refused = await http.put("/files/talk.mp4", content=b"v" * 100_000)
        error = refused.json()["ih_mcp"]["error"]
        assert (refused.status_code, error["code"], error["retry"]) == (507, "no_space", True)
        assert error["what"] == "the disk of the server is full"
        monkeypatch.undo()
        assert (await http.put("/files/talk.mp4", content=b"video")).status_code == 201
        assert (await http.delete("/files/kept.mp4")).status_code == 200
    assert not [each for each in caplog.records if each.exc_info]


async def test_a_tenant_whose_folder_cannot_be_used_is_told_and_others_are_served(
    own_team: Team, caplog: pytest.LogCaptureFixture
) -> None:
    folders = own_team.settings.data_dir / "tenants"
    folders.mkdir(parents=True)
    (folders / "acme").write_text("no folder")
    async with own_team.http() as http, own_team.http("bob") as other:
        for method, path in (("PUT", "/files/a.mp4"), ("POST", "/mcp"), ("DELETE", "/files/a.mp4")):
            refused = await http.request(method, path, json={})
            error = refused.json()["ih_mcp"]["error"]
            assert (refused.status_code, error["code"]) == (503, "journal_failed")
            assert error["what"].endswith("the folder of this tenant: Not a directory")
            assert str(folders) not in refused.text
        assert (await other.put("/files/a.mp4", content=b"video")).status_code == 201
        files = folders / "beta" / "files"
        (files / "a.mp4").unlink()
        files.rmdir()
        gone = await other.put("/files/a.mp4", content=b"video")
        assert (gone.status_code, "No such file" in gone.text) == (503, True)
    assert not [each for each in caplog.records if each.exc_info]
