"""`X-Interhuman-Key`: a caller's own key for the service, where this server takes one.

It is taken out of the headers before anything else reads them, and is in memory alone: while the
call lasts, and as long as a stream that the call has begun.
"""

from __future__ import annotations

from starlette.types import Scope

from ih_mcp.errors import CallerError
from ih_mcp.mcp_server.tool import CALLER_KEY
from ih_mcp.redaction import clean_credential

_HEADER = b"x-interhuman-key"


def move_caller_key(scope: Scope, *, is_taken: bool) -> None:
    """Move the key of a request from its headers to where tools find it.

    Args:
        is_taken: Whether this server works with the keys of its callers.

    Raises:
        CallerError: It is no key, there are several, or this server takes none.
    """
    found = [value for name, value in scope["headers"] if name == _HEADER]
    if not found:
        return
    scope["headers"] = [pair for pair in scope["headers"] if pair[0] != _HEADER]
    if not is_taken:
        raise CallerError(
            "this server uses a key of its own, and accepts none from a caller",
            code="key_not_taken",
            help="Leave the header X-Interhuman-Key out. Whoever runs this server sets "
            "IH_MCP_KEYS=caller if callers are to pay for themselves.",
        )
    if len(found) > 1:
        raise _bad_key("came twice")
    try:
        key = clean_credential(found[0].decode("latin-1"))
    except ValueError as exc:
        raise _bad_key(str(exc)) from None
    if not key:
        raise _bad_key("is empty")
    scope[CALLER_KEY] = key


def _bad_key(problem: str) -> CallerError:
    return CallerError(
        f"the header X-Interhuman-Key {problem}",
        code="bad_caller_key",
        help="Send your API key from https://platform.interhuman.ai in it, once.",
    )
