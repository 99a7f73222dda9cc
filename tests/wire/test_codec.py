from __future__ import annotations

import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.errors import RemoteProtocolError
from ih_mcp.wire.codec import (
    MAX_READ_CHARS,
    MAX_READ_CONTAINERS,
    decode_client,
    decode_server,
    encode_client,
    encode_server,
)
from ih_mcp.wire.dialects import REALTIME, V0, V1, V2, Dialect, Limits
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
    ServerMessage,
    Transcript,
    Updated,
)
from tests.facts import shows

WHO = {"correlation_id": "c-1", "timestamp": "2026-11-21T10:00:00.000000Z"}
_texts = st.text(max_size=20)
_small = st.integers(1, 10**9)
_limits = st.builds(
    Limits,
    min_segment_bytes=_small,
    max_segment_bytes=_small,
    min_segment_seconds=st.floats(0, 100),
    max_segment_seconds=st.none() | st.floats(0, 100),
    max_idle_seconds=_small,
    max_session_seconds=_small,
)
_errors = st.builds(Error, code=_texts, message=_texts, link=st.none() | _texts)
_json = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
)
_readings = st.builds(
    Reading,
    kind=_texts.filter(lambda kind: not kind.startswith("session") and kind != "error"),
    fields=st.dictionaries(_texts, _json, max_size=4),
)
_envelopes = st.one_of(
    st.builds(Ready, limits=_limits, includes=st.lists(_texts).map(tuple)),
    st.builds(Updated, st.builds(Config, include=st.lists(_texts).map(tuple))),
    st.builds(Closing, st.integers(0, 600).map(float)),
    st.builds(Ended, _texts),
    _errors,
    _readings,
)
_statuses = st.one_of(st.builds(Processing, _small, _small), st.builds(Completed, _small), _errors)


@given(message=_envelopes, dialect=st.sampled_from([V1, V2]))
def test_an_envelope_is_read_as_it_was_meant(message: ServerMessage, dialect: Dialect) -> None:
    read = decode_server(encode_server(message, dialect, **WHO), dialect)
    if isinstance(message, Ready):
        assert isinstance(read, Ready)
        assert (read.limits, read.includes) == (message.limits, message.includes)
    elif isinstance(message, Error):
        assert isinstance(read, Error)
        assert (read.code, read.message, read.link) == (message.code, message.message, message.link)
    else:
        assert read == message


@given(message=_statuses)
def test_a_status_is_read_as_it_was_meant(message: ServerMessage) -> None:
    read = decode_server(encode_server(message, V0, **WHO), V0)
    if isinstance(message, Error):
        assert isinstance(read, Error)
        assert (read.code, read.message) == (message.code, message.message)
    else:
        assert read == message


@given(text=st.text() | _json.map(json.dumps), dialect=st.sampled_from([V0, V1, V2, REALTIME]))
def test_any_text_is_a_message_or_a_protocol_error(text: str, dialect: Dialect) -> None:
    for read in (lambda: decode_server(text, dialect), lambda: decode_client(text, dialect)):
        try:
            read()
        except RemoteProtocolError:
            continue


@pytest.mark.parametrize("depth", [10_000, 200_000])
def test_deep_nesting_is_a_protocol_error(depth: int) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_server("[" * depth, V1)


@pytest.mark.parametrize("wrong", [None, True, "x", float("nan"), -1, [1], {"a": 1}], ids=repr)
def test_a_limit_that_makes_no_sense_is_not_learned(wrong: object) -> None:
    text = json.dumps({"type": "session.ready", "data": {"max_segment_size_bytes": wrong}})
    read = decode_server(text, V1)
    assert isinstance(read, Ready)
    assert read.limits == V1.limits


def test_a_declared_null_means_no_bound_where_there_may_be_none() -> None:
    text = '{"type":"session.ready","data":{"min_segment_duration_seconds":null}}'
    read = decode_server(text, V1)
    assert isinstance(read, Ready)
    assert read.limits.min_segment_seconds is None


@shows("config-is-bare")
def test_config_goes_bare_and_says_only_what_was_said() -> None:
    assert json.loads(encode_client(Configure(Config()))) == {}
    config = Config(include=(), model="inter-2")
    assert json.loads(encode_client(Configure(config))) == {"include": [], "model": "inter-2"}
    assert decode_client(encode_client(Close()), V1) == Close()


_segments = st.fixed_dictionaries(
    {"start": st.floats(0, 99), "end": st.floats(0, 99), "text": _texts, "speaker": st.just(0)}
)


@given(segments=st.lists(_segments, max_size=3))
def test_a_transcript_is_read_as_it_was_meant_where_it_is_taken(segments: list[object]) -> None:
    text = encode_client(Transcript(segments))  # type: ignore[arg-type]  # of JSON
    assert decode_client(text, REALTIME) == Transcript(segments)  # type: ignore[arg-type]
    with pytest.raises(RemoteProtocolError, match="unknown field"):
        decode_client(text, V1)


@shows("config-errors")
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "ih4006"),
        ("[]", "ih6001"),
        ('{"session_id":1}', "ih6001"),
        ('{"include":"x"}', "ih6001"),
        ('{"type":"session.configure","include":[]}', "ih6001"),
    ],
)
def test_a_client_frame_that_is_wrong_names_the_services_code(text: str, code: str) -> None:
    with pytest.raises(RemoteProtocolError) as wrong:
        decode_client(text, V1)
    assert wrong.value.code == code


def test_the_earliest_v0_error_is_read_too() -> None:
    read = decode_server('{"status":"error","segment":2,"error":"too large"}', V0)
    assert read == Error(code="", message="too large", segment=2)


@shows("unknown-types")
def test_an_unknown_type_is_carried_whole() -> None:
    text = '{"type":"demo.new","data":{"a":1,"a":2},"more":true}'
    assert decode_server(text, V1) == Reading("demo.new", {"a": 2})


def test_what_a_realtime_session_coaches_with_stands_in_its_greeting() -> None:
    ready = Ready(limits=REALTIME.limits, goal_dimensions=("clarity",))
    options = json.loads(encode_server(ready, REALTIME, **WHO))["data"][
        "supported_session_config_options"
    ]
    assert REALTIME.coaching
    assert options["realtime_recommendation_frequency"] == list(REALTIME.coaching.frequencies)


def test_a_realtime_session_confirms_what_it_was_told_and_no_more() -> None:
    config = Config(goal_dimensions=("clarity",))
    confirmed = json.loads(encode_server(Updated(config), REALTIME, **WHO))["data"]
    assert confirmed == {"goal_dimensions": ["clarity"]}


@pytest.mark.parametrize("transcript", ["text", [{"start": 1}], [{"start": 1, "end": 2}]])
def test_a_transcript_of_another_shape_is_refused(transcript: object) -> None:
    text = json.dumps({"type": "transcript.updated", "transcript": transcript})
    with pytest.raises(RemoteProtocolError, match="a transcript is a list of segments") as refused:
        decode_client(text, REALTIME)
    assert refused.value.code == "ih6001"


def test_an_option_of_another_kind_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="model of a session config is no") as refused:
        decode_client('{"model": 7}', V2)
    assert refused.value.code == "ih6001"


def test_a_message_that_would_take_long_to_read_is_not_read() -> None:
    empty = '{"type":"x","data":{"a":""}}'
    longest = empty.replace('""', f'"{"a" * (MAX_READ_CHARS - len(empty))}"')
    assert isinstance(decode_server(longest, V1), Reading)
    for item in ("[]", "{}"):
        lists = empty.replace('""', f"[{','.join([item] * (MAX_READ_CONTAINERS - 3))}]")
        assert isinstance(decode_server(lists, V1), Reading)
        with pytest.raises(RemoteProtocolError, match="20_000 lists and objects"):
            decode_server(lists.replace("[", "[[],", 1), V1)
    with pytest.raises(
        RemoteProtocolError, match=r"262_145 characters; 262_144 are read"
    ) as refused:
        decode_server(longest + " ", V1)
    assert refused.value.code == "message_too_long"


@pytest.mark.parametrize("before", ["", " ", "\n\t"])
@pytest.mark.parametrize("after", ["", " ", "\r\n", "x", "{}", "\0"])
def test_white_space_around_a_message_and_nothing_else_is_read_over(
    before: str, after: str
) -> None:
    text = f'{before}{{"type":"x","data":{{"a":1}}}}{after}'
    if after.strip():
        with pytest.raises(RemoteProtocolError, match="not JSON"):
            decode_server(text, V1)
    else:
        assert decode_server(text, V1) == Reading("x", {"a": 1})


_numbers = st.integers() | st.floats() | st.sampled_from(["1e999", "-0", "-0.0", "1E5", "0.1e-400"])


@given(
    st.recursive(
        st.none() | st.booleans() | _numbers | st.text(st.characters(), max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    ),
    st.booleans(),
)
def test_a_message_says_what_json_says_of_it(value: object, is_ascii: bool) -> None:
    text = json.dumps({"type": "x", "data": {"value": value}}, ensure_ascii=is_ascii)
    read = decode_server(text, V1)
    assert isinstance(read, Reading)
    assert repr(read.fields) == repr(json.loads(text)["data"])  # NaN is not equal to itself


@pytest.mark.parametrize(
    "value",
    [
        "1" * 4_000, "-" + "9" * 25, "NaN", "[Infinity,-Infinity]", "1e999", "-0.0", "5e-324",
        r'"\ud800"', r'"\udc00\ud800"', '"\ud800"', r'"\u0000"', '"\x7f\u2028"',
        "1.7976931348623157e308", '{"a":1,"b":2,"a":3}', f"{'[' * 300}{']' * 300}",
    ],
)  # fmt: skip
def test_what_is_odd_in_json_reads_as_json_reads_it(value: str) -> None:
    text = f'{{"type":"x","data":{{"value":{value}}}}}'
    read = decode_server(text, V1)
    assert isinstance(read, Reading)
    assert repr(read.fields) == repr(json.loads(text)["data"])


@pytest.mark.parametrize(
    "value",
    [
        "1" * 5_000, "01", "+1", "1.", ".5", "nan", "'a'", "[1,]", "[" * 9_999,
        '"\n"', '"\x1f"', r'"\x"', r'"\u12"',
    ],
)  # fmt: skip
def test_what_json_refuses_is_no_json(value: str) -> None:
    with pytest.raises(RemoteProtocolError, match="not JSON"):
        decode_server(f'{{"type":"x","data":{{"value":{value}}}}}', V1)


@pytest.mark.parametrize("segment", [{}, {"segment": None}, {"segment": "1"}, {"segment": True}])
def test_a_status_that_names_no_segment_is_of_none(segment: dict[str, object]) -> None:
    told: dict[str, object] = {"status": "completed"} | segment
    assert decode_server(json.dumps(told), V0) == Completed(0)
    told |= {"status": "processing", "bytes": 5}
    assert decode_server(json.dumps(told), V0) == Processing(0, 5)


def test_of_limits_that_are_not_declared_the_longest_alone_is_null() -> None:
    """sdk 1.3.4: it is present, and null where unlimited; the others may be absent."""
    names = [field.name for field in fields(Limits)]
    for declared_limits in ({}, dict.fromkeys(names, 7)):
        ready = Ready(limits=Limits(**(dict.fromkeys(names) | declared_limits)))  # type: ignore[arg-type]
        data = json.loads(encode_server(ready, V1, **WHO))["data"]
        declared = {name: value for name, value in data.items() if name.startswith(("se", "m"))}
        longest = {"max_segment_duration_seconds": None}
        assert declared == (dict.fromkeys(declared, 7) if declared_limits else longest)
        assert len(declared) == (6 if declared_limits else 1)
