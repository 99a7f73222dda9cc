"""Resources, prompts and skills, as clients of both eras read them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from mcp import Client
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError
from mcp_types import GetPromptResult, RequestParams, TextContent, TextResourceContents

from ih_mcp.app.runtime import Runtime, open_runtime
from ih_mcp.journal import open_journal
from ih_mcp.mcp_server.server import make_server
from ih_mcp.mcp_server.skills import SkillParams, _get, _list
from ih_mcp.settings import read_settings
from tests.road.host import REPOSITORY

Era = Literal["auto", "legacy", "2026-07-28"]
ERAS: tuple[Era, ...] = ("legacy", "2026-07-28")
MESSAGES = ['{"type" :  "session.ready"}', '{"type":"x","n":1.0}', "not json"]


@asynccontextmanager
async def client(
    tmp_path: Path, era: Era = ERAS[1], stream_id: str = "st_a"
) -> AsyncIterator[Client]:
    """A server that knows one stream, with `MESSAGES`."""

    @asynccontextmanager
    async def lifespan(_: MCPServer[Runtime]) -> AsyncIterator[Runtime]:
        settings = read_settings(endpoint="local", data_dir=tmp_path)
        async with open_runtime(settings) as runtime:
            log = await runtime.journal.begin(stream_id, {"state": "ended"})
            for text in MESSAGES:
                log.append(text, leg=0)
            await log.write_record({"state": "ended"}, ended=True)
            runtime.journal.release(log)
            yield runtime

    async with Client(make_server(lifespan), mode=era) as opened:
        yield opened


async def read(opened: Client, uri: str) -> str:
    (content,) = (await opened.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    return content.text


@pytest.mark.parametrize("era", ERAS)
async def test_messages_are_read_as_lines_just_as_they_came(era: Era, tmp_path: Path) -> None:
    async with client(tmp_path, era) as opened:
        assert (await read(opened, "ih://streams/st_a/messages")).splitlines() == MESSAGES
        second = await read(opened, "ih://streams/st_a/messages?cursor=1&limit=1")
        streams = json.loads(await read(opened, "ih://streams"))["streams"]
    assert second.splitlines() == MESSAGES[1:2]
    assert [(stream["stream_id"], stream["state"]) for stream in streams] == [("st_a", "ended")]


async def test_each_server_of_a_process_reads_its_own_streams_alone(tmp_path: Path) -> None:
    async with (
        client(tmp_path / "a", stream_id="st_a") as one,
        client(tmp_path / "b", stream_id="st_b") as other,
    ):
        for opened, stream_id in ((one, "st_a"), (other, "st_b"), (one, "st_a")):
            listed = json.loads(await read(opened, "ih://streams"))["streams"]
            lines = (await read(opened, f"ih://streams/{stream_id}/messages")).splitlines()
            assert ([stream["stream_id"] for stream in listed], lines) == ([stream_id], MESSAGES)
            json.loads(await read(opened, f"ih://streams/{stream_id}/timeline"))
        for opened, stream_id in ((one, "st_b"), (other, "st_a")):
            with pytest.raises(MCPError):
                await read(opened, f"ih://streams/{stream_id}/messages")


async def test_an_unknown_stream_is_an_error_of_the_protocol(tmp_path: Path) -> None:
    async with client(tmp_path) as opened:
        with pytest.raises(MCPError) as wrong:
            await read(opened, "ih://streams/st_b/messages")
    assert wrong.value.error.code == -32602


@pytest.mark.parametrize("uri", ["ih://streams?limit=all", "ih://streams/st_a/messages?cursor=1.5"])
async def test_a_number_that_is_none_is_told(
    uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with client(tmp_path) as opened:
        with pytest.raises(MCPError, match="is no whole number: '"):
            await read(opened, uri)
    assert "Traceback" not in caplog.text


async def test_the_prompts_name_what_was_asked(tmp_path: Path) -> None:
    async with client(tmp_path) as opened:
        names = [prompt.name for prompt in (await opened.list_prompts()).prompts]
        asked = {"path": "/v/talk.mp4", "question": "When did they hesitate?"}
        result = await opened.get_prompt("analyse_recording", asked)
    assert names == ["analyse_recording", "coach_live"]
    assert isinstance(result, GetPromptResult)
    (message,) = result.messages
    assert isinstance(message.content, TextContent)
    assert "/v/talk.mp4" in message.content.text
    assert "When did they hesitate?" in message.content.text


_FOLDER = REPOSITORY / "skills"
_FILES = {
    f"skill://{path.relative_to(_FOLDER).as_posix()}": path.read_bytes()
    for path in _FOLDER.rglob("*.md")
}


def files() -> dict[str, bytes]:
    return _FILES


@pytest.mark.parametrize("era", ERAS)
async def test_every_file_of_every_skill_is_a_resource(era: Era, tmp_path: Path) -> None:
    async with client(tmp_path, era) as opened:
        found = [str(found.uri) for found in (await opened.list_resources()).resources]
        listed = [uri for uri in found if uri.startswith("skill://")]
        texts = {uri: await read(opened, uri) for uri in files()}
    assert set(listed) == set(files())
    assert texts == {uri: data.decode() for uri, data in files().items()}


async def test_a_skill_is_listed_with_a_digest_of_each_file() -> None:
    answer = await _list(None, RequestParams())
    listed: list[dict[str, Any]] = answer.pop("skills")
    said = {"resultType": "complete", "ttlMs": 3_600_000, "cacheScope": "public"}
    assert (answer, len(listed)) == (said, 5)
    for skill in listed:
        assert skill["uri"] == f"skill://{skill['frontmatter']['name']}/SKILL.md"
        assert await _get(None, SkillParams(uri=skill["uri"])) == {"skill": skill} | said
    told = {row["uri"]: (row["digest"], row["size"]) for s in listed for row in s["resources"]}
    assert told == {
        uri: (f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))
        for uri, data in files().items()
    }


async def test_an_unknown_skill_is_refused() -> None:
    with pytest.raises(MCPError, match="no such skill"):
        await _get(None, SkillParams(uri="skill://nobody/SKILL.md"))


async def test_the_extension_is_declared_to_clients_that_can_see_it(tmp_path: Path) -> None:
    async with client(tmp_path, "auto") as opened:
        extensions = opened.server_capabilities.extensions
    assert extensions is not None
    assert "io.modelcontextprotocol/skills" in extensions


async def test_a_message_with_a_line_break_is_told_apart_in_the_resource(tmp_path: Path) -> None:
    async with client(tmp_path) as opened, open_journal(tmp_path) as journal:
        log = await journal.begin("st_lines", {"state": "open"})
        for body in ('{"a":1}', '{\n"b":2}', b"\x00\xff"):
            log.append(body, leg=0)
        await log.flush()
        read = await opened.read_resource("ih://streams/st_lines/messages")
    text = read.contents[0].text  # type: ignore[union-attr]
    assert text == '{"a":1}\n\x1e8\n{\n"b":2}\nAP8=\n'
