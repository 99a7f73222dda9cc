"""Upload jobs: created at once, run one after the other, readable for a time. skill: v2 upload."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import anyio

from ih_mcp.standin.credential_store import RefusedError
from ih_mcp.wire.rest import JobStatus, job_path

_MAX_JOBS = 200  # chosen: kept at once
_ID_BYTES = 16  # skill: v2 upload, 32 hex characters


@dataclass(slots=True, kw_only=True)
class StandinJob:
    """One job."""

    model: str
    account: str
    expires_at: float
    """On the loop's clock."""
    created: datetime
    expires: datetime
    delays: int = 0
    """How many answers say `queued`, and then `running`, whatever the real status is."""
    job_id: str = field(default_factory=lambda: secrets.token_hex(_ID_BYTES))
    result: Mapping[str, object] | None = None
    error: Mapping[str, object] | None = None
    is_running: bool = False
    done: anyio.Event = field(default_factory=anyio.Event)
    _answers: int = 0

    def envelope(self) -> dict[str, object]:
        """The answer to a question about it; fields that do not apply are left out."""
        self._answers += 1
        answer: dict[str, object] = {
            "job_id": self.job_id,
            "status": self._status(),
            "model": self.model,
            "created_at": _written(self.created),
            "expires_at": _written(self.expires),
            "status_url": job_path(self.job_id),
        }
        if answer["status"] is JobStatus.COMPLETED:
            answer["result"] = self.result
        if answer["status"] is JobStatus.FAILED:
            answer["error"] = self.error
        return answer

    def _status(self) -> JobStatus:
        if self._answers <= self.delays:
            return JobStatus.QUEUED
        if self._answers <= 2 * self.delays:
            return JobStatus.RUNNING
        if not self.done.is_set():
            return JobStatus.RUNNING if self.is_running else JobStatus.QUEUED
        return JobStatus.COMPLETED if self.error is None else JobStatus.FAILED


class Jobs:
    """The jobs of one stand-in; one is worked on at a time."""

    def __init__(self, *, max_age_seconds: float) -> None:
        self._max_age_seconds = max_age_seconds
        self._jobs: dict[str, StandinJob] = {}
        self._turn = anyio.Lock()
        self.count = 0
        """How many there were."""

    def make(self, model: str, account: str, *, delays: int) -> StandinJob:
        """A job that waits for its turn."""
        self._forget()
        self.count += 1
        created = datetime.now(UTC)
        job = StandinJob(
            model=model,
            account=account,
            expires_at=anyio.current_time() + self._max_age_seconds,
            created=created,
            expires=created + timedelta(seconds=self._max_age_seconds),
            delays=delays,
        )
        self._jobs[job.job_id] = job
        self._forget_the_oldest()
        return job

    async def work(
        self, job: StandinJob, run: Callable[[], Awaitable[Mapping[str, object]]]
    ) -> None:
        """Do a job when its turn comes; `run` raises `JobError` where it fails."""
        async with self._turn:
            job.is_running = True
            try:
                job.result = await run()
            except JobError as exc:
                job.error = exc.body
        job.done.set()

    def find(self, job_id: str, account: str) -> StandinJob:
        """The job of this id.

        Raises:
            RefusedError: `ih4021`: unknown, another account's, or expired.
        """
        self._forget()
        job = self._jobs.get(job_id)
        if job is None or job.account != account:
            raise RefusedError("ih4021")
        return job

    def _forget_the_oldest(self) -> None:
        """Of those that are done; how many are not is bounded by who takes uploads in."""
        done = [job_id for job_id, job in self._jobs.items() if job.done.is_set()]
        for job_id in done[: max(0, len(self._jobs) - _MAX_JOBS)]:
            del self._jobs[job_id]

    def _forget(self) -> None:
        now = anyio.current_time()
        self._jobs = {k: job for k, job in self._jobs.items() if now < job.expires_at}


class JobError(Exception):
    """A job failed; `body` is what its envelope says."""

    def __init__(self, body: Mapping[str, object]) -> None:
        super().__init__(body.get("error_id"))
        self.body = body


def _written(time: datetime) -> str:
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")
