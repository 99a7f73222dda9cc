"""How many connections a server takes: as many as the system lets it open files, up to a bound.

Each connection of a caller is an open file, and a poll that waits holds one. Systems let a program
open 1,024 by default, and more where it asks.
"""

from __future__ import annotations

import logging

MAX_CONNECTIONS = 8192  # chosen: a poll waits for 25 s, and one process answers some 300 a second
_OTHER_FILES = 512  # of the journal, the service, ffmpeg, replicas
_LEAST_CONNECTIONS = 256
_LOG = logging.getLogger("ih_mcp.http_server")


def allow_connections() -> int:
    """Ask the system for as many open files as are wanted; gives how many connections it allows."""
    try:
        import resource  # noqa: PLC0415 - POSIX alone has it; elsewhere there is no such bound
    except ImportError:  # pragma: no cover - of Windows alone
        return MAX_CONNECTIONS
    unlimited, wanted = resource.RLIM_INFINITY, MAX_CONNECTIONS + _OTHER_FILES
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if most == unlimited else min(wanted, most)
    if files != unlimited and files < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
        files = allowed
    if files == unlimited or files >= wanted:
        return MAX_CONNECTIONS
    found = max(_LEAST_CONNECTIONS, files - _OTHER_FILES)
    _LOG.warning(
        "the system lets this process open %d files, so it takes %d connections at a time; "
        "raise that limit (ulimit -n, LimitNOFILE) for more",
        files,
        found,
    )
    return found
