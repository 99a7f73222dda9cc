"""Arguments of a tool as hosts really send them: all that the published schema allows is taken.

The schema is closed, and nothing is guessed: a number with a zero fraction is an integer (JSON
Schema says so), and null is what is left out, since some hosts can only send that. An error
names the argument and never shows its value.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

MAX_CHARS = 4_096
MAX_ITEMS = 100
MAX_NUMBER = 2**53 - 1  # RFC 8259: beyond it, programs do not agree on what was sent
_ADDED_BY_HOSTS = {"toolCallId", "sessionId"}  # seen: n8n, in every call (n8n-io/n8n#37308)
_KINDS: dict[str, type | tuple[type, ...]] = {
    "int_type": int,
    "float_type": (int, float),
    "bool_type": bool,
    "list_type": list,
}


class Arguments(BaseModel):
    """Base of every tool's arguments: nothing unknown, nothing converted but what JSON allows."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    text_bounds: ClassVar[Mapping[str, int]] = {}
    """Of texts that may be longer than `MAX_CHARS`."""
    may_name_segment: ClassVar[bool] = False
    """Whether `path` may be of a segment of live video, whose bytes can be given instead."""

    @model_validator(mode="before")
    @classmethod
    def _as_json_means_it(cls, given: object) -> object:
        if not isinstance(given, Mapping):
            return given
        known = cls.model_fields
        kept = {
            name: _integral(value)
            for name, value in given.items()
            if name in known or name not in _ADDED_BY_HOSTS
            if name not in known or value is not None
        }
        problems = [
            f"argument {name!r} {problem}"
            for name, value in kept.items()
            if name in known
            if (problem := _over_bounds(value, max_chars=cls.text_bounds.get(name, MAX_CHARS)))
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return kept


def _integral(value: object) -> object:
    """1.0 and 1e0 are the integer 1 in JSON Schema; who wants a number takes an integer too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _over_bounds(value: object, *, max_chars: int) -> str:
    """What is too much of an argument; empty where nothing is."""
    if isinstance(value, str) and len(value) > max_chars:
        return f"has {len(value):_} characters; {max_chars:_} are the most"
    if isinstance(value, int) and abs(value) > MAX_NUMBER:
        return f"is beyond {MAX_NUMBER:_}, the largest number that is taken"
    if not isinstance(value, list):
        return ""
    if len(value) > MAX_ITEMS:
        return f"has {len(value):_} items; {MAX_ITEMS} are the most"
    return next(filter(None, (_over_bounds(item, max_chars=max_chars) for item in value)), "")


def problems_of(exc: ValidationError) -> list[str]:
    """What is wrong with arguments, one fragment each; none shows a value."""
    problems = []
    for error in exc.errors(include_url=False):
        name = ".".join(str(part) for part in error["loc"])
        why = error["msg"].removeprefix("Value error, ")
        if error["type"] == "extra_forbidden":
            problems.append(f"unknown argument {name!r}")
        elif error["type"] == "missing":
            problems.append(f"argument {name!r} is missing")
        else:
            why += _without_quotes(error["type"], error["input"], error.get("ctx", {}))
            problems.append(f"argument {name!r}: {why}" if name else why)
    return problems


def _without_quotes(kind: str, given: object, context: Mapping[str, object]) -> str:
    """For a text that would be right if it were no text, such as "10" or '["x"]'."""
    wanted = _KINDS.get(kind)
    if kind == "literal_error" and "'" not in str(context.get("expected", "'")):
        wanted = int
    if wanted and isinstance(given, str) and len(given) <= MAX_CHARS:
        with suppress(ValueError, RecursionError):
            if isinstance(json.loads(given), wanted):
                return "; give it without quotes"
    return ""
