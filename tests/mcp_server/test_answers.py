from __future__ import annotations

import base64
import json

from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.errors import CallerError, ServiceError
from ih_mcp.journal import Entry
from ih_mcp.mcp_server.answers import answer, failure
from ih_mcp.mcp_server.status import shorten
from ih_mcp.streams.status import GapStatus, StreamStatus


def texts(result: object) -> list[str]:
    return [block.text for block in result.content]  # type: ignore[attr-defined]


def test_messages_follow_our_status_as_they_came() -> None:
    result = answer({"state": "open"}, [Entry(1, 0, 0, '{ "a":1.0 }'), Entry(2, 0, 0, "é\n")])
    assert texts(result) == ['{"ih_mcp":{"state":"open"}}', '{ "a":1.0 }', "é\n"]
    assert not result.is_error
    assert result.structured_content is None


@given(st.lists(st.text()))
def test_any_text_is_relayed_unchanged_in_order(messages: list[str]) -> None:
    entries = [Entry(n, 0, 0, message) for n, message in enumerate(messages, 1)]
    wire = answer({}, entries).model_dump_json(by_alias=True)
    assert [block["text"] for block in json.loads(wire)["content"][1:]] == messages


def test_a_binary_message_becomes_base64_and_is_named() -> None:
    blocks = texts(answer({}, [Entry(3, 0, 0, b"\x00\xff")]))
    assert json.loads(blocks[0]) == {"ih_mcp": {"binary_cursors": [3]}}
    assert base64.b64decode(blocks[1]) == b"\x00\xff"


def test_of_many_gaps_the_newest_are_told_and_the_others_counted() -> None:
    gaps = tuple(GapStatus(legs=(n, n + 1)) for n in range(5))
    shown = [{"legs": [n, n + 1]} for n in range(5)]
    status = StreamStatus(state="open", label="x", gaps=gaps)
    assert shorten(status) == {"state": "open", "gaps": shown[2:], "earlier_gaps": 2}
    assert shorten(StreamStatus(gaps=gaps[:3])) == {"gaps": shown[:3]}


def test_a_failure_says_what_helps_and_carries_named_facts() -> None:
    error = CallerError(
        "there is no stream st_x", help="Start one.", code="unknown_stream", facts={"live": []}
    )
    what, helps, facts = texts(failure(error))[0].split("\n")
    assert (what, helps) == ("There is no stream st_x.", "Start one.")
    assert json.loads(facts) == {
        "ih_mcp": {"error": {"code": "unknown_stream", "retry": False, "live": []}}
    }


def test_a_name_keeps_its_case_at_the_start_of_a_sentence() -> None:
    assert texts(failure(CallerError("poll_events was not called")))[0].startswith("poll_events ")


def test_a_very_long_failure_is_cut_but_stays_readable() -> None:
    error = ServiceError("x " * 5000, help="y", facts={"message": "z" * 9000}, retry=True)
    (text,) = texts(failure(error))
    assert len(text) <= 2000
    assert json.loads(text.splitlines()[-1])["ih_mcp"]["error"]["retry"] is True
