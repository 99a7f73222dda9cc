"""Every refusal of the catalog, met by our client at the stand-in.

The table is generated from `wire/catalog`: a new row is a new case. For each: the right error, the
right retry decision, the service's own words kept, nothing lost.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from ih_mcp.errors import IhMcpError, ServiceError, TransportError
from ih_mcp.journal import open_journal
from ih_mcp.net.opener import open_socket
from ih_mcp.net.rest import open_rest
from ih_mcp.streams.config import StreamConfig
from ih_mcp.streams.outbox import QueuedSegment
from ih_mcp.streams.registry import open_registry
from ih_mcp.wire.dialects import V0, V1, V2, Dialect
from ih_mcp.wire.error_catalog import (
    CATALOG,
    CLOSE_CODES,
    STATUSES,
    Retry,
    find_close_code,
    find_error,
)
from tests.facts import shows

from .conftest import StartStandin

pytestmark = pytest.mark.timeout(30)
HEADER = b"\x1a\x45\xdf\xa3" + bytes(20_000)


async def meet(
    standin: StartStandin, folder: Path, *steps: object, dialect: Dialect = V1
) -> tuple[IhMcpError | None, list[object], list[str], dict[str, object]]:
    """One segment into a session with a fault; gives failure, kept, sent, and the status."""
    async with (
        standin(*steps) as running,
        open_journal(folder) as journal,
        open_registry(journal) as registry,
    ):
        plan = StreamConfig(dialect=dialect, base_url=running.url)
        stream = await registry.start(plan, partial(open_socket, bearer="ih_test"))
        await stream.wait_until_open()
        if not stream.is_over:
            await stream.put(QueuedSegment(HEADER))
        stream.request_end()
        await stream.until(lambda: False)
        page = await journal.read_page(stream.id, 0, limit=1000, max_chars=10**9)
        sent = [text for session in running.recorder.sessions for text in session.texts]
        return (
            stream.failure,
            [entry.body for entry in page.entries],
            sent,
            stream.status().to_json(),
        )


def expect(failure: IhMcpError | None, code: str) -> None:
    """What the catalog says of an id is what a caller is told."""
    known = find_error(code)
    assert isinstance(failure, ServiceError)
    assert failure.facts["server_code"] == code
    assert failure.retry is (known.retry is not Retry.NEVER)
    wait = failure.facts.get("retry_after_s")
    asked = f" The service asks to wait {wait:g} s." if wait is not None and failure.retry else ""
    assert failure.help == known.advice + asked


@shows("error-ids")
@pytest.mark.one_for_each("code", "dialect", alike=[(V1, V2)])
@pytest.mark.parametrize("dialect", [V0, V1, V2], ids=lambda d: d.name)
@pytest.mark.parametrize("code", sorted(CATALOG))
async def test_an_error_on_a_stream(
    code: str, dialect: Dialect, standin: StartStandin, tmp_path: Path
) -> None:
    step = {"at": "segment", "n": 1, "error": code}
    failure, kept, sent, status = await meet(standin, tmp_path, step, dialect=dialect)
    assert kept == sent
    assert sum(code in str(body) for body in kept) == 1
    if CATALOG[code].ends_session and dialect is not V0:
        expect(failure, code)
    else:  # told, and the session goes on; on v0 a segment's error always is no more than that
        assert failure is None
        assert status["segments"] == {"refused": 1}


@pytest.mark.parametrize("code", sorted(c for c, known in CATALOG.items() if known.status))
async def test_an_error_that_refuses_a_request(code: str, standin: StartStandin) -> None:
    known = CATALOG[code]
    if not known.status or known.status < 400:
        assert code == "ih1004"  # travels inside a settled job; see test_uploads
        return
    step = {"at": "request", "path": "/v2/upload/jobs/j", "status": known.status, "error": code}
    async with standin(step) as running, open_rest(running.url) as rest:
        with pytest.raises(ServiceError) as refused:
            await rest.get("/v2/upload/jobs/j", bearer="ih_test")
    expect(refused.value, code)
    assert refused.value.facts["status"] == known.status
    assert refused.value.facts["correlation_id"]


@pytest.mark.parametrize("status", [s for s in sorted(STATUSES) if s >= 400])
async def test_a_status_that_refuses_the_upgrade(
    status: int, standin: StartStandin, tmp_path: Path
) -> None:
    step = {"at": "upgrade", "status": status, "retry_after": 7}
    failure, kept, _, record = await meet(standin, tmp_path, step)
    assert isinstance(failure, ServiceError)
    assert failure.facts["status"] == status
    assert failure.facts["retry_after_s"] == 7.0
    assert failure.retry is (STATUSES[status].retry is not Retry.NEVER)
    asked = " The service asks to wait 7 s." if failure.retry else ""
    assert failure.help == STATUSES[status].advice + asked
    assert (kept, record["state"]) == ([], "failed")


@shows("close-codes")
@pytest.mark.parametrize("code", [*sorted(CLOSE_CODES), 4999])
async def test_a_close_code(code: int, standin: StartStandin, tmp_path: Path) -> None:
    act = {"reset": True} if code == 1006 else {"close": code, "reason": "because"}
    failure, kept, sent, record = await meet(standin, tmp_path, {"at": "segment", "n": 1, **act})
    assert kept == sent
    if code == 1000:
        assert (failure, record["reason"]) == (None, "by_service")
    elif code == 1006:
        assert isinstance(failure, TransportError)
        assert (failure.code, failure.retry) == ("connection_lost", True)
        assert record["segments"] == {"unknown": 1}
    else:
        known = find_close_code(code)
        assert isinstance(failure, ServiceError)
        assert failure.facts["close_code"] == code
        assert failure.retry is (known.retry is not Retry.NEVER)
        assert failure.help == known.advice
