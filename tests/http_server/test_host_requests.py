"""What real hosts sent over HTTP is answered: Claude Code, Codex and Gemini CLI, to the byte.

`tests/hosts/test_over_http.py` starts the hosts and writes the file.
"""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from tests.conftest import REPOSITORY

from .conftest import Team

FILE = REPOSITORY / "tests" / "hosts" / "sent_over_http.json"
SENT: dict[str, list[dict[str, Any]]] = json.loads(FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("host", SENT)
async def test_every_request_of_a_host_is_answered(team: Team, host: str) -> None:
    async with team.http() as http:
        for sent in SENT[host]:
            text = json.dumps(sent["body"]) if sent["body"] is not None else ""
            request = http.build_request(
                sent["method"], sent["path"], headers=sent["headers"], content=text.encode()
            )
            answer = await http.send(request, stream=True)
            try:
                is_notification = sent["body"] and "id" not in sent["body"]
                assert answer.status_code == (202 if is_notification else 200), sent
                if not sent["body"] or sent["body"]["method"] == "subscriptions/listen":
                    continue  # its answer goes on
                said = (await answer.aread()).decode()
                assert '"error":{"code":' not in said, (sent, said)
            finally:
                with anyio.CancelScope(shield=True):
                    await answer.aclose()


def test_what_is_kept_has_no_key() -> None:
    text = FILE.read_text(encoding="utf-8").lower()
    assert "authorization" not in text
    assert "ihc_" not in text
    assert {*SENT} == {"claude-code", "codex", "gemini"}
