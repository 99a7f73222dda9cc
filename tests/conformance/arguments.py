"""Arguments for a tool, made from its input schema: right ones, wrong ones, and odd ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
Known = Mapping[str, Sequence[str]]
"""For some arguments, values that lead further than any text would."""


def arguments(schema: Mapping[str, Any], known: Known) -> st.SearchStrategy[dict[str, Any]]:
    """What the schema allows, and what it does not."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    valid = {name: value(found, known.get(name, ())) for name, found in properties.items()}
    required = {name: valid.pop(name) for name in schema.get("required", ())}
    allowed = st.fixed_dictionaries(required, optional=valid)
    odd = st.dictionaries(st.sampled_from([*properties, "unknown", "Path"]), ANYTHING, max_size=3)
    return allowed | st.builds(lambda right, wrong: {**right, **wrong}, allowed, odd) | odd


def value(schema: Mapping[str, Any], known: Sequence[str]) -> st.SearchStrategy[Any]:
    """One value that the schema allows."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    low, high = schema.get("minimum"), schema.get("maximum")
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "string": st.text() | st.sampled_from(known) if known else st.text(),
        "integer": st.integers(low, high),
        "number": st.floats(low, high, allow_nan=False, allow_infinity=False),
        "boolean": st.booleans(),
    }
    kind = schema["type"]
    if isinstance(kind, list):  # of an optional argument
        kind, null = kind
        assert null == "null"
        return st.none() | value({**schema, "type": kind}, known)
    if kind == "array":
        return st.lists(value(schema["items"], known), max_size=4)
    return kinds[kind]
