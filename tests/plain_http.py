"""The client of HTTP that tests look at servers of this machine with."""

from __future__ import annotations

from typing import Any

import httpx2


def plain_http(**more: Any) -> httpx2.AsyncClient:
    """Without a bound by the clock, which a busy machine breaks, and without a proxy.

    No address of a test is of `https`, so no certificates are read, which takes 20 ms a client.
    """
    bare = {"timeout": None, "trust_env": False, "verify": False}
    return httpx2.AsyncClient(**{**bare, **more})
