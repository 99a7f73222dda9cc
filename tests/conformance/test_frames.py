"""Odd bytes on standard input: never a crash, always one answer, and the next call works."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.road.host import ERAS, environment

from .raw import MODERN, Raw

LONG = bool(os.environ.get("IH_MCP_LONG_TESTS"))
pytestmark = pytest.mark.timeout(900 if LONG else 120)
PARSE, REQUEST, METHOD, PARAMS = -32700, -32600, -32601, -32602
_KIB, _MIB = 2**10, 2**20


@pytest.fixture(scope="module", params=ERAS)
def raw(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Raw]:
    folder = tmp_path_factory.mktemp("raw")
    server = Raw(environment(folder), request.param, folder / "errors")
    yield server
    log = server.errors()
    server.close()
    assert "Traceback" not in log


@pytest.fixture(params=ERAS)
def own_raw(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Raw]:
    """A process for one test: what it answers late reaches no other."""
    server = Raw(environment(tmp_path), request.param, tmp_path / "errors")
    yield server
    server.close()


LINES: dict[bytes, list[tuple[object, int]]] = {  # what is answered: id and code
    b"{": [(None, PARSE)],
    b"nonsense": [(None, PARSE)],
    b"\xff\xfe{}": [(None, PARSE)],
    b"\0": [(None, PARSE)],
    b'{"jsonrpc":"2.0","id":1,"method":"tools/list"': [(None, PARSE)],
    b"[" * 100_000: [(None, PARSE)],
    b'{"a":' * 100_000: [(None, PARSE)],
    b"[]": [(None, REQUEST)],
    b"null": [(None, REQUEST)],
    b'"text"': [(None, REQUEST)],
    b"{}": [(None, REQUEST)],
    b'{"jsonrpc":"1.0","id":1,"method":"ping"}': [(1, REQUEST)],
    b'{"id":2,"method":"ping"}': [(2, REQUEST)],
    b'{"jsonrpc":"2.0","id":3}': [(3, REQUEST)],
    b'{"jsonrpc":"2.0","id":4,"method":null}': [(4, REQUEST)],
    b'{"jsonrpc":"2.0","id":"5","method":"tools/list","params":[]}': [("5", REQUEST)],
    b'{"jsonrpc":"2.0","id":null,"method":"tools/list"}': [(None, REQUEST)],
    b'{"jsonrpc":"2.0","id":1.5,"method":"tools/list"}': [(None, REQUEST)],
    b'{"jsonrpc":"2.0","id":true,"method":"tools/list"}': [(None, REQUEST)],
    b'{"jsonrpc":"2.0","id":[6],"method":"tools/list"}': [(None, REQUEST)],
    b'{"jsonrpc":"2.0","id":7,"method":"tools/list","params":NaN}': [(7, REQUEST)],
    b'{"jsonrpc":"2.0","id":8,"method":"x","params":{"a":"\\ud800"}}': [(8, REQUEST)],
    b'{"jsonrpc":"2.0","id":9,"method":"x","params":{"a":' + b"9" * 9_000 + b"}}": [(9, REQUEST)],
    b'{"jsonrpc":"2.0","id":' + b"8" * 40 + b',"method":"x","params":[]}': [
        (int("8" * 40), REQUEST)
    ],
    b'{"jsonrpc":"2.0","id":' + b"8" * 9_000 + b',"method":"x"}': [(None, REQUEST)],
    b'[{"jsonrpc":"2.0","id":10,"method":"x"},{"jsonrpc":"2.0","method":"y"},'
    b'{"jsonrpc":"2.0","id":11,"method":"x"}]': [(10, REQUEST), (11, REQUEST)],
    b'[{"jsonrpc":"2.0","method":"y"}]': [],
    b"": [],
    b" \t ": [],
    b"\r": [],
    b'{"jsonrpc":"2.0","id":99,"result":{}}': [],
    b'{"jsonrpc":"2.0","id":99,"result":4}': [],
    b'{"jsonrpc":"2.0","id":99,"error":{"code":1,"message":"x"}}': [],
    b'{"jsonrpc":"2.0","method":"tools/list"}': [],
    b'{"jsonrpc":"2.0","method":"notifications/nobody_knows"}': [],
    b'{"jsonrpc":"2.0","method":"notifications/cancelled"}': [],
    b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"nope"}}': [],
}


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[:60].decode(errors="replace"))
def test_a_malformed_line_is_answered_as_json_rpc_wants(raw: Raw, line: bytes) -> None:
    raw.write(line)
    answered = raw.until_it_answers()
    assert [(message["id"], message["error"]["code"]) for message in answered] == LINES[line]


def test_requests_nobody_can_serve_are_refused_with_their_id(raw: Raw) -> None:
    raw.write(
        raw.line("no/such/method", "a"),
        raw.line("tools/call", "b", name=5),
        raw.line("tools/call", "c", name="list_streams", arguments=[]),
        raw.line("resources/read", "d", uri="ih://streams/../../etc/passwd"),
        raw.line("resources/read", "e", uri="\0"),
        raw.line("prompts/get", "f", name="nobody"),
        raw.line("tools/call", "g", name="nobody", arguments={}),
    )
    answers = {message["id"]: message for message in raw.answers(7)}
    codes = {key: message["error"]["code"] for key, message in answers.items() if key != "g"}
    assert codes == {"a": METHOD, "b": PARAMS, "c": PARAMS, "d": PARAMS, "e": PARAMS, "f": PARAMS}
    assert answers["g"]["result"]["isError"] is True
    assert raw.until_it_answers() == []


def test_ids_are_given_back_as_they_came(raw: Raw) -> None:
    ids: list[object] = ["", "0", 0, -1, 2**53, "é\u2028", "x" * 10_000]
    raw.write(*(raw.line("tools/list", request_id) for request_id in ids))
    found = Counter(map(repr, (message["id"] for message in raw.answers(len(ids)))))
    assert found == Counter(map(repr, ids))


def test_a_huge_line_is_answered_and_its_memory_given_back(own_raw: Raw) -> None:
    size = 8 * _MIB
    own_raw.until_it_answers()
    before = own_raw.resident_bytes() if sys.platform == "linux" else 0
    own_raw.write(b"x" * size)
    assert [message["error"]["code"] for message in own_raw.until_it_answers()] == [PARSE]
    own_raw.write(own_raw.call("huge", "push_segment", stream_id="st_x", data_base64="A" * size))
    (answer,) = own_raw.until_it_answers()
    assert "no stream st_x" in answer["result"]["content"][0]["text"]
    own_raw.write(own_raw.line("x", "long", text="A" * (1024 if LONG else 64) * _MIB))
    (answer,) = own_raw.until_it_answers()
    assert (answer["id"], answer["error"]["code"]) == ("long", REQUEST)
    assert "has more than 8_454_144 bytes" in answer["error"]["message"]
    if before:
        assert own_raw.resident_bytes() < before + 2 * size + 32 * _MIB


def test_a_flood_of_notifications_is_borne(raw: Raw) -> None:
    flood = 20_000 if LONG else 2_000
    note = b'{"jsonrpc":"2.0","method":"notifications/nobody_knows","params":{"n":1}}'
    raw.write(*[note] * flood)
    assert raw.until_it_answers() == []


def test_a_flood_of_calls_is_answered_one_by_one(raw: Raw) -> None:
    count = 1_000 if LONG else 300
    raw.write(*(raw.call(number, "list_streams") for number in range(count)))
    assert sorted(message["id"] for message in raw.answers(count)) == list(range(count))


def cancel(request_id: object) -> bytes:
    params = {"requestId": request_id, "reason": "changed my mind"}
    message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
    return json.dumps(message).encode()


def test_calls_that_race_with_their_cancel_are_answered_once_at_most(raw: Raw) -> None:
    raw.write(raw.call("open", "start_stream"))
    (opened,) = raw.answers(1)
    status = json.loads(opened["result"]["content"][0]["text"])["ih_mcp"]
    poll = {"stream_id": status["stream_id"], "cursor": status["next_cursor"], "wait_s": 25}
    rounds = 200 if LONG else 30
    for number in range(rounds):
        waiting = raw.call(f"w{number}", "poll_events", **poll)
        quick = raw.call(f"q{number}", "list_streams")
        raw.write(waiting, quick, cancel(f"w{number}"), cancel(f"q{number}"), cancel(f"w{number}"))
    raw.write(cancel("early"), raw.call("early", "list_streams"))
    answers = [{"id": None}, *raw.until_it_answers()]
    raw.write(raw.call("end", "end_stream", stream_id=status["stream_id"], wait_s=10))
    while answers[-1]["id"] != "end":
        answers += raw.answers(1)
    counts = Counter(message["id"] for message in answers[1:])
    assert counts["early"] == counts["end"] == 1
    assert set(counts.values()) == {1}


def test_one_id_for_two_calls_at_once_harms_nobody(own_raw: Raw) -> None:
    own_raw.write(own_raw.call("same", "list_streams"), own_raw.call("same", "list_streams"))
    answers = own_raw.answers(1) + own_raw.until_it_answers()
    assert len(answers) <= 2  # one that comes behind the probe's is not looked at
    assert {message["id"] for message in answers} == {"same"}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
_METHODS = st.sampled_from(
    ["tools/call", "tools/list", "resources/read", "prompts/get", "skills/get", "ping", "nobody"]
)
_WILD = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0") | _JSON, "method": _METHODS | _JSON, "params": _JSON},
    optional={"id": st.integers() | st.text() | _JSON},
)
_ANSWERS = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0")},
    optional={"id": st.integers() | st.text() | _JSON, "result": _JSON, "error": _JSON},
)


def _line(value: object) -> bytes:
    return json.dumps(value).encode()


@given(
    lines=st.lists(
        st.binary(max_size=200).map(lambda data: data.replace(b"\n", b" ").replace(b"\r", b" "))
        | _JSON.map(_line)
        | (_WILD | _ANSWERS).map(_line),
        max_size=8,
    )
)
@settings(
    max_examples=1500 if LONG else 50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_is_written_the_next_call_works(raw: Raw, lines: list[bytes]) -> None:
    raw.write(*lines)
    answers = raw.until_it_answers()
    waited_for = Counter(key for line in lines for key in _ids_waited_for(line))
    given_back = Counter(repr(message["id"]) for message in answers if message["id"] is not None)
    assert given_back == waited_for
    assert raw.process.poll() is None


def _ids_waited_for(line: bytes) -> Iterator[str]:
    """The ids that a line has requests with, read by another reader than the server's."""
    try:
        message = json.loads(line)
    except ValueError:
        return
    for part in message if isinstance(message, list) else [message]:
        if not isinstance(part, dict) or {"result", "error"} & part.keys():
            continue
        request_id = part.get("id")
        if isinstance(request_id, str | int) and not isinstance(request_id, bool):
            yield repr(request_id)


def test_the_era_is_not_decided_by_garbage(tmp_path: Path) -> None:
    server = Raw(environment(tmp_path), MODERN, tmp_path / "errors")
    try:
        server.write(b"{", b"[]", *[b'{"jsonrpc":"2.0","method":"x"}'] * 20)
        assert len(server.until_it_answers()) == 2
    finally:
        server.close()
