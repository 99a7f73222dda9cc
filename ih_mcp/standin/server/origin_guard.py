"""Guards a stand-in on this machine against pages of other sites.

Without it, a page whose name was rebound to this machine (DNS rebinding) could read the record.
The API's own paths answer pages of any origin, as the service does, unless the stand-in belongs
to one process. The stand-in's own paths answer pages of this machine alone.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.types import ASGIApp

from ih_mcp.loopback import LOOPBACK_NAMES
from ih_mcp.net.origin_guard import OriginGuard

_OWN_PATHS = "/standin/"


def guard_standin(app: ASGIApp, *, is_private: bool = False) -> OriginGuard:
    """Let through requests under a name of this machine.

    Args:
        is_private: Whether pages of other origins are refused on every path.
    """
    return OriginGuard(
        app,
        allows_host=lambda host: _is_this_machine(f"//{host}"),
        allows_origin=_is_this_machine,
        origin_paths="/" if is_private else _OWN_PATHS,
    )


def _is_this_machine(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_odd = "@" in parts.netloc or parts.port == 0
    except ValueError:  # no number for a port, or a torn IPv6 address
        return False
    return not is_odd and parts.hostname in LOOPBACK_NAMES
