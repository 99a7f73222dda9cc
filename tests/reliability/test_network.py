"""The matrix of network faults, N1 to N38: what a stream does, and what it tells.

Real sockets, the real stand-in, and a proxy between that makes the network as bad as a row says.
Patience is shortened; `test_how_long_anything_is_waited_for` holds the real figures. Every schedule
ends with the checker of logs: nothing lost in silence, nothing changed, nothing sent twice.
"""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websocket

from ih_mcp.errors import IhMcpError
from ih_mcp.journal import Journal, open_journal
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.net import opener
from ih_mcp.standin.analysis.analyst import Observations
from ih_mcp.standin.analysis.windows import Window
from ih_mcp.standin.faults.script import Script
from ih_mcp.standin.options import Options
from ih_mcp.standin.recorder import Recorder
from ih_mcp.standin.server.serve import serve
from ih_mcp.streams import leg
from ih_mcp.streams.config import StreamConfig
from ih_mcp.streams.deadlines import SessionTimeouts
from ih_mcp.streams.outbox import QueuedSegment, RandomAccessPoint
from ih_mcp.streams.stream import Stream
from ih_mcp.wire.dialects import V1
from ih_mcp.wire.endings import RetryPolicy
from ih_mcp.wire.minutes import UNLIMITED
from tests.standin.fakes import ScriptedAnalyst, open_toy, seen, toy

from .budget import often, report
from .checker import History, Session, check, read_kept
from .proxy import Proxy, open_proxy

SEGMENT_SECONDS = 3
WINDOW_SECONDS = 3.0
HASTE = SessionTimeouts(
    ready_seconds=0.5, quiet_seconds=0.5, drain_margin_seconds=0.5, goodbye_seconds=0.5
)


def test_how_long_anything_is_waited_for() -> None:
    timeouts = SessionTimeouts()
    assert (timeouts.ready_seconds, timeouts.goodbye_seconds) == (15, 2)
    assert opener._OPEN_SECONDS == 10
    assert opener._KEEPALIVE_SECONDS == 20
    assert opener._CLOSE_SECONDS == 2
    assert (opener._MIN_SEND_SECONDS, opener._PROGRESS_SECONDS) == (30, 20)
    assert opener._SLOWEST_BYTES_PER_SECOND == 128 * 2**10
    assert opener.MAX_MESSAGE_BYTES == 8 * 2**20
    usual = RetryPolicy()
    assert (usual.max_attempts, usual.max_outage_seconds) == (6, 60)
    assert (usual.base_seconds, usual.max_seconds) == (0.5, 15)


@pytest.fixture
def keen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is noticed soon; for tests that leave the loop time to answer pings."""
    monkeypatch.setattr(opener, "_KEEPALIVE_SECONDS", 0.5)
    monkeypatch.setattr(opener, "_CLOSE_SECONDS", 0.3)
    monkeypatch.setattr(opener, "_PROGRESS_SECONDS", 0.6)


def piece(number: int) -> QueuedSegment:
    """The segment of a file, from 0; every one begins with a key frame."""
    start = number * SEGMENT_SECONDS

    def rebased(origin_seconds: float, *, headed: bool) -> bytes:
        at = start - origin_seconds
        return toy(at, at + SEGMENT_SECONDS, header=headed, level=100 + number)

    return QueuedSegment(
        toy(start, start + SEGMENT_SECONDS, header=number == 0, level=100 + number),
        start,
        start + SEGMENT_SECONDS,
        RandomAccessPoint(seconds=start),
        rebased,
    )


@dataclass
class Road:
    """A stream, and all it goes through."""

    stream: Stream
    journal: Journal
    opened: list[float]
    """When a connection was tried, by the clock of the loop."""
    legs: list[str]
    """The request ids of the connections that came about."""
    proxy: Proxy | None = None
    recorder: Recorder | None = None
    findings: list[object] = field(default_factory=list)

    @property
    def status(self) -> dict[str, Any]:
        return self.stream.status().to_json()

    async def feed(self, numbers: Sequence[int], *, ends: bool = True) -> None:
        """Send segments; a stream that is over takes no more."""
        stream = self.stream
        try:
            for number in numbers:
                await stream.put(piece(number))
                with anyio.move_on_after(0.1):  # so that the service can say something about it
                    await stream.until(lambda: stream.pending_reconnect is not None)
        except IhMcpError:
            return
        if ends:
            stream.request_end(stops=False)

    async def over(self) -> None:
        await self.stream.until(lambda: False)

    async def messages(self) -> list[str | bytes]:
        return [entry.body for entry in await read_kept(self.journal, "st_1")]


@asynccontextmanager
async def streaming(
    folder: Path, url: str, *, resends: bool = False, chance: float = 0.0, open_seconds: float = 5.0
) -> AsyncIterator[Road]:
    """A stream to `url` while this is open."""
    tries: list[float] = []
    opened: list[str] = []

    @asynccontextmanager
    async def counted(address: str) -> AsyncIterator[Any]:
        tries.append(anyio.current_time())
        request_id = str(len(tries))
        async with opener.open_socket(
            address,
            bearer="ih_test_key",
            headers={"X-Client-Request-Id": request_id},
            open_seconds=open_seconds,
        ) as socket:
            opened.append(request_id)
            yield socket

    async with open_journal(folder) as journal:
        stream = Stream(
            "st_1",
            StreamConfig(dialect=V1, base_url=url, reconnects=True, resends=resends),
            log=await journal.begin("st_1", {}, budget=UNLIMITED),
            opener=counted,
            timeouts=HASTE,
            chance=lambda: chance,
            account=journal.account("st_1"),
        )
        stream.is_fed = True  # whoever feeds it knows where a session can begin
        with anyio.fail_after(18):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stream.run)
                yield Road(stream, journal, tries, opened)
                tasks.cancel_scope.cancel()


def _something_new(window: Window) -> Observations:
    """So that every window says something, and how far the service has come is known."""
    return Observations(signals=[seen(probability=("low", "high")[window.index % 2])])


Start = Callable[..., Any]


@pytest.fixture
def road(tmp_path: Path, ffmpeg: Ffmpeg) -> Start:
    """A road through a proxy to a stand-in with a script; checked when it is left."""

    @asynccontextmanager
    async def start(
        *steps: object, resends: bool = False, open_seconds: float = 5.0, **options: Any
    ) -> AsyncIterator[Road]:
        set_up = Options(
            script=Script.parse(list(steps)),
            analyst=partial(ScriptedAnalyst, _something_new),
            **{
                "window_seconds": WINDOW_SECONDS,
                "hop_seconds": WINDOW_SECONDS,
                "min_window_seconds": 0.5,
                "max_drain_seconds": 2.0,
                **options,
            },
        )
        async with AsyncExitStack() as stack:
            standin = await stack.enter_async_context(
                serve(set_up, ffmpeg=ffmpeg, open_decoder=open_toy)
            )
            proxy = await stack.enter_async_context(open_proxy(standin.url))
            made = await stack.enter_async_context(
                streaming(tmp_path, proxy.url, resends=resends, open_seconds=open_seconds)
            )
            made.proxy, made.recorder = proxy, standin.recorder
            yield made
            if made.stream.is_over:
                findings = check(await history(made, may_resend=resends))
                assert not findings, findings
                await compare_with_the_bill(made)

    return start


async def compare_with_the_bill(made: Road) -> None:
    """What we count, beside the meter of the stand-in: equal, or never too little.

    Where the last word of every session arrived, both know the same. Where a connection was lost,
    nobody tells us what was analysed of the media on its way; it counts all the same. A window is
    billed once all its messages are sent: of the last one before a loss some may have arrived.
    """
    assert made.recorder
    billed = sum(record.billed.seconds for record in made.recorder.sessions)
    used = await made.journal.read_usage(lambda table: table.find_use("st_1"))
    assert used == made.stream.use
    lost = sum(not _is_in_order(one) for one in made.stream.legs)
    if not lost:
        assert used.analysed_seconds == pytest.approx(billed, abs=0.001)
        assert used.unknown_seconds == pytest.approx(0, abs=0.001)
    assert used.analysed_seconds <= billed + lost * WINDOW_SECONDS + 0.001
    assert billed <= used.counted_seconds + 0.001
    figure = "counted is never less than billed" if lost else "in order: equal within 1 ms"
    report("bill", "test_network.py", figure)
    report("bill", "test_network.py", figure, outcome="passed")


async def history(made: Road, *, may_resend: bool = False) -> History:
    """What the stand-in recorded beside what we kept and told."""
    assert made.recorder
    by_digest = _numbers()
    legs = made.stream.legs
    by_id = {record.headers["x-client-request-id"]: record for record in made.recorder.sessions}
    records = [by_id[request_id] for request_id in made.legs]
    sessions = [
        Session(
            sent=record.texts,
            segments=[by_digest.get(digest, digest) for _, digest in record.segments],
            is_lost=number >= len(legs) or not _is_in_order(legs[number]),
        )
        for number, record in enumerate(records)
    ]
    told = {gap["legs"][0] for gap in made.status.get("gaps", [])}
    told |= {number for number, one in enumerate(legs) if not one.is_open}
    if "reason" in made.status:
        told.add(len(sessions) - 1)
    kept = await read_kept(made.journal, "st_1")
    return History(sessions=sessions, kept=kept, told=told, may_resend=may_resend)


@cache
def _numbers() -> dict[str, int]:
    """Which piece it is, by the digest of each form it can have."""
    found: dict[str, int] = {}
    for number in range(70):
        whole = piece(number)
        assert whole.rebased
        forms = [whole.data]
        for origin in range(0, number * SEGMENT_SECONDS + 1, SEGMENT_SECONDS):
            forms += [whole.rebased(origin, headed=headed) for headed in (True, False)]
        found |= dict.fromkeys(map(_digest, forms), number)
    return found


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _is_in_order(one: leg.Leg) -> bool:
    return one.end is not None and one.end.in_order


def tells(status: dict[str, Any], *, state: str, reason: str, retryable: bool | None) -> None:
    """What every row has to tell, in words that name no path, key or internals."""
    assert (status["state"], status.get("reason")) == (state, reason)
    assert status.get("retryable") == retryable
    words = status.get("what_now", "") + str(status.get("error", {}).get("help", ""))
    assert state != "failed" or words
    assert not re.search(r"ih_test_key|/\w+/|Error\b|Exception|\bNone\b", words), words


# --- before the session ---------------------------------------------------------------------------


async def test_n1_a_refused_connection_is_tried_again_up_to_six_times(road: Start) -> None:
    async with road() as made:
        await made.proxy.refuse()
        made.proxy.cut()
        await made.over()
        assert 6 <= len(made.opened) <= 8
    tells(made.status, state="failed", reason="unreachable", retryable=True)


async def test_n1_a_name_that_nobody_knows(tmp_path: Path) -> None:
    async with streaming(tmp_path, "http://no-such-host.invalid") as made:
        await made.over()
    tells(made.status, state="failed", reason="unreachable", retryable=True)
    assert len(made.opened) == 7


async def test_n1_a_connection_that_cannot_be_trusted_is_not_tried_again(
    road: Start, tmp_path: Path
) -> None:
    async with road() as made, AsyncExitStack() as stack:
        url = made.proxy.url.replace("http:", "https:")
        other = await stack.enter_async_context(streaming(tmp_path / "other", url))
        await other.over()
    tells(other.status, state="failed", reason="tls", retryable=False)
    assert len(other.opened) == 1
    assert issubclass(ssl.SSLError, OSError)  # it would pass for an unreachable host


async def test_n2_a_peer_that_never_answers_the_upgrade(road: Start) -> None:
    async with road(open_seconds=0.5) as made:
        made.proxy.half_open()
        made.proxy.cut()
        await made.stream.until(lambda: len(made.opened) >= 3)
        tells(made.status, state="connecting", reason="unreachable", retryable=True)
        made.proxy.heal()
        await made.feed(range(2))
        await made.over()
    assert made.stream.failure is None


@pytest.mark.parametrize(
    ("row", "answer", "reason", "retryable"),
    [
        ("N3", {"status": 401, "error": "ih2011"}, "auth_failed", False),
        ("N4", {"status": 403, "error": "ih2003"}, "auth_failed", False),
        ("N5", {"status": 429, "error": "ih3003"}, "quota_used_up", False),
        ("N5", {"status": 429, "error": "ih3006"}, "quota_used_up", False),
        ("N5", {"status": 429, "retry_after": 120}, "rate_limited", True),
        ("N7", {"status": 400}, "refused", False),
        ("N7", {"status": 404}, "refused", False),
        ("N7", {"status": 426}, "not_a_websocket", False),
        ("N7", {"status": 418}, "refused", False),
        ("N7", {"status": 200}, "not_the_service", False),
        ("N7", {"status": 511}, "not_the_service", False),
        ("N8", {"status": 301}, "redirect", False),
        ("N8", {"status": 307}, "redirect", False),
    ],
)
async def test_a_refused_upgrade_is_told_and_not_tried_again(
    road: Start, row: str, answer: dict[str, object], reason: str, retryable: bool
) -> None:
    async with road({"at": "upgrade", **answer}) as made:
        await made.over()
        assert len(made.opened) == 1, row
    tells(made.status, state="failed", reason=reason, retryable=retryable)
    assert made.status["error"]["status"] == answer["status"]
    if "retry_after" in answer:
        assert made.status["error"]["retry_after_s"] == 120


@pytest.mark.parametrize(
    ("row", "answer", "state"),
    [
        ("N5", {"status": 429, "retry_after": 1}, "waiting"),
        ("N6", {"status": 500}, "connecting"),
        ("N6", {"status": 502}, "connecting"),
        ("N6", {"status": 503, "retry_after": 1}, "connecting"),
        ("N6", {"status": 504}, "connecting"),
    ],
)
async def test_an_upgrade_that_may_work_later_is_tried_again(
    road: Start, row: str, answer: dict[str, object], state: str
) -> None:
    async with road({"at": "upgrade", "session": 1, **answer}) as made:
        if "retry_after" in answer:
            await made.stream.until(lambda: made.stream.pending_reconnect is not None)
            assert made.status["state"] == state, row
            assert 0.5 < made.status["retry_after_s"] <= 1
        await made.feed(range(2))
        await made.over()
        waited = made.opened[1] - made.opened[0]
        assert waited >= float(str(answer.get("retry_after", 0)))
    assert made.stream.failure is None
    assert made.status["segments"] == {"completed": 2}


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Accept: bm90IHRoYXQ=\r\n\r\n"
        ),
        b"HTTP/1.1 " + b"x" * 100_000,
    ],
)
async def test_n7_what_is_no_websocket_is_told(tmp_path: Path, answer: bytes) -> None:
    async def work(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            if answer:
                await stream.send(answer)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, work)
            async with streaming(tmp_path, f"http://127.0.0.1:{port}") as made:
                await made.over()
            tasks.cancel_scope.cancel()
    assert made.status["state"] == "failed"
    assert made.status["reason"] in {"not_a_websocket", "unreachable"}
    assert made.status["error"]["help"]


async def test_n9_a_session_that_never_greets_is_tried_once_more(road: Start) -> None:
    async with road({"at": "open", "stall": "telling"}) as made:
        await made.over()
        assert len(made.opened) == 2
    tells(made.status, state="failed", reason="not_ready", retryable=True)


async def test_n10_a_second_greeting_changes_nothing_and_is_kept(road: Start) -> None:
    again = (
        '{"type":"session.ready","timestamp":"t","correlation_id":"c",'
        '"data":{"max_segment_size_bytes":1}}'
    )
    async with road({"at": "ready", "send": again}) as made:
        await made.feed(range(2))
        await made.over()
        assert again in await made.messages()
    assert made.status["irregular_messages"] == 1
    assert made.status["segments"] == {"completed": 2}


# --- ends -----------------------------------------------------------------------------------------


async def test_n11_the_last_word_ends_a_stream(road: Start) -> None:
    async with road() as made:
        await made.feed(range(3))
        await made.over()
    assert (made.status["state"], made.status["reason"]) == ("ended", "by_request")


async def test_n12_an_end_without_the_last_word_is_the_services(road: Start) -> None:
    async with road({"at": "segment", "n": 2, "close": 1000}) as made:
        await made.feed(range(3), ends=False)
        await made.over()
    assert (made.status["state"], made.status["reason"]) == ("ended", "by_service")
    assert made.status["lost"]["segments_unknown"] >= 1


LOSSES: dict[str, Callable[[Proxy], object] | dict[str, object]] = {
    "N13 reset": lambda proxy: proxy.cut(),
    "N13 end of file": lambda proxy: proxy.cut(reset=False),
    "N19 half open": lambda proxy: proxy.half_open(),
    "N23 nothing comes down": lambda proxy: proxy.down.set(is_lost=True),
}


@pytest.mark.parametrize("phase", ["before ready", "quiet", "during a push", "during drain"])
@pytest.mark.parametrize("row", LOSSES)
@pytest.mark.usefixtures("keen")
async def test_a_lost_connection_is_told_and_gone_on_with(
    road: Start, row: str, phase: str
) -> None:
    lose = LOSSES[row]
    assert callable(lose)
    steps = {
        "before ready": [{"at": "open", "session": 1, "stall": "telling"}],
        "during drain": [{"at": "closing", "session": 1, "stall": "telling"}],
    }.get(phase, [])
    async with road(*steps) as made:
        stream = made.stream
        if phase == "before ready":
            await stream.until(lambda: bool(stream.legs))
        elif phase == "during a push":
            await stream.wait_until_open()
            made.proxy.up.set(bytes_per_second=2_000)
            await made.feed(range(2), ends=False)
            await made.proxy.until(lambda: made.proxy.links[0].bytes_up > 600)
        else:
            await made.feed(range(3), ends=phase == "during drain")
            await stream.until(lambda: stream.answered_seconds > 0)
        if phase == "during drain":
            await stream.until(lambda: bool(stream.leg and stream.leg.close_sent))
        lose(made.proxy)
        if phase == "during drain":
            await made.over()
        else:
            await stream.until(lambda: stream.pending_reconnect is not None or len(stream.legs) > 1)
            made.proxy.heal()
            await made.feed(range(3, 5))
            await made.over()
        status = made.status
    if phase == "during drain":
        assert status["state"] == "failed" or status["reason"] == "drain_timeout"
        return
    assert status["state"] == "ended", status
    if phase != "before ready":
        assert [gap["legs"] for gap in status["gaps"]] == [[0, 1]]
        assert status["gaps"][0]["reason"] in {"connection_lost", "peer_silent", "upload_stalled"}


@pytest.mark.parametrize("code", [1001, 1012, 1014])
async def test_n13_a_close_that_promises_a_return_is_gone_on_with(road: Start, code: int) -> None:
    async with road({"at": "segment", "n": 2, "session": 1, "close": code}) as made:
        await made.feed(range(4))
        await made.over()
    assert made.status["state"] == "ended", made.status
    assert made.status["gaps"][0]["reason"] == "refused"


async def test_n14_a_service_that_fails_is_tried_twice(road: Start) -> None:
    async with road({"at": "segment", "n": 1, "close": 1011}) as made:
        for number in range(3):
            await made.stream.put(piece(number))
            await made.stream.until(lambda: len(made.stream.legs) > number + 1)  # noqa: B023 - awaited
        await made.over()
        assert len(made.opened) == 3
    tells(made.status, state="failed", reason="service_error", retryable=True)


async def test_n15_a_busy_service_is_left_alone_for_five_seconds(road: Start) -> None:
    async with road({"at": "open", "error": "ih1003"}) as made:
        await made.stream.until(lambda: made.stream.pending_reconnect is not None)
        status = made.status
        assert 4 < status["retry_after_s"] <= 5
        made.stream.request_end()
        await made.over()
        assert len(made.opened) == 1
    tells(status, state="connecting", reason="service_error", retryable=True)


@pytest.mark.parametrize(
    ("row", "step", "reason"),
    [
        ("N16", {"close": 1002}, "refused"),
        ("N16", {"close": 1003}, "refused"),
        ("N16", {"close": 1007}, "refused"),
        ("N16", {"close": 1009}, "refused"),
        ("N17", {"close": 1008, "reason": "why"}, "refused"),
        ("N17", {"error": "ih4005"}, "refused"),
        ("N18", {"close": 3000}, "service_error"),
        ("N18", {"close": 4999}, "service_error"),
        ("N4", {"error": "ih2003"}, "auth_failed"),
        ("N38", {"error": "ih2014"}, "auth_failed"),
    ],
)
async def test_a_close_that_another_session_cannot_help(
    road: Start, row: str, step: dict[str, object], reason: str
) -> None:
    async with road({"at": "segment", "n": 2, **step}) as made:
        await made.feed(range(4))
        await made.over()
        assert len(made.opened) == 1, row
    tells(made.status, state="failed", reason=reason, retryable=False)


# --- while it goes on -----------------------------------------------------------------------------


@pytest.mark.usefixtures("keen")
async def test_n20_a_peer_that_stops_reading_is_given_up_and_the_segment_is_unknown(
    road: Start,
) -> None:
    async with road() as made:
        stream = made.stream
        await made.feed(range(3), ends=False)
        await stream.until(lambda: stream.answered_seconds > 0)
        made.proxy.up.set(is_stalled=True)
        big = QueuedSegment(b"x" * (12 * 2**20), 9, 12)
        await stream.put(big)
        await stream.until(lambda: stream.pending_reconnect is not None or len(stream.legs) > 1)
        made.proxy.heal()
        assert stream.legs[0].receipts.counts()["unknown"] >= 1
        assert stream.legs[0].end
        assert stream.legs[0].end.reason.value in {"upload_stalled", "peer_silent"}
        await made.feed([4])
        await made.over()
    assert made.status["gaps"][0]["segments"]["unknown"] >= 1


async def test_n21_a_slow_uplink_is_told_and_never_killed(road: Start) -> None:
    async with road() as made:
        stream = made.stream
        await stream.wait_until_open()
        made.proxy.up.set(bytes_per_second=8 * 2**20)
        await stream.put(QueuedSegment(piece(0).data + b" " * 12 * 2**20, 0, 0.1))
        await stream.until(lambda: stream.was_sent)
        assert stream.leg
        assert stream.leg.is_behind
        assert made.status["what_now"].startswith("Falling behind")
        stream.request_end()
        await made.over()
    assert made.status["state"] == "ended", made.status
    assert len(made.stream.legs) == 1


async def test_n22_latency_and_stalls_are_borne(road: Start) -> None:
    async with road() as made:
        for way in (made.proxy.up, made.proxy.down):
            way.set(latency_seconds=0.1, jitter_seconds=0.1, slice_bytes=300)
        await made.feed(range(3))
        await made.over()
    assert made.status["segments"] == {"completed": 3}
    assert len(made.stream.legs) == 1


@pytest.mark.parametrize(
    ("row", "texts"),
    [
        ("N24", ["no json", '{"no":"type"}', "[1,2]", "17"]),
        ("N26", ['{"type":"x","data":{"y":"' + "z" * 2**20 + '"}}']),
        ("N29", ['{"type":"x","n":1e999,"m":NaN,"type":"y"}', "[" * 1_000 + "]" * 1_000, "\x00"]),
        ("N30", ['{"type":"signal.detected","data":{"signal_type":"stress","start":-5}}'] * 2),
    ],
)
async def test_whatever_the_service_says_is_kept_and_ends_nothing(
    road: Start, row: str, texts: list[str]
) -> None:
    async with road(*({"at": "ready", "send": text} for text in texts)) as made:
        await made.feed(range(2))
        await made.over()
        assert (await made.messages())[1 : 1 + len(texts)] == texts, row
    assert made.status["segments"] == {"completed": 2}


async def test_n31_an_error_alone_ends_nothing(road: Start) -> None:
    async with road({"at": "segment", "n": 2, "error": "ih6002"}) as made:
        await made.feed(range(3))
        await made.over()
    assert made.status["segments"] == {"completed": 2, "refused": 1}


async def test_n32_an_idle_session_is_followed_when_there_is_media_again(road: Start) -> None:
    async with road(max_idle_seconds=1.0) as made:
        await made.feed([0], ends=False)
        await made.stream.until(lambda: made.stream.pending_reconnect is not None)
        assert made.status["state"] == "waiting"
        await anyio.sleep(0.3)
        assert len(made.opened) == 1
        await made.feed([1, 2])
        await made.over()
    assert made.status["state"] == "ended", made.status
    assert made.status["gaps"][0]["media_offset_s"] == 3


async def test_n33_a_long_file_goes_over_to_another_session_and_loses_no_second(
    road: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leg, "_LEAST_SESSION_SECONDS", 3.0)
    monkeypatch.setattr(leg, "_ROTATION_SHARE", 0.6)  # leaves a busy machine time to drain
    async with road(max_session_seconds=3.0) as made:
        for number in range(6):
            await made.feed([number], ends=False)
            await anyio.sleep(0.3)
        made.stream.request_end()
        await made.over()
        assert made.recorder
        billed = [record.billed.seconds for record in made.recorder.sessions]
        ends = [record.close_code for record in made.recorder.sessions]
    assert len(billed) >= 2
    assert sum(billed) == pytest.approx(6 * SEGMENT_SECONDS, abs=0.6)
    assert set(ends) == {1000}
    assert made.status["segments"] == {"completed": 6}
    assert made.status["gaps"][0]["reason"] == "rotated"
    assert "lost" not in made.status


async def test_n34_an_end_that_is_never_confirmed_is_bounded(road: Start) -> None:
    async with road({"at": "drain", "stall": "telling"}, max_drain_seconds=1.0) as made:
        await made.feed(range(2))
        with anyio.fail_after(8):
            await made.over()
    assert (made.status["state"], made.status["reason"]) == ("ended", "drain_timeout")


async def test_n37_a_connection_that_drops_again_and_again(road: Start) -> None:
    async with road() as made:
        stream = made.stream
        for number in range(20):
            await made.feed([3 * number, 3 * number + 1, 3 * number + 2], ends=False)
            at = SEGMENT_SECONDS * 3 * number + 1
            await stream.until(lambda at=at: stream.answered_seconds >= at)
            if stream.is_over:
                break
            made.proxy.cut()
            await stream.until(lambda n=number: len(stream.legs) > n + 1)
        await made.over()
        assert len(made.opened) == 11
    tells(made.status, state="failed", reason="unstable", retryable=True)


async def test_what_was_of_unknown_fate_goes_out_again_only_where_asked(road: Start) -> None:
    async with road({"at": "segment", "n": 3, "session": 1, "reset": True}, resends=True) as made:
        await made.feed(range(4))
        await made.over()
        assert made.recorder
        counts = [len(record.segments) for record in made.recorder.sessions]
    assert made.status["state"] == "ended", made.status
    assert sum(counts) > 4


# --- peers that do not keep to the protocol -------------------------------------------------------

Work = Callable[[ServerConnection], Awaitable[None]]
READY = (
    '{"type":"session.ready","timestamp":"t","correlation_id":"c","data":'
    '{"session_idle_timeout_seconds":300,"session_max_duration_seconds":3600}}'
)


@asynccontextmanager
async def wild(work: Work) -> AsyncIterator[str]:
    """A WebSocket server that greets and then does what a test says."""

    async def greet(connection: ServerConnection) -> None:
        await connection.send(READY)
        await work(connection)

    async with serve_websocket(
        greet, "127.0.0.1", 0, compression=None, ping_interval=None
    ) as server:
        yield f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


def _heard(made: Road) -> int:
    return sum(one.messages for one in made.stream.legs)


async def _raw(frames: bytes, connection: ServerConnection) -> None:
    connection.transport.write(frames)
    await connection.wait_closed()


@pytest.mark.parametrize(
    ("row", "frames", "reason", "tries"),
    [
        ("N27 over the limit", b"\x81\x7f" + (9 * 2**20).to_bytes(8, "big"), "message_too_big", 2),
        ("N27 one tebibyte", b"\x81\x7f" + (2**40).to_bytes(8, "big"), "message_too_big", 2),
        ("N28 no text", b"\x81\x02\xff\xfe", "broken_frames", 1),
        ("N28 reserved bits", b"\xf1\x01x", "broken_frames", 1),
        ("N28 masked", b"\x81\x81\x00\x00\x00\x00x", "broken_frames", 1),
        ("N28 continuation of nothing", b"\x80\x01x", "broken_frames", 1),
    ],
)
async def test_frames_that_are_none(
    tmp_path: Path, row: str, frames: bytes, reason: str, tries: int
) -> None:
    async with wild(partial(_raw, frames)) as url, streaming(tmp_path, url) as made:
        await made.over()
        assert await made.messages() == [READY] * tries, row
    assert len(made.opened) == tries
    tells(made.status, state="failed", reason=reason, retryable=reason != "broken_frames")


async def test_n25_a_binary_message_is_kept_as_it_is(tmp_path: Path) -> None:
    async def work(connection: ServerConnection) -> None:
        await connection.send(b"\x00\xff binary")
        await connection.send('{"type":"x"}')
        await connection.wait_closed()

    async with wild(work) as url, streaming(tmp_path, url) as made:
        await made.stream.until(lambda: _heard(made) == 3)
        await made.stream.log.flush()
        assert await made.messages() == [READY, b"\x00\xff binary", '{"type":"x"}']
        assert made.status["irregular_messages"] == 1


async def test_n26_a_message_just_under_the_limit_is_kept(tmp_path: Path) -> None:
    text = '{"type":"x","data":"' + "y" * (8 * 2**20 - 100) + '"}'

    async def work(connection: ServerConnection) -> None:
        await connection.send(text)
        await connection.wait_closed()

    async with wild(work) as url, streaming(tmp_path, url) as made:
        await made.stream.until(lambda: _heard(made) == 2)
        await made.stream.log.flush()
        assert (await made.messages())[1] == text


async def test_n30_what_comes_after_the_last_word_is_kept_in_order(tmp_path: Path) -> None:
    ended = '{"type":"session.ended","data":{"reason":"x"}}'
    late = '{"type":"signal.ended","data":{"signal_type":"stress","end":1}}'

    async def work(connection: ServerConnection) -> None:
        for text in (ended, late, ended):
            await connection.send(text)
        await connection.close(1000)

    async with wild(work) as url, streaming(tmp_path, url) as made:
        await made.over()
        assert await made.messages() == [READY, ended, late, ended]
    assert (made.status["state"], made.status["irregular_messages"]) == ("ended", 2)


def in_bytes(count: int) -> bytes:
    """A message in so many fragments of one byte."""
    return b"\x01\x01x" + b"\x00\x01x" * (count - 2) + b"\x80\x01x"


async def test_n35_a_message_in_too_many_pieces_is_refused(tmp_path: Path) -> None:
    async with wild(partial(_raw, in_bytes(20_000))) as url, streaming(tmp_path, url) as made:
        await made.over()
    tells(made.status, state="failed", reason="message_too_big", retryable=True)


@pytest.mark.parametrize("what", ["pings", "fragments of one byte", "empty messages"])
async def test_n35_a_flood_of_small_things_is_borne(tmp_path: Path, what: str) -> None:
    count = often(4_000, nightly=20_000)
    floods = {
        "pings": b"\x89\x00" * count,
        "fragments of one byte": in_bytes(1_000),
        "empty messages": b"\x81\x00" * count,
    }
    messages = {"pings": 1, "fragments of one byte": 2, "empty messages": count + 1}[what]

    async def work(connection: ServerConnection) -> None:
        connection.transport.write(floods[what])
        await connection.send('{"type":"last"}')
        await connection.wait_closed()

    async with wild(work) as url, streaming(tmp_path, url) as made:
        legs = made.stream.legs
        await made.stream.until(lambda: bool(legs) and legs[0].messages == messages + 1)
        await made.stream.log.flush()
        kept = await made.messages()
    assert len(kept) == messages + 1
    assert kept[-1] == '{"type":"last"}'


async def test_n36_a_flood_of_messages_is_kept_whole_and_in_order(tmp_path: Path) -> None:
    texts = [
        f'{{"type":"x","n":{n},"pad":"{"y" * 300}"}}' for n in range(often(4_000, nightly=50_000))
    ]

    async def work(connection: ServerConnection) -> None:
        for text in texts:
            await connection.send(text)
        await connection.wait_closed()

    async with wild(work) as url, streaming(tmp_path, url) as made:
        legs = made.stream.legs
        await made.stream.until(lambda: bool(legs) and legs[0].messages == len(texts) + 1)
        await made.stream.log.flush()
        assert await made.messages() == [READY, *texts]
