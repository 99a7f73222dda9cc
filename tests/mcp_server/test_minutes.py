"""What a caller reads of minutes, and that only the person behind the host permits more."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import anyio
import pytest
from mcp import Client
from mcp.client.context import ClientRequestContext
from mcp.server.mcpserver import MCPServer
from mcp_types import (
    CallToolResult,
    ElicitRequestFormParams,
    ElicitRequestParams,
    ElicitResult,
    ErrorData,
    TextContent,
)

from ih_mcp.app.runtime import Runtime, open_runtime
from ih_mcp.mcp_server.server import make_server
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.settings import read_settings
from ih_mcp.standin.server.serve import RunningStandin, serve
from ih_mcp.wire.minutes import to_minutes
from tests.plain_http import plain_http
from tests.road.host import ERAS

pytestmark = pytest.mark.timeout(180)
MINUTES = 0.42  # of the clip


@dataclass
class Person:
    """The host, with the person in front of it."""

    answer: ElicitResult | ErrorData
    asked: list[str] = field(default_factory=list)
    forms: list[Mapping[str, Any]] = field(default_factory=list)
    progress: list[str] = field(default_factory=list)

    async def elicit(
        self,
        context: ClientRequestContext,  # noqa: ARG002 - of the SDK
        params: ElicitRequestParams,
    ) -> ElicitResult | ErrorData:
        assert isinstance(params, ElicitRequestFormParams)
        self.asked.append(params.message)
        self.forms.append(params.requested_schema)
        return self.answer

    async def report(
        self,
        progress: float,  # noqa: ARG002 - of the SDK
        total: float | None,  # noqa: ARG002
        message: str | None,
    ) -> None:
        self.progress.append(message or "")


@dataclass
class Caller:
    client: Client
    runtime: Runtime
    person: Person
    clip: Path

    async def call(self, tool: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
        """The text of an answer, and our status or the facts of an error."""
        result = await self.client.call_tool(tool, arguments, progress_callback=self.person.report)
        assert isinstance(result, CallToolResult)
        block = result.content[0]
        assert isinstance(block, TextContent)
        said = json.loads(block.text.splitlines()[-1])["ih_mcp"]
        return block.text, said.get("error", said)

    async def send(self, tool: str = "stream_file") -> tuple[str, dict[str, Any]]:
        return await self.call(tool, path=str(self.clip))

    async def streams(self) -> list[str]:
        return [row.id for row in await self.runtime.journal.list_streams()]


@pytest.fixture(scope="module")
async def running(ffmpeg: Ffmpeg) -> AsyncIterator[RunningStandin]:
    async with serve(ffmpeg=ffmpeg) as opened:
        yield opened


YES = ElicitResult(action="accept", content={"allow": True})
NO_ANSWERS = [
    ElicitResult(action="decline"),
    ElicitResult(action="cancel"),
    ElicitResult(action="accept", content={"allow": False}),
    ElicitResult(action="accept", content={}),
    ElicitResult(action="accept"),
    ElicitResult(action="accept", content={"allow": "true"}),
]


@asynccontextmanager
async def opened(
    url: str,
    folder: Path,
    clip: Path,
    *,
    era: Literal["legacy", "2026-07-28"] = "2026-07-28",
    answer: ElicitResult | None = None,
    limits: Mapping[str, float] = MappingProxyType({}),
) -> AsyncIterator[Caller]:
    """A client of a server with limits; `answer` is what the person says, where there is one."""
    settings = read_settings(
        endpoint=url,
        api_key="ih_k",
        data_dir=folder,
        media_dirs=str(clip.parent),
        **{
            f"{name}_minutes" if name == "ask_over" else f"max_minutes_{name}": value
            for name, value in limits.items()
        },
    )
    async with open_runtime(settings) as runtime:

        @asynccontextmanager
        async def lifespan(_: MCPServer[Runtime]) -> AsyncIterator[Runtime]:
            yield runtime

        person = Person(answer or YES)
        elicit = person.elicit if answer else None
        async with Client(make_server(lifespan), mode=era, elicitation_callback=elicit) as client:
            yield Caller(client, runtime, person, clip)


@pytest.mark.parametrize("era", ERAS)
async def test_the_person_is_asked_before_a_long_file_is_sent(
    running: RunningStandin, tmp_path: Path, dialogue: Path, era: Literal["legacy", "2026-07-28"]
) -> None:
    limits = {"ask_over": 0.2, "per_day": 1.0}
    async with opened(
        running.url, tmp_path, dialogue, era=era, answer=YES, limits=limits
    ) as caller:
        _, said = await caller.send()
        assert said["minutes"] == {"needed": MINUTES, "left_today": 0.58}
        assert len(caller.person.asked) == 1
        assert caller.person.asked[0] == (
            "dialogue.mp4: 0.42 minutes of media go to the service; 1 of 1 minutes are left today. "
            "More than 0.2 minutes need your permission. Send it?"
        )
        (form,) = caller.person.forms  # Codex cancels a form with any other key
        assert {*form} == {"type", "properties", "required"}
        assert form["required"] == [*form["properties"]] == ["allow"], "an empty form asks nobody"
        assert caller.person.progress[0].startswith("dialogue.mp4: 0.42 minutes of media go to")
        assert await caller.streams() == [said["stream_id"]]


@pytest.mark.parametrize("tool", ["stream_file", "analyze_file"])
@pytest.mark.parametrize("era", ERAS)
async def test_without_the_persons_permission_nothing_is_sent(
    running: RunningStandin,
    tmp_path: Path,
    dialogue: Path,
    era: Literal["legacy", "2026-07-28"],
    tool: str,
) -> None:
    async with opened(
        running.url, tmp_path, dialogue, era=era, answer=NO_ANSWERS[0], limits={"ask_over": 0.2}
    ) as caller:
        for answer in NO_ANSWERS:
            caller.person.answer = answer
            text, said = await caller.send(tool)
            assert said["code"] == "not_permitted"
            reason = (
                "nobody can be asked here, or nobody answered"
                if answer.action == "cancel"
                else "it was declined, by the person or by a host that runs without one"
            )
            assert reason in text
        assert len(caller.person.asked) == len(NO_ANSWERS)
        assert await caller.streams() == []


async def test_a_host_that_fails_to_ask_has_not_asked(
    running: RunningStandin, tmp_path: Path, dialogue: Path
) -> None:
    async with opened(
        running.url, tmp_path, dialogue, era="legacy", answer=YES, limits={"ask_over": 0.2}
    ) as caller:
        caller.person.answer = ErrorData(code=-32603, message="no window")
        text, said = await caller.send()
        assert said["code"] == "not_permitted"
        assert "nobody can be asked here, or nobody answered" in text


@pytest.mark.parametrize("era", ERAS)
async def test_a_host_that_cannot_ask_is_refused_and_a_model_cannot_answer(
    running: RunningStandin, tmp_path: Path, dialogue: Path, era: Literal["legacy", "2026-07-28"]
) -> None:
    async with opened(running.url, tmp_path, dialogue, era=era, limits={"ask_over": 0.2}) as caller:
        text, said = await caller.send()
        assert (said["code"], said["setting"]) == ("not_permitted", "IH_MCP_ASK_OVER_MINUTES")
        assert text.startswith(
            "dialogue.mp4: 0.42 minutes of media need a permission, as they are more than 0.2 "
            "minutes; nobody can be asked here, or nobody answered.\n"
        )
        for guess in ({"allow": True}, {"confirm": True}, {"permission": "yes"}):
            _, said = await caller.call("stream_file", path=str(dialogue), **guess)
            assert said["code"] == "bad_argument"
        assert await caller.streams() == []


@pytest.mark.parametrize("tool", ["stream_file", "analyze_file"])
@pytest.mark.parametrize("limit", ["per_day", "per_stream"])
async def test_what_exceeds_a_limit_is_refused_before_it_is_sent_and_nobody_is_asked(
    running: RunningStandin, tmp_path: Path, dialogue: Path, tool: str, limit: str
) -> None:
    async with opened(
        running.url, tmp_path, dialogue, answer=YES, limits={"ask_over": 0.0, limit: 0.4}
    ) as caller:
        text, said = await caller.send(tool)
        assert said["code"] == "minutes_used_up"
        assert said["left_minutes"] == 0.4
        assert text.startswith(
            "dialogue.mp4 was not sent: 0.42 minutes of media would exceed the limit of 0.4 min"
        )
        assert f"IH_MCP_MAX_MINUTES_{limit.upper()}" in text
        itself = "0.4 minutes a stream, which each stream and each upload has for itself: nothing"
        assert (itself in text) is (limit == "per_stream")
        assert caller.person.asked == []
        assert await caller.streams() == []


async def test_a_file_that_does_not_tell_its_length_is_measured_where_limits_are_set(
    running: RunningStandin, tmp_path: Path, dialogue: Path, ffmpeg: Ffmpeg
) -> None:
    clip = tmp_path / "recorded.webm"
    cut = (
        f"-y -v error -i {dialogue} -t 6 -c:v libvpx -threads 1 -deadline realtime -cpu-used 8 "
        "-b:v 100k -c:a libopus -live 1 -f webm pipe:1"
    )
    made = await anyio.run_process([str(ffmpeg.path), *cut.split()])
    await anyio.Path(clip).write_bytes(made.stdout)
    async with opened(running.url, tmp_path / "d", clip, limits={"per_day": 0.05}) as caller:
        for tool in ("stream_file", "analyze_file"):
            _, said = await caller.send(tool)
            assert said["code"] == "minutes_used_up"
            assert 0.1 <= said["needed_minutes"] <= 0.11


async def test_a_live_stream_begins_and_has_its_limit_where_nobody_permits_more(
    running: RunningStandin, tmp_path: Path, dialogue: Path
) -> None:
    async with opened(
        running.url, tmp_path, dialogue, answer=YES, limits={"ask_over": 5.0}
    ) as caller:
        limits = []
        for answer in (YES, NO_ANSWERS[0]):
            caller.person.answer = answer
            _, said = await caller.call("start_stream", include=[])
            stream = caller.runtime.registry.live(said["stream_id"])
            limits.append([limit.setting for limit in stream.plan.budget.limits])
        assert limits == [[], ["IH_MCP_ASK_OVER_MINUTES"]]
        assert (
            "to go on for more than 5 minutes; without it, it ends there"
            in (caller.person.asked[0])
        )


async def test_status_and_list_say_what_was_delivered_analysed_and_dropped(
    running: RunningStandin, tmp_path: Path, short_clip: Path
) -> None:
    async with opened(running.url, tmp_path, short_clip) as caller:
        _, said = await caller.send()
        stream = caller.runtime.registry.live(said["stream_id"])
        await stream.until(lambda: False)
        _, listed = await caller.call("list_streams")
        _, alone = await caller.call("list_streams", stream_id=stream.id)
        use = stream.use
        assert alone["usage"] == listed["streams"][0]["usage"] == use.to_json()
        billed = running.recorder.sessions[-1].billed.seconds
        assert use.analysed_seconds == pytest.approx(billed, abs=0.5)  # by frames, and by times
        _, found = await caller.call("check_setup")
        used = to_minutes(use.counted_seconds, up=True)
        assert found["minutes"] == f"{used:g} used today, no limit"
        sent = to_minutes(use.delivered_seconds, up=True)
        assert alone["minutes_sent"] == listed["streams"][0]["minutes_sent"] == sent
        analysed = to_minutes(use.analysed_seconds, up=True)
        assert alone["minutes_analysed"] == listed["streams"][0]["minutes_analysed"] == analysed
        assert alone["billing"] == listed["billing"]
        assert "bills minutes_analysed" in listed["billing"]
        assert listed["minutes"] == {
            "sent_today": sent, "analysed_today": analysed, "used_today": used, "reserved_today": 0
        }  # fmt: skip


async def test_what_a_file_still_has_to_send_is_reserved_and_not_used(
    running: RunningStandin, tmp_path: Path, dialogue: Path
) -> None:
    async with opened(running.url, tmp_path, dialogue, limits={"per_day": 10.0}) as caller:
        file = {"path": str(dialogue), "pace": "realtime"}
        _, said = await caller.call("stream_file", **file)
        stream = caller.runtime.registry.live(said["stream_id"])
        minutes = (await caller.call("list_streams"))[1]["minutes"]
        assert minutes["reserved_today"] > 0
        assert minutes["used_today"] + minutes["reserved_today"] == pytest.approx(0.42, abs=0.02)
        assert minutes["left_today"] == pytest.approx(10 - 0.42, abs=0.01)
        _, found = await caller.call("check_setup")
        assert "reserved for files that are being sent" in found["minutes"]
        await caller.call("end_stream", stream_id=stream.id, wait_s=20)
        minutes = (await caller.call("list_streams"))[1]["minutes"]
        assert minutes["reserved_today"] == 0
        assert minutes["used_today"] == to_minutes(stream.use.counted_seconds, up=True)


async def test_an_upload_counts_what_its_file_has(
    running: RunningStandin, tmp_path: Path, short_clip: Path
) -> None:
    before = await billed_uploads(running.url)
    async with opened(running.url, tmp_path, short_clip, limits={"per_day": 10.0}) as caller:
        _, said = await caller.send("analyze_file")
        assert said["minutes"]["needed"] + said["minutes"]["left_today"] == pytest.approx(10)
        await caller.runtime.analyses.wait(said["analysis_id"])
        _, done = await caller.call("get_analysis", analysis_id=said["analysis_id"])
        assert done["usage"]["dropped_s"] == 0
        assert done["usage"]["analysed_s"] == done["usage"]["delivered_s"]
        billed = await billed_uploads(running.url) - before
        assert done["usage"]["analysed_s"] == pytest.approx(billed, abs=0.5)
        _, listed = await caller.call("list_streams")
        assert listed["analyses"][0]["usage"] == done["usage"]
        assert listed["analyses"][0]["minutes_analysed"] == done["minutes_analysed"]
        assert (
            listed["analyses"][0]["minutes_sent"]
            == done["minutes_sent"]
            == pytest.approx(0.1, abs=0.02)
        )


async def billed_uploads(url: str) -> float:
    """What the meter of the stand-in says."""
    async with plain_http(base_url=url, headers={"Authorization": "Bearer ih_k"}) as http:
        answer = await http.get("/standin/billing")
    return float(answer.json()["upload_seconds"])


async def test_a_token_counts_what_others_may_send_with_it(
    running: RunningStandin, tmp_path: Path, dialogue: Path
) -> None:
    async with opened(running.url, tmp_path, dialogue, limits={"per_day": 10.0}) as caller:
        text, said = await caller.call("create_token")
        assert said["code"] == "token_uncapped"
        assert "Give max_video_seconds" in text
        _, said = await caller.call("create_token", max_video_seconds=540)
        assert said["kind"] == "client"
        text, said = await caller.call("create_token", max_video_seconds=61)
        assert (said["code"], said["left_minutes"]) == ("minutes_used_up", 1)
        _, said = await caller.call("create_token", max_video_seconds=60, scopes=["no"])
        assert said["code"] != "minutes_used_up"  # refused: its minutes are free again
        assert await caller.runtime.minutes.left() == pytest.approx(60)
