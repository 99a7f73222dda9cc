"""T7: what belongs to another tenant is as unknown as what never was: in words, and in statements.

The calls are made from the lists that the server gives. A foreign caller makes each of them twice,
with the name of something that another tenant has, and with a name that never was: the answers are
the same, and so are the statements that the database is asked, which is what takes time.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp_types.methods import SPEC_CLIENT_METHODS
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from ih_mcp.http_server.app import TeamApp
from ih_mcp.http_server.serve import open_team_server
from ih_mcp.standin.server.serve import RunningStandin
from tests.postgres import own_schema
from tests.reliability.budget import report
from tests.streams.test_all_or_nothing import cluster, webm_header

from .conftest import KEYS, Team, make_settings, said

psycopg = pytest.importorskip("psycopg", reason="the extra `team` is not installed")
pytestmark = pytest.mark.timeout(90)

NAMES = {
    "stream_id": ("live stream", "stream that is over"),
    "analysis_id": ("analysis",),
    "path": ("file",),
    "name": ("file",),
}
"""What an argument names, where it names something that a tenant has."""
OTHERS = {
    *("include", "goal_dimensions", "model", "api", "sample_rate", "label", "conversation_context"),
    *("data_base64", "seq", "pace", "cursor", "until", "wait_s", "limit", "max_chars", "format"),
    *("kind", "scopes", "expires_in", "max_duration_seconds", "max_bytes", "max_concurrent"),
    *("max_video_seconds", "allowed_origins"),
}
"""Arguments that name nothing of a tenant."""
BESIDE: dict[str, dict[str, Any]] = {
    "configure_stream": {"include": []},
    "push_segment": {"seq": 1, "data_base64": "AAAA"},
}
"""What a call needs beside the name to come as far as looking for it."""
IS_FOREIGN = ContextVar("IS_FOREIGN", default=False)
"""Whether what runs was begun by a request of a foreign caller, also in a thread."""
_MADE_BY_CHANCE = re.compile(r"(?<=/uploads/)[\w-]+|[0-9a-f]{64}")
"""Secrets of uploads, and their digests."""


class Statements:
    """What the database is asked by the requests of a foreign caller, and not beside them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._asked = list[str]()
        execute, serve_request = psycopg.Cursor.execute, TeamApp.__call__

        def execute_noting(cursor: Any, query: Any, *given: Any, **more: Any) -> Any:
            if IS_FOREIGN.get():
                self._asked.append(query if isinstance(query, str) else query.as_string(cursor))
            return execute(cursor, query, *given, **more)

        async def serve_noting(app: TeamApp, scope: Scope, receive: Receive, send: Send) -> None:
            anns = f"Bearer {KEYS['ann']}"
            IS_FOREIGN.set(Headers(scope=scope).get("authorization") != anns)
            await serve_request(app, scope, receive, send)

        monkeypatch.setattr(psycopg.Cursor, "execute", execute_noting)
        monkeypatch.setattr(TeamApp, "__call__", serve_noting)

    @contextmanager
    def noted(self) -> Iterator[list[str]]:
        """The statements while this block is open, in order."""
        before, found = len(self._asked), list[str]()
        yield found
        found += self._asked[before:]


@dataclass
class Foreign:
    """What ann has, and bob, who looks for it."""

    team: Team
    statements: Statements
    client: Client
    """Of bob."""
    has: dict[str, str]
    never: dict[str, str]

    async def ask_twice(
        self, kind: str, ask: Callable[[str], Awaitable[object]]
    ) -> tuple[list[str], list[list[str]]]:
        """Answers for what is another's and for what never was, and the statements."""
        answers, asked = list[str](), list[list[str]]()
        for name in (self.has[kind], self.never[kind]):
            with self.statements.noted() as found:
                answer = str(await ask(name))
            answers.append(_unnamed(answer, name))
            asked.append([_unnamed(text, name) for text in found])
        return answers, asked


def _unnamed(text: str, name: str) -> str:
    return _MADE_BY_CHANCE.sub("CHANCE", text.replace(name, "NAME"))


@pytest.fixture(scope="module")
async def foreign(
    service: RunningStandin,
    postgres_server: str,
    tmp_path_factory: pytest.TempPathFactory,
    short_clip: Path,
) -> AsyncIterator[Foreign]:
    """One for all tests of this module, which change nothing."""
    async with AsyncExitStack() as stack:
        database = stack.enter_context(own_schema(postgres_server))
        monkeypatch = stack.enter_context(pytest.MonkeyPatch.context())
        for name in ("leases.RENEW_SECONDS", "leases.HOLD_SECONDS", "wakeups.LOOK_SECONDS"):
            monkeypatch.setattr(f"ih_mcp.journal.postgres.{name}", 10**6)
        statements = Statements(monkeypatch)
        settings = make_settings(service, tmp_path_factory.mktemp("unknown"), journal=database)
        server = await stack.enter_async_context(open_team_server(settings))
        team = Team(server.url, server.app, settings)
        has = await _fill(team, short_clip)
        await server.app.tenant_of("beta")  # what goes on there is of no request
        client = await stack.enter_async_context(team.client("bob"))
        ids = ("live stream", "stream that is over")
        never = dict.fromkeys(ids, f"st_{'0' * 32}") | {
            "analysis": f"{has['analysis'].partition('_')[0]}_{'0' * 32}",
            "file": "never.mp4",
            "upload ticket": "n" * len(has["upload ticket"]),
        }
        yield Foreign(team, statements, client, has, never)
        async with team.client() as ann:
            await ann.call_tool("end_stream", {"stream_id": has["live stream"]})


async def _fill(team: Team, clip: Path) -> dict[str, str]:
    """Something of each kind that a tenant can have; a ticket that was used is nobody's."""
    async with team.client() as client, team.http() as http:

        async def ask(tool: str, **arguments: Any) -> dict[str, Any]:
            return said(await client.call_tool(tool, arguments))

        video = await anyio.Path(clip).read_bytes()
        assert (await http.put("/files/secret.mp4", content=video)).is_success
        streams = [(await ask("start_stream", include=[]))["stream_id"] for _ in range(2)]
        for stream_id in streams:
            path = f"/streams/{stream_id}/segments/1"
            assert (await http.put(path, content=webm_header() + cluster(0))).is_success
        await ask("end_stream", stream_id=streams[1])
        analysis = (await ask("analyze_file", path="secret.mp4"))["analysis_id"]
        while (await ask("get_analysis", analysis_id=analysis, wait_s=20))["state"] != "ended":
            pass
        put_url = (await ask("upload_file", name="used.mp4"))["put_url"]
        assert (await http.put(put_url, content=b"video")).status_code == 201
        return {
            "live stream": streams[0],
            "stream that is over": streams[1],
            "analysis": analysis,
            "file": "secret.mp4",
            "upload ticket": put_url.rpartition("/")[2],
        }


async def test_t7_every_tool_knows_nothing_of_what_another_tenant_has(foreign: Foreign) -> None:
    calls = 0
    for tool in (await foreign.client.list_tools()).tools:
        arguments = set(tool.input_schema["properties"])
        assert arguments <= NAMES.keys() | OTHERS, f"{tool.name}: say what an argument names"
        for argument in sorted(arguments & NAMES.keys()):
            for kind in NAMES[argument]:
                given = {
                    other: foreign.never[NAMES[other][0]]
                    for other in tool.input_schema.get("required", ())
                    if other in NAMES
                } | BESIDE.get(tool.name, {})
                if tool.name == "push_segment" and argument == "path":
                    del given["data_base64"]

                async def ask(name: str, tool: str = tool.name, given: Any = given) -> str:
                    result = await foreign.client.call_tool(tool, given | {argument: name})  # noqa: B023 - called at once
                    return f"{result.is_error} {result.content}"

                answers, asked = await foreign.ask_twice(kind, ask)
                assert answers[0] == answers[1], (tool.name, kind)
                assert asked[0] == asked[1], (tool.name, kind)
                assert asked[0] or kind == "file", tool.name  # files are no rows
                calls += 1
    assert calls >= 15
    report("T7", "test_unknown.py", f"{calls} calls of tools: same words, same statements")


async def test_t7_every_resource_knows_nothing_of_what_another_tenant_has(
    foreign: Foreign,
) -> None:
    templates = (await foreign.client.list_resource_templates()).resource_templates
    uris = [re.sub(r"\{\?.*\}", "", each.uri_template) for each in templates]
    named = [uri for uri in uris if "{" in uri]
    assert len(named) >= 2
    for uri in named:
        (argument,) = re.findall(r"\{(\w+)\}", uri)
        for kind in NAMES[argument]:

            async def read(name: str, uri: str = uri, argument: str = argument) -> str:
                with pytest.raises(Exception, match="stream") as unknown:
                    await foreign.client.read_resource(uri.replace(f"{{{argument}}}", name))
                return str(unknown.value)

            async def watch(name: str, uri: str = uri, argument: str = argument) -> None:
                address = uri.replace(f"{{{argument}}}", name)
                async with foreign.client.listen(resource_subscriptions=[address]):
                    pass

            for ask in (read, watch):
                answers, asked = await foreign.ask_twice(kind, ask)
                assert answers[0] == answers[1], (uri, kind)
                assert asked[0] == asked[1], (uri, kind)
    listed = str([await foreign.client.read_resource(uri) for uri in uris if "{" not in uri])
    assert not [name for name in foreign.has.values() if name in listed]
    report("T7", "test_unknown.py", f"{len(named)} resources read and watched: the same")


async def test_t7_every_path_knows_nothing_of_what_another_tenant_has(foreign: Foreign) -> None:
    """A ticket is a key by itself, and what it was for is known to nobody once it was used."""
    media = webm_header() + cluster(0)
    paths = {
        ("PUT", "/streams/{}/segments/1", "bob"): ("live stream", "stream that is over"),
        ("DELETE", "/files/{}", "bob"): ("file",),
        ("GET", "/uploads/{}", None): ("upload ticket",),
        ("PUT", "/uploads/{}", None): ("upload ticket",),
    }
    for (method, path, caller), kinds in paths.items():
        for kind in kinds:

            async def ask(
                name: str, method: str = method, path: str = path, caller: str | None = caller
            ) -> str:
                async with foreign.team.http(caller) as http:
                    body = media if method == "PUT" else None
                    answer = await http.request(method, path.format(name), content=body)
                    assert answer.status_code >= 400
                headers = {k: v for k, v in answer.headers.items() if k != "date"}
                headers.pop("content-length", None)  # an answer may repeat the name
                return f"{answer.status_code} {json.dumps(headers)} {answer.text}"

            answers, asked = await foreign.ask_twice(kind, ask)
            assert answers[0] == answers[1], (method, path, kind)
            assert asked[0] == asked[1], (method, path, kind)
    report("T7", "test_unknown.py", f"{len(paths)} paths: same words, same statements")


async def test_t7_every_method_of_the_protocol_knows_nothing_of_what_another_tenant_has(
    foreign: Foreign,
) -> None:
    """Also those that this server does not have, such as completion, with the name wherever."""
    asked_for = 0
    async with foreign.team.http("bob") as http:
        for version in ("2025-11-25", "2026-07-28"):
            for method in sorted(SPEC_CLIENT_METHODS):

                async def ask(name: str, version: str = version, method: str = method) -> str:
                    headers, body = naming(name, version, method)
                    answer = await http.post("/mcp", headers=headers, json=body)
                    return f"{answer.status_code} {answer.text}"

                for kind in ("live stream", "analysis", "file"):
                    answers, asked = await foreign.ask_twice(kind, ask)
                    assert answers[0] == answers[1], (version, method, kind)
                    assert asked[0] == asked[1], (version, method, kind)
                    assert not [name for name in foreign.has.values() if name in answers[0]]
                asked_for += 1
    report("T7", "test_unknown.py", f"{asked_for} methods in two eras: same words, same statements")


def naming(name: str, version: str, method: str) -> tuple[dict[str, str], dict[str, Any]]:
    """A request of a method that has a name in whatever it may take."""
    uri = f"ih://streams/{name}/messages"
    named = "uri" if method.startswith("resources/") else "name"
    params: dict[str, Any] = {
        "uri": uri,
        "uris": [uri],
        "taskId": name,
        "cursor": name,
        "level": "info",
        "name": name,
        "arguments": {"stream_id": name, "path": name},
        "ref": {"type": "ref/resource", "uri": "ih://streams/{stream_id}/messages"},
        "argument": {"name": "stream_id", "value": name[:6]},
        "protocolVersion": version,
        "capabilities": {},
        "clientInfo": {"name": "x", "version": "1"},
    }
    meta = {
        "protocolVersion": version,
        "clientCapabilities": {},
        "clientInfo": params["clientInfo"],
    }
    if version == "2026-07-28":
        params["_meta"] = {f"io.modelcontextprotocol/{key}": value for key, value in meta.items()}
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": version,
        "mcp-method": method,
        "mcp-name": params[named],
    }
    return headers, {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
