from __future__ import annotations

import json
from functools import partial
from random import Random

import anyio
import pytest

from ih_mcp.net.socket import SocketClosed
from ih_mcp.standin.analysis.analyst import Observations
from ih_mcp.standin.analysis.windows import Window
from ih_mcp.standin.credential_store import Caps, Grant
from ih_mcp.standin.faults.script import Script
from ih_mcp.standin.options import Options
from ih_mcp.wire.dialects import V1, V2, Dialect
from ih_mcp.wire.error_catalog import ROWS, ErrorRow
from ih_mcp.wire.rest import STREAM_SCOPE
from tests.facts import shows

from .fakes import Json, MemoryClientSocket, ScriptedAnalyst, data, kinds, seen, session, toy

CQI = ["conversation_quality_overall", "conversation_quality_timeline"]


def options_of(greeting: Json) -> Json:
    """What a greeting offers for the configuration."""
    offered = data(greeting)["supported_session_config_options"]
    assert isinstance(offered, dict)
    return offered


def scripted(*steps: object, **options: object) -> Options:
    return Options(analyst=ScriptedAnalyst, script=Script.parse(list(steps)), **options)  # type: ignore[arg-type]  # by name


async def test_the_greeting_comes_first_and_declares_the_limits() -> None:
    async with session(dialect=V2) as client:
        greeting = await client.message()
    assert greeting["type"] == "session.ready"
    assert greeting["correlation_id"] == "c0ffee"
    assert str(greeting["timestamp"]).endswith("Z")
    assert data(greeting) == {
        "min_segment_size_bytes": 1,
        "max_segment_size_bytes": 33_554_432,
        "max_segment_duration_seconds": None,
        "session_idle_timeout_seconds": 300,
        "session_max_duration_seconds": 3600,
        "supported_session_config_options": {
            "include": CQI,
            "goal_dimensions": None,
            "model": ["inter-2", "inter-2-audio"],
        },
    }


async def test_a_session_goes_from_media_to_an_orderly_end() -> None:
    async with session() as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 6))
        await client.socket.send_segment(toy(6, 12, header=False))
        messages, closed = await client.end()
    assert kinds(messages) == [
        "signal.detected",
        "engagement.updated",
        "session.closing",
        "signal.ended",
        "session.ended",
    ]
    assert data(messages[0]) == {
        "signal_type": "agreement",
        "start": 0.0,
        "probability": "high",
        "rationale": "why",
        "modality": ["video"],
    }
    assert data(messages[-2]) == {"signal_type": "agreement", "end": 12.0}
    assert data(messages[-1]) == {"reason": "client_shutdown"}
    assert (closed.code, client.record.end) == (1000, "session.ended")
    assert client.record.billed.seconds == 12.0


async def test_quality_comes_on_its_cadence_and_only_where_it_is_asked_for() -> None:
    async with session(scripted(has_feedback=True)) as client:
        greeting = await client.message()
        assert options_of(greeting)["goal_dimensions"] == list(V1.goal_dimensions)
        await client.say({"include": [*CQI, "unknown"], "goal_dimensions": ["clarity", "x"]})
        updated = (await client.until("session.updated"))[-1]
        assert data(updated) == {"include": CQI, "goal_dimensions": ["clarity"], "model": None}
        await client.socket.send_segment(toy(0, 22))
        messages, _ = await client.end()
    quality = [data(m) for m in messages if m["type"] == "conversation_quality.updated"]
    spans = [(e["start"], e["end"]) for q in quality for e in q["timeline"]]  # type: ignore[attr-defined]  # JSON
    assert spans == [(0.0, 11.0), (11.0, 20.0)]
    assert kinds(messages).count("feedback.generated") == 2
    async with session() as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 22))
        messages, _ = await client.end()
    assert "conversation_quality.updated" not in kinds(messages)


async def test_one_section_alone_is_one_section_alone() -> None:
    async with session() as client:
        await client.until("session.ready")
        await client.say({"include": CQI[:1]})
        await client.socket.send_segment(toy(0, 12))
        (quality,) = [
            data(m) for m in (await client.end())[0] if m["type"] == "conversation_quality.updated"
        ]
    assert set(quality) == {"overall"}


@pytest.mark.parametrize("seed", range(5))
async def test_windows_that_finish_out_of_order_are_told_in_order(seed: int) -> None:
    def sees(window: Window) -> Observations:
        return Observations(signals=[seen(rationale=f"{window.index}")])

    analyst = ScriptedAnalyst(sees=sees, random=Random(seed))  # noqa: S311 - a test
    options = Options(analyst=lambda: analyst, max_concurrent_windows=5, max_waiting_windows=3)
    async with session(options, dialect=V2) as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 60))
        messages, _ = await client.end()
    told = [data(m)["rationale"] for m in messages if "rationale" in data(m)]
    assert told == [f"{index}" for index in range(len(told))]
    assert len(told) == 19
    assert analyst.is_closed


async def test_media_that_is_not_analysed_yet_makes_the_client_wait() -> None:
    gate = anyio.Event()
    analyst = ScriptedAnalyst(gate=gate)
    options = Options(analyst=lambda: analyst, max_concurrent_windows=1, max_waiting_windows=1)
    async with session(options, room=1) as client:
        await client.until("session.ready")
        sent = 0
        with anyio.move_on_after(0.2) as waiting:
            for second in range(100):
                await client.socket.send_segment(toy(second, second + 1, header=second == 0))
                sent += 1
        assert waiting.cancelled_caught
        assert sent < 20
        assert len(analyst.windows) == 1
        gate.set()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.say, {"type": "session.close"})
            await client.until("session.ended")


async def test_shed_windows_leave_exactly_the_seconds_nobody_covered() -> None:
    steps = [{"at": "window", "n": n, "shed": True} for n in (2, 3, 4)]
    async with session(scripted(*steps)) as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 23))
        messages, _ = await client.end()
    (dropped,) = [data(m) for m in messages if m["type"] == "coverage.dropped"]
    assert dropped == {"ranges": [{"start": 8.0, "end": 12.0}]}
    assert client.record.billed.seconds == 19.0
    assert client.record.as_json()["dropped"] == [[8.0, 12.0]]


async def test_a_flooded_stand_in_sheds_and_tells_what_nobody_saw() -> None:
    gate = anyio.Event()
    analyst = ScriptedAnalyst(gate=gate)
    options = Options(
        analyst=lambda: analyst, sheds=True, max_concurrent_windows=1, max_waiting_windows=0
    )
    async with session(options) as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 30))
        await anyio.wait_all_tasks_blocked()
        gate.set()
        messages, _ = await client.end()
    assert len(analyst.windows) < 9
    dropped = [r for m in messages if m["type"] == "coverage.dropped" for r in _ranges(m)]
    assert client.record.billed.seconds + sum(end - start for start, end in dropped) == 30.0
    assert all(not list(client.record.billed.within(start, end)) for start, end in dropped)


def _ranges(message: Json) -> list[tuple[float, float]]:
    ranges = data(message)["ranges"]
    assert isinstance(ranges, list)
    return [(item["start"], item["end"]) for item in ranges]


async def test_at_a_set_speed_a_flood_is_shed_and_the_work_it_took_is_told() -> None:
    options = Options(analyst=ScriptedAnalyst, analysis_speed=10, sheds=True, max_waiting_windows=2)
    async with session(options) as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 60))
        messages, _ = await client.end()
    dropped = [r for m in messages if m["type"] == "coverage.dropped" for r in _ranges(m)]
    assert dropped
    assert client.record.billed.seconds + sum(end - start for start, end in dropped) == 60.0
    work = client.record.work
    assert work.windows >= 3  # one under analysis, two waiting
    assert work.windows + work.shed == 19
    assert work.seconds >= client.record.billed.seconds / 10
    assert client.record.as_json()["analysis"] == {
        "windows": work.windows,
        "windows_shed": work.shed,
        "seconds": round(work.seconds, 3),
    }


async def test_at_a_set_speed_who_waits_for_answers_loses_nothing() -> None:
    analyst = ScriptedAnalyst(sees=lambda w: Observations(signals=[seen(rationale=f"{w.index}")]))
    options = Options(
        analyst=lambda: analyst, analysis_speed=200, sheds=True, max_waiting_windows=1
    )
    async with session(options, dialect=V2) as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 9))
        await client.until("signal.detected")
        for start in range(9, 39, 3):
            await client.socket.send_segment(toy(start, start + 3, header=False))
            await client.until("signal.updated")
        messages, _ = await client.end()
    assert "coverage.dropped" not in kinds(messages)
    assert client.record.billed.seconds == 39.0
    assert (client.record.work.windows, client.record.work.shed) == (12, 0)


async def test_the_work_on_a_window_takes_its_share_of_the_window() -> None:
    options = Options(analyst=ScriptedAnalyst, analysis_ratio=0.01)
    async with session(options) as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 14))
        await client.end()
    assert client.record.work.windows == 3
    assert client.record.work.seconds >= 3 * 8 * 0.01


async def test_a_gap_in_the_media_is_told_as_dropped_and_not_billed() -> None:
    async with session() as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 9) + toy(20, 29, header=False))
        messages, _ = await client.end()
    (dropped,) = [data(m) for m in messages if m["type"] == "coverage.dropped"]
    assert dropped == {"ranges": [{"start": 9.0, "end": 20.0}]}
    assert client.record.billed.seconds == 18.0


async def test_a_picture_that_stops_is_told_as_degraded_and_billed() -> None:
    async with session() as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 4) + toy(4, 12, header=False, pictures=False))
        messages, _ = await client.end()
    degraded = [data(m) for m in messages if m["type"] == "coverage.degraded"]
    assert degraded[0] == {"ranges": [{"start": 3.54, "end": 8.0}], "reason": "video_gap"}
    assert client.record.billed.seconds == 12.0


async def test_an_unheaded_first_message_is_refused_and_the_session_goes_on() -> None:
    async with session() as client:
        await client.until("session.ready")
        await client.socket.send_segment(b"no container at all")
        (error,) = await client.until("error")
        assert (data(error)["code"], data(error)["segment"]) == ("ih5004", 1)
        await client.socket.send_segment(toy(0, 9))
        assert await client.until("signal.detected")


async def test_a_headed_message_opens_a_clip_whose_time_goes_on() -> None:
    async with session() as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 6))
        await client.socket.send_segment(toy(0, 6))
        messages, _ = await client.end()
    assert data(messages[-2]) == {"signal_type": "agreement", "end": 12.0}


async def test_a_clip_that_cannot_be_decoded_is_refused_with_its_number() -> None:
    async with session() as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 9))
        await client.socket.send_segment(b"\x1a\x45\xdf\xa3\nnothing\n")
        error = (await client.until("error"))[-1]
    assert (data(error)["code"], data(error)["segment"]) == ("ih5004", 2)


async def test_a_first_chunk_of_one_byte_is_the_beginning_of_a_header() -> None:
    media = toy(0, 9)
    async with session() as client:
        await client.until("session.ready")
        await client.socket.send_segment(media[:1])
        await client.socket.send_segment(media[1:])
        messages, _ = await client.end()
    assert "error" not in kinds(messages)
    assert "signal.detected" in kinds(messages)


async def test_a_recording_too_short_for_a_window_is_told_so() -> None:
    async with session() as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 2))
        messages, closed = await client.end()
    assert kinds(messages) == ["session.closing", "error", "coverage.dropped", "session.ended"]
    assert data(messages[1])["code"] == "ih5006"
    assert client.record.billed.seconds == 0
    assert closed.code == 1000


@pytest.mark.parametrize(("strict", "expected"), [(False, []), (True, ["ih5006"])])
async def test_a_short_clip_of_several_is_refused_where_strict(
    strict: bool, expected: list[str]
) -> None:
    async with session(Options(strict=strict, analyst=ScriptedAnalyst)) as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 2))
        await client.socket.send_segment(toy(0, 9))
        messages, _ = await client.end()
    assert [data(m)["code"] for m in messages if m["type"] == "error"] == expected


async def test_too_large_a_message_is_refused_and_counted() -> None:
    options = Options(max_segment_bytes=2000, analyst=ScriptedAnalyst)
    async with session(options) as client:
        await client.until("session.ready")
        await client.socket.send_segment(bytes(2001))
        await client.socket.send_segment(b"")
        await client.socket.send_segment(toy(0, 9))
        messages, _ = await client.end()
    assert [(data(m)["code"], data(m)["segment"]) for m in messages if m["type"] == "error"] == [
        ("ih6002", 1)
    ]
    assert [size for size, _ in client.record.segments][:2] == [2001, 0]
    assert "signal.detected" in kinds(messages)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "ih4006"),
        ("[]", "ih6001"),
        ('{"session_id": "x"}', "ih6001"),
        ('{"type": "something.else"}', "ih6001"),
        ('{"include": "all"}', "ih6001"),
        ('{"model": "inter-2"}', "ih6001"),
        ('{"model": 3}', "ih6001"),
    ],
)
async def test_a_wrong_text_frame_is_answered_and_ends_nothing(text: str, code: str) -> None:
    async with session() as client:
        await client.until("session.ready")
        await client.socket.send_text(text)
        assert data(await client.message())["code"] == code
        await client.say({})
        assert data(await client.message()) == {
            "include": [],
            "goal_dimensions": None,
            "model": None,
        }


@pytest.mark.parametrize(("strict", "kind"), [(False, "session.updated"), (True, "error")])
async def test_the_configuration_of_the_blog_is_taken_where_lenient(
    strict: bool, kind: str
) -> None:
    async with session(Options(strict=strict, analyst=ScriptedAnalyst)) as client:
        await client.until("session.ready")
        await client.say({"type": "session.configure", "include": CQI})
        assert (await client.message())["type"] == kind


async def test_media_after_the_close_is_refused_once() -> None:
    gate = anyio.Event()
    options = Options(analyst=partial(ScriptedAnalyst, gate=gate))
    async with session(options) as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 9))
        await client.say({"type": "session.close"})
        for _ in range(3):
            await client.socket.send_segment(toy(9, 12, header=False))
        await client.until("error")
        gate.set()
        messages, _ = await client.rest()
    assert "error" not in kinds(messages)
    assert len(client.record.segments) == 4


async def test_a_drain_that_takes_too_long_ends_all_the_same() -> None:
    options = Options(analyst=partial(ScriptedAnalyst, gate=anyio.Event()), max_drain_seconds=0.1)
    async with session(options) as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 9))
        messages, closed = await client.end()
    assert kinds(messages) == ["session.closing", "coverage.dropped", "session.ended"]
    assert closed.code == 1000


async def test_a_client_that_goes_away_cancels_what_is_on_its_way() -> None:
    analyst = ScriptedAnalyst(gate=anyio.Event())
    async with session(Options(analyst=lambda: analyst)) as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 9))
        await client.socket.abort()
        await client.record.over.wait()
    assert client.record.end == "client went away"
    assert analyst.is_closed
    assert client.grant.sessions == 0


async def test_a_client_that_closes_is_told_apart_from_one_that_is_lost() -> None:
    async with session() as client:
        await client.until("session.ready")
        await client.socket.close(1000)
        await client.record.over.wait()
    assert (client.record.end, client.record.close_code) == ("client closed", 1000)


async def test_idleness_ends_a_session() -> None:
    async with session(Options(max_idle_seconds=0.05, analyst=ScriptedAnalyst)) as client:
        await client.until("session.ready")
        messages, closed = await client.rest()
    assert data(messages[0])["code"] == "ih6003"
    assert (closed.code, client.record.end) == (1001, "refused: ih6003")


@pytest.mark.parametrize("by", ["option", "token"])
async def test_age_ends_a_session(by: str) -> None:
    grant = Grant(scopes=frozenset({STREAM_SCOPE}), caps=Caps(max_duration_seconds=0))
    options = Options(max_session_seconds=0.05, analyst=ScriptedAnalyst)
    given = grant if by == "token" else None
    async with session(options if by == "option" else None, grant=given) as client:
        messages, closed = await client.rest()
    assert data(messages[-1])["code"] == "ih6004"
    assert closed.code == 1001


@shows("quota-at-opening")
@pytest.mark.parametrize(
    ("grant", "model", "dialect", "code", "close_code"),
    [
        (Grant(scopes=frozenset()), None, V1, "ih2003", 4003),
        (None, "inter-9", V2, "ih4005", 1008),
        (Grant(scopes=frozenset({STREAM_SCOPE}), lacks_backend=True), None, V2, "ih1003", 1013),
        (Grant(scopes=frozenset({STREAM_SCOPE}), lacks_quota=True), None, V1, "ih3003", 4029),
        (Grant(scopes=frozenset({STREAM_SCOPE}), lacks_quota=True), None, V2, "ih3003", 4029),
    ],
)
async def test_refusals_come_instead_of_the_greeting(
    grant: Grant | None, model: str | None, dialect: Dialect, code: str, close_code: int
) -> None:
    async with session(dialect=dialect, model=model, grant=grant) as client:
        messages, closed = await client.rest()
    assert [data(m)["code"] for m in messages] == [code]
    assert closed.code == close_code


async def test_a_model_can_be_changed_until_media_comes() -> None:
    async with session(dialect=V2) as client:
        await client.until("session.ready")
        await client.say({"model": "inter-2-audio"})
        assert data(await client.message())["model"] == "inter-2-audio"
        await client.say({})
        assert data(await client.message())["model"] == "inter-2-audio"
        await client.socket.send_segment(toy(0, 9))
        await client.say({"model": "inter-2"})
        refused = (await client.until("error"))[-1]
        assert data(refused)["code"] == "ih6001"


async def test_a_model_nobody_serves_ends_the_session_and_one_not_held_does_not() -> None:
    grant = Grant(scopes=frozenset({STREAM_SCOPE}), lacks_model="inter-2-audio")
    async with session(dialect=V2, grant=grant) as client:
        await client.until("session.ready")
        await client.say({"model": "inter-2-audio"})
        assert data(await client.message())["code"] == "ih2003"
        await client.say({})
        assert data(await client.message())["model"] == "inter-2"
    async with session(Options(models=("inter-2",)), dialect=V2) as client:
        await client.until("session.ready")
        await client.say({"model": "inter-2-audio"})
        messages, closed = await client.rest()
    assert [data(m)["code"] for m in messages] == ["ih1003"]
    assert closed.code == 1013


@pytest.mark.parametrize("cut", [1, 7, 1000])
async def test_raw_sound_may_be_cut_anywhere(cut: int) -> None:
    analyst = ScriptedAnalyst()
    samples = bytes(range(250)) * 8 * 160  # 10 s at 16 kHz
    async with session(
        Options(analyst=lambda: analyst), dialect=V2, model="inter-2-audio", room=100
    ) as client:
        await client.until("session.ready")
        audio = {"encoding": "pcm_s16le", "sample_rate": 16000, "channels": 1}
        await client.say({"audio_format": audio})
        await client.until("session.updated")
        pieces = [samples[:cut], samples[cut:100_001], samples[100_001:]]
        for piece in pieces:
            await client.socket.send_segment(piece)
        messages, _ = await client.end()
    assert "signal.detected" in kinds(messages)
    assert data(messages[-2])["end"] == 10.0
    assert b"".join(item.samples for item in analyst.fed) == samples  # type: ignore[union-attr]  # sounds only


async def test_the_audio_format_is_fixed_once_sound_came() -> None:
    async with session(dialect=V2, model="inter-2-audio") as client:
        await client.until("session.ready")
        audio = {"encoding": "pcm_s16le", "sample_rate": 24000, "channels": 1}
        for hertz in (16000, 24000):
            await client.say({"audio_format": audio | {"sample_rate": hertz}})
            await client.until("session.updated")
        await client.socket.send_segment(bytes(48_000))
        await client.say({"audio_format": audio})
        await client.until("session.updated")
        await client.say({"audio_format": audio | {"sample_rate": 16000}})
        assert data(await client.message())["code"] == "ih6001"


@pytest.mark.parametrize(
    "audio",
    [
        {"encoding": "pcm_s16le", "sample_rate": 44100, "channels": 1},
        {"encoding": "pcm_s16le", "sample_rate": 16000, "channels": 2},
        {"encoding": "mp3", "sample_rate": 16000, "channels": 1},
        {},
    ],
)
async def test_another_audio_format_is_refused(audio: dict[str, object]) -> None:
    async with session(dialect=V2, model="inter-2-audio") as client:
        await client.until("session.ready")
        await client.say({"audio_format": audio})
        assert data(await client.message())["code"] == "ih6001"


@pytest.mark.parametrize(
    ("model", "pictures", "sound", "expected"),
    [
        ("inter-2", False, True, ["ih5001"]),
        ("inter-2", True, False, ["ih5008"]),
        ("inter-2-audio", False, True, []),
    ],
)
async def test_v2_wants_its_senses_where_strict(
    model: str, pictures: bool, sound: bool, expected: list[str]
) -> None:
    options = Options(strict=True, analyst=ScriptedAnalyst)
    async with session(options, dialect=V2, model=model) as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 20, pictures=pictures, sound=sound))
        messages, _ = await client.end()
    assert [data(m)["code"] for m in messages if m["type"] == "error"] == expected
    assert (client.record.billed.seconds > 0) is (not expected)


async def test_the_audio_model_reports_only_what_it_can_hear() -> None:
    def sees(_: Window) -> Observations:
        return Observations(signals=[seen("stress"), seen("agreement")])

    options = Options(analyst=partial(ScriptedAnalyst, sees=sees))
    async with session(options, dialect=V2, model="inter-2-audio") as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 9))
        messages, _ = await client.end()
    found = [data(m)["signal_type"] for m in messages if m["type"] == "signal.detected"]
    assert found == ["agreement"]


async def test_an_analyst_that_fails_costs_its_windows_only() -> None:
    def sees(window: Window) -> Observations:
        if window.index == 1:
            raise ValueError("it is someone else's code")
        if window.index == 2:
            return Observations(signals=[seen("not_declared")])
        return Observations(signals=[seen()])

    options = Options(analyst=partial(ScriptedAnalyst, sees=sees))
    async with session(options) as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 20))
        messages, closed = await client.end()
    assert [data(m)["code"] for m in messages if m["type"] == "error"] == ["ih1001", "ih1001"]
    (dropped,) = [data(m) for m in messages if m["type"] == "coverage.dropped"]
    assert dropped == {"ranges": [{"start": 8.0, "end": 9.0}]}
    assert closed.code == 1000


async def test_a_key_that_is_used_up_meanwhile_is_told_with_the_segment() -> None:
    async with session() as client:
        await client.until("session.ready")
        client.grant.lacks_quota = True
        await client.socket.send_segment(toy(0, 9))
        messages, closed = await client.rest()
    assert [(data(m)["code"], data(m)["segment"]) for m in messages] == [("ih3003", 1)]
    assert closed.code == 4029


@pytest.mark.parametrize(
    ("caps", "code"),
    [(Caps(max_bytes=100), "ih3006"), (Caps(max_video_seconds=9), "ih3006")],
)
async def test_a_cap_of_a_token_ends_its_session(caps: Caps, code: str) -> None:
    grant = Grant(scopes=frozenset({STREAM_SCOPE}), caps=caps)
    async with session(grant=grant) as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 20))
        messages, closed = await client.rest()
    assert data(messages[-1])["code"] == code
    assert closed.code == 1001


async def test_a_revoked_token_is_refused_with_its_next_segment() -> None:
    grant = Grant(scopes=frozenset({STREAM_SCOPE}))
    async with session(grant=grant) as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 2))
        await client.say({})
        await client.until("session.updated")
        grant.is_revoked = True
        await client.socket.send_segment(toy(2, 4, header=False))
        messages, _ = await client.rest()
    assert [(data(m)["code"], data(m)["segment"]) for m in messages] == [("ih2014", 2)]


async def test_older_shapes_can_be_asked_for() -> None:
    options = Options(has_older_shapes=True, analyst=ScriptedAnalyst)
    async with session(options) as client:
        greeting = await client.message()
        assert data(greeting)["min_segment_duration_seconds"] == 3
        await client.socket.send_segment(toy(0, 9))
        detected = (await client.until("signal.detected"))[-1]
        assert data(detected)["end"] == 0.0
        await client.socket.send_text("{")
        assert data((await client.until("error"))[-1])["code"] == "ih4006"


# --- faults by order -----------------------------------------------------------------------------

RAW = [
    '{"type" :  "x.y" , "b":1,"a":[ 1.0, 1e2 ]}',
    '{"a":1,"a":2,"type":"dup"}',
    '"no object"',
    "not even JSON",
    '{"type":"ä\\u00e4 \U0001f600","data":{"rationale":"' + "é" * 100_000 + '"}}',
]


async def test_texts_by_order_leave_exactly_as_they_stand() -> None:
    steps = [{"at": "ready", "send": text} for text in RAW]
    async with session(scripted(*steps)) as client:
        await client.until("session.ready")
        assert [await client.socket.receive() for _ in RAW] == RAW
        assert client.record.texts[1:] == RAW


async def test_texts_can_be_ordered_at_every_point() -> None:
    points = ["open", "ready", "segment", "window", "closing", "drain"]
    steps: list[dict[str, object]] = [{"at": at, "send": json.dumps({"type": at})} for at in points]
    steps[3]["n"] = 1
    async with session(scripted(*steps)) as client:
        await client.until("ready")
        await client.socket.send_segment(toy(0, 9))
        await client.until("window")
        messages, _ = await client.end()
    told = [json.loads(text)["type"] for text in client.record.texts]
    assert [kind for kind in told if kind in points] == points
    assert kinds(messages)[-1] == "session.ended"


@pytest.mark.parametrize(
    ("step", "code", "how"),
    [
        ({"error": "ih6002"}, None, None),
        ({"error": "ih5007"}, None, None),
        ({"error": "ih6005"}, 1001, "refused: ih6005"),
        ({"error": "ih1001", "close": 1011}, 1011, "refused: ih1001"),
        ({"close": 1012, "reason": "restart"}, 1012, "closed by script"),
        ({"reset": True}, None, "reset by script"),
    ],
)
async def test_a_segment_meets_the_fault_that_was_ordered(
    step: dict[str, object], code: int | None, how: str | None
) -> None:
    async with session(scripted({"at": "segment", "n": 2, **step})) as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 2))
        await client.socket.send_segment(toy(2, 4, header=False))
        if how is None:
            error = (await client.until("error"))[-1]
            assert (data(error)["code"], data(error)["segment"]) == (step["error"], 2)
        else:
            _, closed = await client.rest()
            assert (closed.code, client.record.end) == (code, how)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.code)
async def test_any_refusal_of_the_catalog_can_be_ordered_and_closes_as_it_says(
    row: ErrorRow,
) -> None:
    async with session(scripted({"at": "segment", "n": 1, "error": row.code})) as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 2))
        if not row.ends_session:
            await client.say({"type": "session.close"})
        messages, closed = await client.rest()
    assert data(messages[0])["code"] == row.code
    assert data(messages[0])["segment"] == 1
    assert data(messages[0])["link"] == row.link
    assert closed.code == ((row.close_code or 1001) if row.ends_session else 1000)


async def test_a_session_that_stops_reading_or_telling_stays_open() -> None:
    for what in ("reading", "telling"):
        async with session(scripted({"at": "segment", "n": 1, "stall": what})) as client:
            await client.until("session.ready")
            await client.socket.send_segment(toy(0, 9))
            await client.say({"type": "session.close"})
            with anyio.move_on_after(0.05) as silence:
                await client.socket.receive()
            assert silence.cancelled_caught
            assert client.record.end is None


async def test_messages_leave_changed_where_that_was_ordered() -> None:
    change = {
        "type": "signal.detected",
        "extra": {"new": {"a": [1]}},
        "null": ["rationale"],
        "without": ["modality"],
        "pad_bytes": 900_000,
        "repeat": 2,
    }
    async with session(scripted({"at": "message", "change": change})) as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 9))
        first, second = await client.message(), await client.message()
    assert first == second
    assert data(first)["new"] == {"a": [1]}
    assert data(first)["rationale"] is None
    assert "modality" not in data(first)
    assert len(str(data(first)["padding"])) == 900_000


async def test_a_step_holds_for_the_session_it_names() -> None:
    async with session(scripted({"at": "segment", "session": 2, "close": 1012})) as client:
        await client.until("session.ready")
        await client.socket.send_segment(toy(0, 9))
        assert await client.until("signal.detected")


@pytest.mark.parametrize(
    ("bounds", "end"),
    [
        ({"max_session_seconds": 0.1}, "refused: ih6004, which the client did not read"),
        ({"max_idle_seconds": 0.1}, "the client read nothing for 0.1 s"),
    ],
)
async def test_a_client_that_never_reads_is_ended_by_the_limits(
    bounds: dict[str, float], end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ih_mcp.standin.sessions.server_session._LAST_WORD_SECONDS", 0.05)
    flood = {"at": "ready", "send": "x", "times": 100}
    async with session(scripted(flood, **bounds), room=3) as client:
        await client.record.over.wait()
        assert client.record.end == end
        assert client.record.close_code is None
        while client.socket.inbox:
            await client.socket.receive()
        with pytest.raises(SocketClosed) as closed:
            await client.socket.receive()
    assert closed.value.code is None


async def test_a_close_that_is_not_taken_does_not_keep_the_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(self: MemoryClientSocket, code: int = 1000, reason: str = "") -> None:
        del self, code, reason
        await anyio.sleep_forever()

    monkeypatch.setattr("ih_mcp.standin.sessions.server_session._LAST_WORD_SECONDS", 0.05)
    monkeypatch.setattr(MemoryClientSocket, "close", never)
    async with session() as client:
        await client.until("session.ready")
        messages, closed = await client.end()
    assert kinds(messages)[-1] == "session.ended"
    assert closed.code is None
