from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ih_mcp.errors import LocalProtocolError, RemoteProtocolError
from ih_mcp.wire.dialects import V0, V1, V2
from ih_mcp.wire.messages import (
    Close,
    Closing,
    Completed,
    Config,
    Configure,
    Ended,
    Error,
    Processing,
    Reading,
    Ready,
    Updated,
)
from ih_mcp.wire.session import Session, Side, State
from tests.facts import shows

from .pair import Pair


@shows("close-drains")
def test_a_drained_session_ends_on_both_sides() -> None:
    pair = Pair(V2)
    pair.open()
    pair.media()
    pair.client_says(Close())
    pair.server_says(Closing(5.0), Reading("signal.ended", {"end": 3}), Ended("client_shutdown"))
    assert pair.client.state is pair.server.state is State.ENDED
    assert pair.client.end_reason == "client_shutdown"
    assert pair.client.max_drain_seconds == 5.0


@shows("media-waits-for-ready")
def test_media_before_the_greeting_is_refused_locally() -> None:
    pair = Pair(V1)
    with pytest.raises(LocalProtocolError, match=r"media from the client while .* greeting"):
        pair.client.send_segment(100)
    assert pair.client.segments == 0


@shows("v0-speaks-second")
def test_a_dialect_without_greeting_takes_media_at_once() -> None:
    pair = Pair(V0)
    assert pair.media(50_000) == 1


@shows("no-least-duration")
@shows("limits-are-declared")
def test_limits_are_learned_from_the_greeting() -> None:
    pair = Pair(V1)
    declared = replace(V1.limits, max_segment_bytes=1000, min_segment_seconds=None)
    pair.server_says(Ready(limits=declared))
    assert pair.client.limits.max_segment_bytes == 1000
    assert pair.client.limits.min_segment_seconds is None  # others are declared, and no such one
    with pytest.raises(LocalProtocolError, match="segment 1 has 1_001 bytes") as refused:
        pair.client.send_segment(1001)
    assert refused.value.code == "segment_too_large"


def test_a_segment_below_the_least_size_is_refused_locally() -> None:
    pair = Pair(V0)
    with pytest.raises(LocalProtocolError) as refused:
        pair.client.send_segment(10)
    assert refused.value.code == "segment_too_small"


@shows("media-after-close")
def test_media_after_close_is_refused_locally_and_counted_by_a_server() -> None:
    pair = Pair(V1)
    pair.open()
    pair.client_says(Close())
    with pytest.raises(LocalProtocolError):
        pair.client.send_segment(1)
    with pytest.raises(RemoteProtocolError):
        pair.server.receive_segment()
    assert pair.server.segments == 1


def test_a_second_close_is_refused_locally() -> None:
    pair = Pair(V1)
    pair.open()
    pair.client_says(Close())
    with pytest.raises(LocalProtocolError):
        pair.client.send(Close())


@shows("errors-end-nothing")
def test_an_error_ends_nothing_and_is_remembered() -> None:
    pair = Pair(V1)
    pair.open()
    pair.media()
    pair.server_says(Error(code="ih6002", message="too large", segment=1))
    assert pair.client.state is State.OPEN
    assert pair.client.last_error is not None
    assert pair.client.last_error.code == "ih6002"
    assert pair.media() == 2


def test_config_is_confirmed_by_the_server() -> None:
    pair = Pair(V2)
    pair.open()
    config = Config(include=("conversation_quality_overall",), model="inter-2")
    assert pair.client_says(Configure(config)) == Configure(config)
    pair.server_says(Updated(config))
    assert pair.client.config.include == ("conversation_quality_overall",)


@shows("v0-settles-segments")
def test_v0_settles_segment_by_segment() -> None:
    pair = Pair(V0)
    first, second = pair.media(20_000), pair.media(20_000)
    pair.server_says(Processing(first, 20_000), Reading("result", {"segment": first}))
    assert not pair.client.is_settled
    pair.server_says(Completed(first))
    assert pair.client.unsettled == {second}
    pair.server_says(Error(code="ih5004", segment=second))
    assert pair.client.is_settled


@pytest.mark.parametrize("text", ["", "x", "[]", "1", "null", '{"no":"type"}', '{"type":1}'])
def test_what_cannot_be_read_leaves_the_session_as_it_was(text: str) -> None:
    pair = Pair(V1)
    pair.open()
    with pytest.raises(RemoteProtocolError):
        pair.client.receive(text)
    assert pair.client.state is State.OPEN


def test_a_message_after_the_end_is_out_of_order() -> None:
    pair = Pair(V1)
    pair.open()
    text = pair.server.send(Reading("signal.ended", {}), timestamp="t")
    pair.server_says(Ended("server"))
    with pytest.raises(RemoteProtocolError, match="while the session is ended"):
        pair.client.receive(text)


@shows("ready-comes-once")
def test_a_second_greeting_changes_no_limit() -> None:
    client = Session(V1, Side.CLIENT)
    ready = {"type": "session.ready", "data": {"max_segment_size_bytes": 10}}
    client.receive(json.dumps(ready))
    ready["data"] = {"max_segment_size_bytes": 99}
    with pytest.raises(RemoteProtocolError):
        client.receive(json.dumps(ready))
    assert client.limits.max_segment_bytes == 10


def test_an_error_that_names_no_segment_settles_none() -> None:
    pair = Pair(V0)
    pair.media(50_000)
    pair.server_says(Error(code="ih1003", message="busy"))
    assert pair.client.unsettled == {1}
    assert pair.client.last_error
