"""How answers of the stand-in are distinguished from those of the service, and what is said of it.

Every text, picture and page says it by the one sentence here, under the one name `stand_in`.
"""

from __future__ import annotations

from collections.abc import Mapping

LOCAL = "local"
"""The value of `IH_MCP_ENDPOINT` that starts the stand-in of this package."""
SERVER = "ih-mcp-standin"
"""The product that the stand-in names in the `Server` header of its answers and upgrades."""
STAND_IN = "From the stand-in of ih-mcp, not from Interhuman: no Interhuman model is at work."

NAMED_MODEL = "A model that the result names is the one that was asked for; it did not run."
"""Of a result that comes from the stand-in: the service's form has a place for the model."""


def is_stand_in(headers: Mapping[str, str]) -> bool:
    """Whether the stand-in sent these headers; their names are in lower case."""
    return headers.get("server", "").partition("/")[0] == SERVER


def describe_stand_in(*, is_used: bool) -> str:
    """The sentence about the stand-in; empty where the service answers."""
    return STAND_IN if is_used else ""
