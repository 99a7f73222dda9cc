"""Asks the person behind an MCP host for permission to send media.

By elicitation, which the host shows to the person: a model cannot answer it. In the handshake era
the question is a request to the client, while the call waits. Since 2026-07-28 the call ends with
the question, and the client calls again with the answer; the SDK seals the state of the first
call, and binds it to the tool and its arguments.
"""

from __future__ import annotations

from typing import Any

import anyio
from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp_types import (
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequests,
    InputRequiredResult,
)
from mcp_types.version import is_version_at_least

_ASKS_BY_ANSWER = "2026-07-28"
_KEY = "permission"
_MOST_SECONDS = 120.0  # chosen: a person reads and decides; hosts give calls a minute or more
_FORM = {
    "type": "object",
    "properties": {
        "allow": {"type": "boolean", "title": "Allow", "description": "Send this media"}
    },
    "required": ["allow"],
}
"""What the person fills in. Hosts accept an empty form without a person (Codex with full access),
and cancel a form with keys that the protocol does not name, such as `title` (Codex)."""


class PermissionNeededError(Exception):
    """The call ends with a question to the person; not a failure."""

    def __init__(self, result: InputRequiredResult) -> None:
        super().__init__("the person is asked")
        self.result = result


class ElicitingChannel:
    """Reaches the person through the host of one call."""

    def __init__(self, context: Context[Any, Any]) -> None:
        self._context = context

    async def announce(self, sentence: str) -> None:
        """Report it as progress, before anything is sent."""
        await self._context.report_progress(0.0, None, sentence)

    async def ask(self, question: str, *, about: str) -> bool | None:
        """Ask the person; gives None where the host cannot, or where nobody decides.

        Raises:
            PermissionNeededError: The call has to end with the question.
        """
        if not self._can_ask():
            return None
        version = self._context.protocol_version
        if version is not None and is_version_at_least(version, _ASKS_BY_ANSWER):
            return self._read_answer(question, about)
        with anyio.move_on_after(_MOST_SECONDS):
            try:
                answer = await self._context.session.elicit_form(
                    question, _FORM, related_request_id=self._context.request_id
                )
            except MCPError:  # the host says that it can ask, and cannot
                return None
            return _is_allowed(answer)
        return None

    def _can_ask(self) -> bool:
        capabilities = self._context.client_capabilities
        elicitation = capabilities.elicitation if capabilities else None
        # spec: an empty object means forms
        return elicitation is not None and (elicitation.form is not None or elicitation.url is None)

    def _read_answer(self, question: str, about: str) -> bool | None:
        """The answer that came with this call, to the question that was asked."""
        answer = (self._context.input_responses or {}).get(_KEY)
        if self._context.request_state != about or not isinstance(answer, ElicitResult):
            form = ElicitRequestFormParams(message=question, requested_schema=_FORM)
            asked: InputRequests = {_KEY: ElicitRequest(params=form)}
            raise PermissionNeededError(
                InputRequiredResult(input_requests=asked, request_state=about)
            )
        return _is_allowed(answer)


def _is_allowed(answer: ElicitResult) -> bool | None:
    """What was decided; None where the question was closed without a decision."""
    if answer.action == "cancel":
        return None
    return answer.action == "accept" and (answer.content or {}).get("allow") is True
