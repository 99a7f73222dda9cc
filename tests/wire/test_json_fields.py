"""JSON of others is read field by field; a value of another kind reads as "not said"."""

from __future__ import annotations

import math

import pytest

from ih_mcp.wire import json_fields


@pytest.mark.parametrize("value", [True, "7", None, [1], math.nan, math.inf, -math.inf, 1e18])
def test_what_is_no_finite_number_is_none(value: object) -> None:
    assert json_fields.as_number(value) is None
    assert json_fields.as_integer(value) is None


def test_numbers_keep_their_value() -> None:
    assert json_fields.as_number(0.5) == 0.5
    assert json_fields.as_integer(3.9) == 3


@pytest.mark.parametrize("value", [None, 7, {}, ["a"]])
def test_what_is_no_text_is_empty_or_none(value: object) -> None:
    assert json_fields.as_text(value) == ""
    assert json_fields.as_optional_text(value) is None


def test_other_kinds_leave_lists_and_objects_empty() -> None:
    assert json_fields.as_texts("a") is None
    assert json_fields.as_texts(["a", 1, "b"]) == ("a", "b")
    assert json_fields.as_mapping([1]) == {}
    assert json_fields.as_list({"a": 1}) == ()
    assert json_fields.as_list([1]) == [1]
