from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from ih_mcp.errors import IhMcpError, JournalError, PathError, TransportError, UnknownStreamError
from ih_mcp.journal import Journal, Retention, StreamLog, open_journal
from ih_mcp.net import rest
from ih_mcp.net.rest import Reply
from ih_mcp.net.token import FixedCredential
from ih_mcp.stand_in import NAMED_MODEL, STAND_IN
from ih_mcp.streams.uploads import (
    UploadRegistry,
    UploadRequest,
    longer_pause,
    open_analyses,
)
from ih_mcp.wire.minutes import MediaUse
from ih_mcp.wire.refusal import refusal_error
from ih_mcp.wire.rest import UPLOADS
from tests.facts import shows

JOB = '{"job_id":"j1", "status" : "%s" ,"x":1.0,"x":2e1}'
KEY = FixedCredential("ih_test")


async def find_service() -> tuple[str, FixedCredential]:
    return "http://h", KEY


async def unreachable() -> tuple[str, FixedCredential]:
    raise AssertionError("what is kept is read without a key")


class Service:
    """Gives these answers in order: a body, or an error to raise."""

    def __init__(self, *answers: str | IhMcpError) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.is_stand_in = False
        self.waits = anyio.Event()
        """Set when there is no answer left, and the caller waits."""

    @asynccontextmanager
    async def open(self, _: str) -> AsyncIterator[Service]:
        yield self

    async def upload(
        self,
        path: str,
        source: Path,
        form: Sequence[tuple[str, str]],
        *,
        bearer: str,
        on_read: Callable[[int], None],
    ) -> Reply:
        on_read(700)
        assert (source.name, bearer) == ("a.mp4", "ih_test")
        assert form == []
        return await self.get(path, bearer=bearer)

    async def get(self, path: str, *, bearer: str) -> Reply:
        assert bearer == "ih_test"
        self.asked.append(path)
        if not self.answers:
            self.waits.set()
            await anyio.sleep_forever()
        answer = self.answers.pop(0)
        if isinstance(answer, IhMcpError):
            raise answer
        return Reply(200, answer.encode(), is_stand_in=self.is_stand_in)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    made = Service()
    monkeypatch.setattr(rest, "open_rest", made.open)
    return made


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[Journal, UploadRegistry]]:
    retention = Retention(orphaned={"state": "failed", "reason": "host_stopped"})
    async with open_journal(folder, retention) as journal:
        await journal.clean_up()
        async with open_analyses(journal, poll_seconds=0.01) as analyses:
            with anyio.fail_after(10):
                yield journal, analyses


async def start(analyses: UploadRegistry, api: str) -> str:
    request = UploadRequest(upload=UPLOADS[api], source=Path("a.mp4"), form=[])
    return (await analyses.start(request, base_url="http://h", credential=KEY)).id


async def result(
    journal: Journal, analyses: UploadRegistry, analysis_id: str
) -> tuple[object, ...]:
    await analyses.wait(analysis_id)
    facts = await analyses.resume(analysis_id, find_service)
    page = await journal.read_page(analysis_id, 0, limit=9, max_chars=10**6)
    return facts["state"], facts.get("reason"), [entry.body for entry in page.entries]


async def test_a_synchronous_answer_is_kept_byte_for_byte(tmp_path: Path, service: Service) -> None:
    odd = '{ "signals" :[ ],"a":1.0,"a":"\\u00e9é"\n}'
    service.answers = [odd]
    async with opened(tmp_path) as (journal, analyses):
        analysis_id = await start(analyses, "v1")
        assert await result(journal, analyses, analysis_id) == ("ended", None, [odd])
        (entry,) = (await journal.read_page(analysis_id, 0, limit=9, max_chars=10**6)).entries
        assert (entry.cursor, entry.leg) == (1, 0)
    assert service.asked == ["/v1/upload/analyze"]


@shows("busy-jobs")
async def test_a_job_is_asked_for_until_it_is_settled_also_while_the_service_is_busy(
    tmp_path: Path, service: Service
) -> None:
    busy = refusal_error("GET", error_id="ih1002", status=503)
    service.answers = [
        JOB % "queued",
        JOB % "running",
        busy,
        refusal_error("GET", error_id="ih1003", status=503),
        TransportError("lost", retry=True),
        JOB % "completed",
    ]
    async with opened(tmp_path) as (journal, analyses):
        analysis_id = await start(analyses, "v2")
        done = await result(journal, analyses, analysis_id)
    assert done == ("ended", None, [JOB % "completed"])
    assert service.asked == ["/v2/upload/analyze"] + ["/v2/upload/jobs/j1"] * 5


@pytest.mark.parametrize(
    ("retry_after", "pause", "seconds"),
    [(None, 2, 4), (None, 20, 30), ("45", 2, 45), ("1", 2, 4), ("9999", 2, 600), ("soon", 2, 4)],
)
def test_a_busy_service_is_left_alone_as_long_as_it_asks(
    retry_after: str | None, pause: float, seconds: float
) -> None:
    busy = refusal_error("GET", error_id="ih3002", status=429, retry_after=retry_after)
    assert longer_pause(pause, busy) == seconds


async def test_a_failed_job_is_told_and_its_json_kept(tmp_path: Path, service: Service) -> None:
    body = '{"job_id":"j1","status":"failed","error":{"error_id":"ih1004","message":"x"}}'
    service.answers = [body]
    async with opened(tmp_path) as (journal, analyses):
        analysis_id = await start(analyses, "v2")
        assert await result(journal, analyses, analysis_id) == ("failed", "ih1004", [body])
        facts = await analyses.resume(analysis_id, find_service)
    error = facts["error"]
    assert isinstance(error, dict)
    assert (error["help"], error["retry"]) == ("Submit the file again.", True)


@shows("gone-jobs")
async def test_a_job_that_is_gone_is_told(tmp_path: Path, service: Service) -> None:
    service.answers = [JOB % "queued", refusal_error("GET", error_id="ih4021", status=404)]
    async with opened(tmp_path) as (journal, analyses):
        analysis_id = await start(analyses, "v2")
        assert await result(journal, analyses, analysis_id) == ("failed", "refused", [])


async def test_a_job_goes_on_in_a_later_process(tmp_path: Path, service: Service) -> None:
    service.answers = [JOB % "queued"]
    async with opened(tmp_path) as (journal, analyses):
        analysis_id = await start(analyses, "v2")
        await service.waits.wait()
    service.answers = [JOB % "completed"]
    async with opened(tmp_path) as (journal, analyses):
        facts = await analyses.resume(analysis_id, find_service)
        assert facts["state"] == "running"
        done = await result(journal, analyses, analysis_id)
    assert done == ("ended", None, [JOB % "completed"])


async def test_a_job_goes_on_once_however_many_ask_for_it(tmp_path: Path, service: Service) -> None:
    service.answers = [JOB % "queued"]
    async with opened(tmp_path) as (journal, analyses):
        analysis_id = await start(analyses, "v2")
        await service.waits.wait()
    service.answers = [JOB % "completed"]
    del service.asked[:]
    async with opened(tmp_path) as (journal, analyses):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(analyses.resume, analysis_id, find_service)
        done = await result(journal, analyses, analysis_id)
        again = await analyses.resume(analysis_id, unreachable)
    assert done == ("ended", None, [JOB % "completed"])
    assert again["state"] == "ended"
    assert service.asked == ["/v2/upload/jobs/j1"]


async def test_a_service_that_does_not_answer_is_told_while_its_job_is_waited_for(
    tmp_path: Path, service: Service
) -> None:
    service.answers = [JOB % "queued", TransportError("lost", help="Wait.", retry=True)]
    async with opened(tmp_path) as (journal, analyses):
        analysis_id = await start(analyses, "v2")
        await service.waits.wait()
        facts = dict(await analyses.resume(analysis_id, unreachable))
        assert (facts["state"], facts.get("reason")) == ("running", None)
        error = facts["error"]
        assert isinstance(error, dict)
        assert (error["what"], error["help"]) == ("lost", "Wait.")
    service.answers = [JOB % "completed"]
    async with opened(tmp_path) as (journal, analyses):
        await analyses.resume(analysis_id, find_service)
        done = await result(journal, analyses, analysis_id)
        kept = await analyses.resume(analysis_id, unreachable)
    assert done == ("ended", None, [JOB % "completed"])
    assert "error" not in kept


async def test_a_running_job_is_shown_only_once_its_id_is_kept(
    tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.answers = [JOB % "queued"]
    shown: list[object] = []
    async with opened(tmp_path) as (_, analyses):
        write_record = StreamLog.write_record

        async def watch(
            log: StreamLog, record: Mapping[str, object], *, ended: bool = False
        ) -> None:
            facts = await analyses.resume(log.stream_id, find_service)
            shown.append((facts["state"], record["state"]))
            await write_record(log, record, ended=ended)

        monkeypatch.setattr(StreamLog, "write_record", watch)
        await start(analyses, "v2")
        await service.waits.wait()
    assert shown[0] == ("sending", "running")


async def test_an_upload_without_a_job_does_not_go_on_and_says_so(
    tmp_path: Path, service: Service
) -> None:
    async with opened(tmp_path) as (journal, analyses):
        analysis_id = await start(analyses, "v1")
        await service.waits.wait()
    async with opened(tmp_path) as (journal, analyses):
        assert await result(journal, analyses, analysis_id) == ("failed", "host_stopped", [])
        row = await journal.find_stream(analysis_id)
        assert json.loads(row.record)["source"] == "a.mp4"


async def test_uploads_are_listed_newest_first(tmp_path: Path, service: Service) -> None:
    service.answers = ["{}"]
    async with opened(tmp_path) as (_, analyses):
        assert await analyses.records(newest=9) == {}
        first = await start(analyses, "v1")
        await analyses.wait(first)
        second = await start(analyses, "v1")
        await service.waits.wait()
        listed = await analyses.records(newest=9)
    assert [(name, facts["state"]) for name, facts in listed.items()] == [
        (second, "sending"),
        (first, "ended"),
    ]


async def test_an_unknown_analysis_is_an_error(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, analyses):
        for unknown in ("an_x", "st_x"):
            with pytest.raises(UnknownStreamError):
                await analyses.resume(unknown, find_service)


async def test_an_answer_that_is_no_text_is_kept_as_bytes(
    tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def get(_: str, *, bearer: str) -> Reply:
        return Reply(200, b"\xff\xfe" + bearer.encode())

    monkeypatch.setattr(service, "get", get)
    async with opened(tmp_path) as (journal, analyses):
        analysis_id = await start(analyses, "v1")
        done = await result(journal, analyses, analysis_id)
    assert done == ("failed", "remote_protocol", [b"\xff\xfeih_test"])


async def test_a_mistake_of_ours_is_told_and_stops_nothing_else(
    tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def upload(*_: object, **__: object) -> Reply:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(service, "upload", upload)
    async with opened(tmp_path) as (journal, analyses):
        analysis_id = await start(analyses, "v1")
        assert await result(journal, analyses, analysis_id) == ("failed", "internal", [])


async def test_an_end_that_cannot_be_kept_is_told(
    tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.answers = ["{}"]
    async with opened(tmp_path) as (_, analyses):

        async def fail(*_: object, **__: object) -> None:
            raise JournalError("the disk is full")

        request = UploadRequest(upload=UPLOADS["v1"], source=Path("a.mp4"), form=[])
        started = await analyses.start(request, base_url="http://h", credential=KEY)
        monkeypatch.setattr(StreamLog, "write_record", fail)
        await analyses.wait(started.id)
        assert (started.facts["state"], started.is_over) == ("failed", True)
        facts = await analyses.resume(started.id, unreachable)  # also to who asks later
        assert (facts["state"], facts["reason"]) == ("failed", "journal_failed")


async def test_a_kept_job_id_that_is_none_is_asked_for_nowhere(
    tmp_path: Path, service: Service
) -> None:
    """As an older version kept it."""
    analysis_id = "an_" + "0" * 32
    left = {"state": "running", "job_id": "../../../v1/auth?x="}
    async with opened(tmp_path) as (journal, _):
        await journal.begin(analysis_id, left)
    async with opened(tmp_path) as (journal, analyses):
        assert (await analyses.resume(analysis_id, find_service))["state"] == "running"
        assert await result(journal, analyses, analysis_id) == ("failed", "remote_protocol", [])
    assert service.asked == []


async def test_what_is_known_of_a_file_is_told_beside_its_result(
    tmp_path: Path, service: Service
) -> None:
    service.answers, service.is_stand_in = ["{}"], True
    request = UploadRequest(
        upload=UPLOADS["v1"], source=Path("a.mp4"), form=[], endpoint="local", analyst="cues",
        notes=("The file has no sound.",), seconds=7.0004,
    )  # fmt: skip
    async with opened(tmp_path) as (journal, analyses):
        started = await analyses.start(request, base_url="http://h", credential=KEY)
        assert (analyses.live_count, started.is_over) == (1, False)
        await analyses.wait_until_ended()
        assert (analyses.live_count, started.is_over) == (0, True)
        facts = await analyses.resume(started.id, unreachable)
        use = await journal.read_usage(lambda table: table.find_use(started.id))
    assert (facts["duration_s"], facts["analyst"]) == (7.0, "cues")
    assert facts["notes"] == ["The file has no sound.", NAMED_MODEL]
    assert facts["stand_in"] == STAND_IN
    assert use == MediaUse(delivered_seconds=7.0004, analysed_seconds=7.0004)


@pytest.mark.parametrize(
    ("error", "is_free"),
    [
        (refusal_error("refused", error_id="ih4005", status=400), True),
        (PathError("the file is gone", help="Name another.", code="not_found"), True),
        (TransportError("the connection was lost", help="Wait."), False),
    ],
)
async def test_a_file_that_was_refused_costs_nothing_and_a_lost_answer_may(
    tmp_path: Path, service: Service, error: IhMcpError, is_free: bool
) -> None:
    service.answers = [error]
    request = UploadRequest(upload=UPLOADS["v1"], source=Path("a.mp4"), form=[], seconds=7.0)
    async with opened(tmp_path) as (journal, analyses):
        started = await analyses.start(request, base_url="http://h", credential=KEY)
        await analyses.wait_until_ended()
        use = await journal.read_usage(lambda table: table.find_use(started.id))
    assert started.facts["state"] == "failed"
    assert use is not None
    assert use.dropped_seconds == (7.0 if is_free else 0.0)


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize("endpoint", ["local", "production"])
async def test_of_an_upload_it_is_said_at_once_whether_the_stand_in_is_asked(
    endpoint: str, tmp_path: Path
) -> None:
    async with opened(tmp_path) as (_, analyses):
        request = UploadRequest(
            upload=UPLOADS["v2"], source=Path("a.mp4"), form=[], endpoint=endpoint
        )
        begun = await analyses.start(request, base_url="http://h", credential=KEY)
        assert ("stand_in" in begun.facts) is (endpoint == "local")


@pytest.mark.parametrize("body", ["", " \n", "ok", '"done"', '{"signals":[{"type":', "}{", "null"])
async def test_an_answer_that_is_no_result_is_kept_and_is_not_called_one(
    tmp_path: Path, service: Service, body: str
) -> None:
    """As of a proxy that answers 204, or that cuts what it has compressed."""
    service.answers = [body]
    request = UploadRequest(upload=UPLOADS["v1"], source=Path("a.mp4"), form=[], seconds=6.0)
    async with opened(tmp_path) as (journal, analyses):
        analysis = await analyses.start(request, base_url="http://h", credential=KEY)
        found = await result(journal, analyses, analysis.id)
        facts = await analyses.resume(analysis.id, find_service)
    assert found == ("failed", "remote_protocol", [body])
    assert "an answer to an upload that is not JSON, or not whole" in str(facts["error"])
    used = {"delivered_s": 6.0, "analysed_s": 0.0, "dropped_s": 0.0, "unknown_s": 6.0}
    assert facts["usage"] == used


@pytest.mark.parametrize("body", ["{}", " \n{}\n ", "[]", '\ufeff{"a":1}', '{"a":' + "[1]" + "}"])
async def test_a_result_of_any_form_is_one(tmp_path: Path, service: Service, body: str) -> None:
    service.answers = [body]
    async with opened(tmp_path) as (journal, analyses):
        analysis_id = await start(analyses, "v1")
        assert await result(journal, analyses, analysis_id) == ("ended", None, [body])
