"""The skills as data: their front matter, their commands and the tool calls written in them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.road.host import REPOSITORY, Answer, Host

TOP = REPOSITORY / "SKILL.md"
SKILLS = sorted((REPOSITORY / "skills").glob("*/SKILL.md"))
_BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
_COMMAND = re.compile(r"^(ih-mcp\b[^#\n]*?)(?:\s{2,}.*|\s*#.*)?$", re.MULTILINE)
_ASKED_FOR = re.compile(r"<(\w+)>")


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return [block for name, block in _BLOCK.findall(text) if name == language]


def commands(page: Path) -> list[str]:
    return [found.strip() for block in blocks(page, "sh") for found in _COMMAND.findall(block)]


def calls(page: Path) -> list[Mapping[str, Any]]:
    return [json.loads(block) for block in blocks(page, "json")]


@dataclass
class Reader:
    """Does what a page says, call by call; `<name>` is taken from the last answer that has it."""

    host: Host
    videos: Path
    known: dict[str, Any] = field(default_factory=dict)

    async def follow(self, call: Mapping[str, Any]) -> Answer:
        arguments = {name: self._filled(value) for name, value in call["arguments"].items()}
        answer = await self.host.call(call["tool"], **arguments)
        assert not answer.is_error, (call, answer.text)
        self.known |= answer.status
        return answer

    def _filled(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if asked := _ASKED_FOR.fullmatch(value):
            return self.known[asked[1]]
        return value.replace("/videos/", f"{self.videos}/")
