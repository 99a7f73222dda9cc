"""Uploads recorded files whole; the one answer of the service is stored like a message.

v1 answers when the analysis is done. v2 answers with a job, whose state is polled until it is
final; its id is in the journal, so that a later process can go on polling.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from ih_mcp.errors import (
    IhMcpError,
    PathError,
    ServiceError,
    TransportError,
    UnknownStreamError,
)
from ih_mcp.journal import Journal, StreamAccount, StreamLog, StreamRow
from ih_mcp.net.token import Credential
from ih_mcp.notifier import Notifier
from ih_mcp.redaction import redact_and_cut
from ih_mcp.stand_in import LOCAL, NAMED_MODEL, STAND_IN
from ih_mcp.wire.endings import EndReason
from ih_mcp.wire.minutes import UNLIMITED, MediaUse, MinutesBudget
from ih_mcp.wire.refusal import refusal_error
from ih_mcp.wire.rest import (
    ErrorBody,
    JobStatus,
    UploadJob,
    UploadVersion,
    job_path,
    require_job_id,
    require_result,
)

from .ids import IdKind
from .status import error_to_json

if TYPE_CHECKING:
    from ih_mcp.net.rest import Reply, Rest

POLL_SECONDS = 2.0  # sdk 1.3.4
_MOST_WAIT_SECONDS = 30.0
_MOST_ASKED_SECONDS = 600.0  # chosen: a job is kept for an hour
FindService = Callable[[], Awaitable[tuple[str, Credential]]]
"""Gives the base URL of the service, and what it is asked with."""

_LOG = logging.getLogger("ih_mcp.streams")


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRequest:
    """What is to be analysed, and how."""

    upload: UploadVersion
    source: Path
    endpoint: str = ""
    """What the user calls it, such as `local`."""
    analyst: str = ""
    """Who reads the media, where the stand-in of this process does."""
    size: int = 0
    """Of the source, in bytes."""
    form: Sequence[tuple[str, str]] = ()
    notes: tuple[str, ...] = ()
    """What to tell of the file beside the result."""
    seconds: float = 0.0
    """Of its media."""
    budget: MinutesBudget = UNLIMITED
    """What its media is counted under, and how much of it may be sent."""


_NOT_ANALYSED = (
    "Nothing of it was analysed: it was refused or failed as a whole, which costs nothing. "
    "dropped_s of usage is all of it."
)


@dataclass(slots=True)
class UploadAnalysis:
    """One upload of this process."""

    id: str
    log: StreamLog
    facts: dict[str, object]
    """What the journal stores of it, ready for JSON."""
    changed: Notifier = field(default_factory=Notifier)
    is_over: bool = False
    notes: tuple[str, ...] = ()
    size: int = 0
    """Of the file, in bytes."""
    sent_bytes: int = 0
    """Of the file, so far."""
    seconds: float = 0.0
    """Of its media."""
    account: StreamAccount | None = None
    """Where its media is counted; None where an earlier version of ih-mcp sent it."""
    use: MediaUse = field(default_factory=MediaUse)
    """What became of its media."""

    def note_analysed(self) -> None:
        """The service analysed all of it."""
        self.use = replace(self.use, analysed_seconds=self.use.delivered_seconds)

    def note_dropped(self) -> None:
        """The service refused it, or failed at it: that costs nothing (docs: launch blog)."""
        self.use = replace(self.use, dropped_seconds=self.use.delivered_seconds)
        known = self.facts.get("notes", ())
        assert isinstance(known, list | tuple)
        self.facts["notes"] = [*known, _NOT_ANALYSED]

    def note_sent(self, size: int) -> None:
        """So much of the file is about to be given to the connection.

        Raises:
            JournalError: Another process may end this analysis, or has.
        """
        self.log.require_owned()
        self.sent_bytes = size


class UploadRegistry:
    """Uploads by id. Use `open_analyses`."""

    def __init__(self, journal: Journal, tasks: TaskGroup, *, poll_seconds: float) -> None:
        self._journal = journal
        self._tasks = tasks
        self._poll_seconds = poll_seconds
        self._live: dict[str, UploadAnalysis] = {}
        self._unkept: dict[str, dict[str, object]] = {}
        """The final facts of uploads that the journal could not store."""
        self._resuming = anyio.Lock()

    async def start(
        self, request: UploadRequest, *, base_url: str, credential: Credential
    ) -> UploadAnalysis:
        """Send a file; goes on in the background.

        Raises:
            JournalError: The journal cannot store it.
        """
        facts = _first_facts(request)
        analysis_id = IdKind.UPLOAD.make_id()
        log = await self._journal.begin(
            analysis_id, facts, budget=request.budget, planned_seconds=request.seconds
        )
        account = self._journal.account(analysis_id, request.budget)
        analysis = UploadAnalysis(
            analysis_id,
            log,
            facts,
            notes=request.notes,
            size=request.size,
            seconds=request.seconds,
            account=account,
        )
        self._live[analysis_id] = analysis

        async def work(rest: Rest) -> None:
            bearer = await credential.bearer()
            await account.spend(request.seconds, MediaUse(), size=request.size)
            analysis.use = MediaUse(delivered_seconds=request.seconds)
            try:
                reply = await rest.upload(
                    request.upload.path,
                    request.source,
                    request.form,
                    bearer=bearer,
                    on_read=analysis.note_sent,
                )
            except (ServiceError, PathError):  # docs: failed work is free
                analysis.note_dropped()
                raise
            await self._handle_reply(
                analysis, reply, rest, credential, makes_job=request.upload.makes_job
            )

        self._tasks.start_soon(self._carry, analysis, base_url, work)
        return analysis

    async def resume(self, analysis_id: str, find_service: FindService) -> dict[str, object]:
        """The status of an upload; one whose job was left behind by a dead process goes on.

        Args:
            find_service: Asked only where a job goes on: what is kept is read without a credential.

        Raises:
            UnknownStreamError: There is no such upload.
        """
        async with self._resuming:  # two callers at once: one of them takes the job up
            if analysis := self._live.get(analysis_id):
                return analysis.facts
            return self._unkept.get(analysis_id) or await self._resume(analysis_id, find_service)

    async def _resume(self, analysis_id: str, find_service: FindService) -> dict[str, object]:
        row = await self._row(analysis_id)
        use = await self._journal.read_usage(lambda table: table.find_use(analysis_id))
        facts = _with_use(json.loads(row.record), use)
        job_id = facts.get("job_id")
        if row.last or facts.get("reason") != EndReason.HOST_STOPPED or not isinstance(job_id, str):
            return facts
        facts |= {"state": "running"}
        facts.pop("reason")
        base_url, credential = await find_service()
        log = await self._journal.adopt(analysis_id)
        analysis = self._live[analysis_id] = UploadAnalysis(analysis_id, log, facts)
        if use is not None:
            analysis.use, analysis.account = use, self._journal.account(analysis_id)

        async def work(rest: Rest) -> None:
            require_job_id(job_id)  # it is from the disk, where an older version kept any
            await self._poll_job(analysis, job_id, rest, credential)

        self._tasks.start_soon(self._carry, analysis, base_url, work)
        return analysis.facts

    async def records(self, *, newest: int) -> dict[str, dict[str, object]]:
        """The facts of the newest uploads by id, newest first; of running ones as they are now."""
        rows = await self._journal.list_streams(IdKind.UPLOAD, newest=newest)
        uses = await self._journal.read_usage(lambda table: table.find_uses(row.id for row in rows))
        known = {row.id: _with_use(json.loads(row.record), uses.get(row.id)) for row in rows[::-1]}
        live = {analysis_id: {**analysis.facts} for analysis_id, analysis in self._live.items()}
        return {analysis_id: live.get(analysis_id, known[analysis_id]) for analysis_id in known}

    async def _row(self, analysis_id: str) -> StreamRow:
        with suppress(UnknownStreamError):
            if IdKind.UPLOAD.has(analysis_id):
                return await self._journal.find_stream(analysis_id)
        if IdKind.STREAM.has(analysis_id):
            raise UnknownStreamError(
                f"{analysis_id} is the id of a stream, not of an analysis",
                help="Read its messages with poll_events.",
            )
        raise UnknownStreamError(
            f"there is no analysis {analysis_id}",
            help="list_streams has those that are kept; else upload the file again.",
        )

    @property
    def live_count(self) -> int:
        """How many go on in this process."""
        return len(self._live)

    async def wait_until_ended(self) -> None:
        """Wait until none goes on in this process."""
        while self._live:
            await self.wait(next(iter(self._live)))

    async def wait(self, analysis_id: str) -> None:
        """Return when the analysis is over."""
        while (analysis := self._live.get(analysis_id)) and not analysis.is_over:
            await analysis.changed.wait()

    # --- the work ------------------------------------------------------------------------------

    async def _carry(
        self,
        analysis: UploadAnalysis,
        base_url: str,
        work: Callable[[Rest], Awaitable[None]],
    ) -> None:
        from ih_mcp.net.rest import open_rest  # noqa: PLC0415 - the server must start fast

        try:
            async with open_rest(base_url) as rest:
                await work(rest)
        except IhMcpError as exc:
            analysis.facts |= {"state": "failed", "reason": exc.code, "error": error_to_json(exc)}
        except Exception:  # noqa: BLE001 - a mistake of ours must not stop other work
            _LOG.exception("analysis %s broke", analysis.id)
            analysis.facts |= {"state": "failed", "reason": "internal"}
        finally:
            with anyio.CancelScope(shield=True):
                await self._finish(analysis)

    async def _finish(self, analysis: UploadAnalysis) -> None:
        stopped = analysis.facts["state"] not in {"ended", "failed"}
        if stopped:  # cancelled: this process ends; what has a job can go on in a later one
            analysis.facts |= {"state": "failed", "reason": EndReason.HOST_STOPPED}
        if analysis.use != MediaUse():
            analysis.facts["usage"] = analysis.use.to_json()
        try:
            if analysis.account:
                await analysis.account.settle(analysis.use, ended=True)
            await analysis.log.write_record(analysis.facts, ended=True)
        except IhMcpError as exc:
            analysis.facts |= {"state": "failed", "reason": exc.code, "error": error_to_json(exc)}
            self._unkept[analysis.id] = analysis.facts
        analysis.is_over = True
        self._live.pop(analysis.id, None)
        self._journal.release(analysis.log)
        analysis.changed.notify()

    async def _handle_reply(
        self,
        analysis: UploadAnalysis,
        reply: Reply,
        rest: Rest,
        credential: Credential,
        *,
        makes_job: bool,
    ) -> None:
        """Store the answer, or poll the job that it names."""
        if reply.is_stand_in:
            _note_stand_in(analysis.facts)
        if not makes_job:
            return await self._store_answer(analysis, reply)
        job = await to_thread.run_sync(UploadJob.from_body, reply.body)
        if job.is_settled:
            return await self._store_answer(analysis, reply, job)
        running = {"state": "running", "job_id": job.job_id}
        await analysis.log.write_record(analysis.facts | running)  # durable before it is shown
        analysis.facts |= running
        return await self._poll_job(analysis, job.job_id, rest, credential)

    async def _poll_job(
        self, analysis: UploadAnalysis, job_id: str, rest: Rest, credential: Credential
    ) -> None:
        """Poll a job until its state is final; a busy service is asked again later."""
        pause = self._poll_seconds
        while True:
            await anyio.sleep(pause)
            try:
                reply = await rest.get(job_path(job_id), bearer=await credential.bearer())
            except (ServiceError, TransportError) as exc:
                if not exc.retry:
                    raise
                pause = longer_pause(pause, exc)  # skill v2 upload: 503 says retry
                analysis.facts["error"] = error_to_json(exc)
                continue
            pause = self._poll_seconds
            analysis.facts.pop("error", None)
            job = await to_thread.run_sync(UploadJob.from_body, reply.body)
            if job.is_settled:
                return await self._store_answer(analysis, reply, job)

    async def _store_answer(
        self, analysis: UploadAnalysis, reply: Reply, job: UploadJob | None = None
    ) -> None:
        try:
            body: str | bytes = reply.body.decode()
        except UnicodeDecodeError:
            body = reply.body
        analysis.log.append(body, leg=0)
        await analysis.log.flush()
        if job is None:
            require_result(reply.body)  # kept as it came, also where it is none
        if job is None or job.status != JobStatus.FAILED:
            analysis.note_analysed()
            analysis.facts |= {"state": "ended"}
            return
        analysis.note_dropped()
        said = job.error or ErrorBody()
        failed = refusal_error(
            "the analysis failed",
            error_id=said.error_id,
            message=said.message,
            link=said.link,
            correlation_id=said.correlation_id,
        )
        reason = failed.facts.get("server_code", "job_failed")
        analysis.facts |= {"state": "failed", "reason": reason, "error": error_to_json(failed)}


def _first_facts(request: UploadRequest) -> dict[str, object]:
    """What the journal stores of an upload before anything of it is sent."""
    facts: dict[str, object] = {
        "state": "sending",
        "api": request.upload.name,
        "endpoint": redact_and_cut(request.endpoint),
        "source": request.source.name,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if request.seconds:
        facts["duration_s"] = round(request.seconds, 3)
    if request.analyst:
        facts["analyst"] = request.analyst
    if request.notes:
        facts["notes"] = [*request.notes]
    if request.endpoint == LOCAL:
        _note_stand_in(facts)
    return facts


def _note_stand_in(facts: dict[str, object]) -> None:
    """Say of an upload that the stand-in answers, once."""
    if "stand_in" in facts:
        return
    known = facts.get("notes", ())
    assert isinstance(known, list | tuple)
    facts |= {"stand_in": STAND_IN, "notes": [*known, NAMED_MODEL]}


def _with_use(record: dict[str, object], use: MediaUse | None) -> dict[str, object]:
    """What is kept of an upload, with what the journal counted."""
    return record | ({"usage": use.to_json()} if use else {})


def longer_pause(pause: float, error: IhMcpError) -> float:
    """Seconds until a busy service is asked again: twice as long, or as long as it asks for."""
    asked = error.facts.get("retry_after_s")
    twice = min(2 * pause, _MOST_WAIT_SECONDS)
    return max(twice, min(asked, _MOST_ASKED_SECONDS)) if isinstance(asked, int | float) else twice


@asynccontextmanager
async def open_analyses(
    journal: Journal, *, poll_seconds: float = POLL_SECONDS
) -> AsyncIterator[UploadRegistry]:
    """The uploads of this process; on exit those that run are cancelled, their job ids kept."""
    async with anyio.create_task_group() as tasks:
        yield UploadRegistry(journal, tasks, poll_seconds=poll_seconds)
        tasks.cancel_scope.cancel()
