"""An agent's day: calls a model would make, with what they cost, through the official client."""

from __future__ import annotations

import json
import math
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from splintr import Tokenizer

from tests.road.host import Answer, Host, open_host

_NEXT = re.compile(r"(\w+)(?:\(cursor=(\d+)\))?")
_IDS = ("stream_id", "analysis_id")


@cache
def _encode() -> Callable[[str], Sequence[int]]:
    return Tokenizer.from_pretrained("o200k_base").encode


class Day:
    """A host that counts what a model says and reads."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.calls: list[str] = []
        self.tokens = 0
        self.characters = 0
        self.messages: list[dict[str, Any]] = []
        """What was read by `follow` and `follow_to_the_end`."""

    async def call(self, tool: str, **arguments: object) -> Answer:
        answer = await self.host.call(tool, **arguments)
        assert answer.is_error or answer.status["next"], "an answer says what to do with it"
        self.calls.append(tool)
        read = [json.dumps(arguments), *answer.blocks]
        self.characters += sum(map(len, read))
        self.tokens += sum(len(_encode()(text)) for text in read)
        return answer

    async def follow(self, answer: Answer, **more: object) -> Answer:
        """Do what the answer's `next` says, with the ids and cursor it gives, and nothing else."""
        found = _NEXT.match(answer.status["next"])
        assert found, answer.status
        tool, cursor = found.groups()
        ids = {name: answer.status[name] for name in _IDS if name in answer.status}
        place = {"cursor": int(cursor)} if cursor else {}
        following = await self.call(tool, **ids, **place, **more)
        assert not following.is_error, following.text
        self.messages += map(json.loads, following.messages)
        return following

    async def follow_to_the_end(self, answer: Answer, **more: object) -> Answer:
        while not answer.status["next"].startswith("done"):
            answer = await self.follow(answer, **more)
        return answer

    def kinds(self) -> list[str]:
        return [message["type"] for message in self.messages]

    def first(self, kind: str, **data: object) -> Mapping[str, Any]:
        """The data of the first message of a kind whose data has these values."""
        for message in self.messages:
            if message["type"] == kind and data.items() <= message["data"].items():
                found: Mapping[str, Any] = message["data"]
                return found
        raise AssertionError((kind, data, self.kinds()))

    def cost_at_most(
        self, *, calls: int, tokens: float = math.inf, characters: float = math.inf
    ) -> None:
        assert len(self.calls) <= calls, self.calls
        assert self.tokens <= tokens, self.tokens
        assert self.characters <= characters, self.characters


@asynccontextmanager
async def begin(env: Mapping[str, str]) -> AsyncIterator[Day]:
    async with open_host(env) as host:
        yield Day(host)
