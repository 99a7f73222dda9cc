from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.wire.json_members import MAX_MEMBER_CHARS, read_members

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(["job_id", "status", "error", "result", "", 'a"b', "ö\\"])


@given(st.dictionaries(NAMES, VALUES), st.sampled_from([None, 2]), st.booleans())
def test_the_wanted_members_are_those_that_a_parser_reads(
    whole: dict[str, object], indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(whole, indent=indent, ensure_ascii=ascii_only)
    wanted = {"job_id", "error", 'a"b'}
    assert read_members(f" {text}\n", wanted) == {
        name: value for name, value in whole.items() if name in wanted
    }


def test_the_last_of_a_name_wins_and_what_is_inside_another_member_does_not_count() -> None:
    text = '{"result": {"status": "inner"}, "status": "running", "status": "completed"}'
    assert read_members(text, {"status"}) == {"status": "completed"}


def test_a_member_may_have_the_greatest_length() -> None:
    name, value = "n" * (MAX_MEMBER_CHARS - 2), "x" * (MAX_MEMBER_CHARS - 2)
    text = json.dumps({"status": value, name: "j"}, separators=(",", ":"))
    assert read_members(text, {"status", name}) == {"status": value, name: "j"}
    longer = json.dumps({"status": value + "x", name + "n": "j"}, separators=(",", ":"))
    assert read_members(longer, {"status", name, name + "n"}) == {}


def test_a_member_of_great_length_is_left_out() -> None:
    text = json.dumps({"status": "x" * MAX_MEMBER_CHARS, "job_id": "j"})
    assert read_members(text, {"status", "job_id"}) == {"job_id": "j"}


@pytest.mark.parametrize(
    "text",
    ["", "[]", '"{}"', "{", '{"a": 1', '{"a": 1}]', '{"a": 1} {}', '{"a": nonsense}', "}{", "1{}"],
)
def test_what_is_not_one_whole_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - JSON's own errors are some too
        read_members(text, {"a"})
