"""The set-up check: each part is checked by itself, and each problem names what helps."""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile

import anyio
from anyio import to_thread

from ih_mcp import __version__
from ih_mcp.errors import ConfigurationError, IhMcpError, ServiceError
from ih_mcp.stand_in import LOCAL, STAND_IN
from ih_mcp.wire.dialects import DIALECTS, V1
from ih_mcp.wire.minutes import to_minutes

from .folders import require_folders
from .runtime import Runtime

_REACH_SECONDS = 5.0
_NO_KEY_STATUSES = {401, 403}  # skill v2; docs: authentication
_MCP_VERSION = version("mcp")  # it reads the disk: here, not in the event loop


_REAL_SERVICE = (
    "The stand-in answers, since IH_MCP_ENDPOINT is local (or --local was given). For Interhuman's "
    "own readings the person takes that away, sets INTERHUMAN_API_KEY to a key from "
    "https://platform.interhuman.ai, and starts this server again."
)


async def check(runtime: Runtime) -> dict[str, object]:
    """The state of each part; `ok` is whether all work, `fixes` lists what helps if not.

    `mend` is the former name of `fixes`, for programs that read it.
    """
    found: dict[str, object] = {
        "version": __version__,
        "python": platform.python_version(),
        "mcp": _MCP_VERSION,
    }
    fixes: list[str] = []
    for name, look in _PARTS.items():
        try:
            found[name] = await look(runtime)
        except IhMcpError as exc:
            found[name] = f"problem: {exc.what}"
            fixes.append(exc.help or exc.what)
    report = {"ok": not fixes, **found, "fixes": fixes, "mend": fixes}
    return report | {"real_service": _REAL_SERVICE} if runtime.settings.is_local else report


async def _key(runtime: Runtime) -> str:
    found = runtime.credentials.require()
    words = {"local": "not needed", "caller_key": "your own came with this call"}
    return words.get(found, f"{found} is set")


async def _api(runtime: Runtime) -> str:
    name = runtime.settings.api
    if name not in DIALECTS:
        raise ConfigurationError(
            f"IH_MCP_API is {name!r}, which is not known",
            help=f"Set IH_MCP_API to one of {', '.join(DIALECTS)}.",
        )
    return name


async def _endpoint(runtime: Runtime) -> str:
    url = runtime.settings.base_url
    if url is None:
        analyst = (await runtime.analyst()).description
        return f"{LOCAL}. {STAND_IN} {analyst}"
    return f"{url} ({await _describe_reach(url, runtime.settings.api)})"


async def _describe_reach(url: str, api: str) -> str:
    """Connect as a stream does, up to the answer to an upgrade; without a key, so nothing opens.

    Raises:
        IhMcpError: Something on the way does not let a stream through; names it.
    """
    from ih_mcp.net.opener import open_socket  # noqa: PLC0415
    from ih_mcp.net.route import find_route  # noqa: PLC0415

    address = DIALECTS.get(api, V1).address(url)
    route = await find_route(address)
    try:
        async with open_socket(address, bearer=None, open_seconds=_REACH_SECONDS):
            pass
    except ServiceError as exc:  # a refusal for the missing key shows that the service is reachable
        if exc.facts.get("status") not in _NO_KEY_STATUSES or "answered_with" in exc.facts:
            raise
    return f"reachable through {route.proxy}" if route.proxy else "reachable"


async def _ffmpeg(runtime: Runtime) -> str:
    ffmpeg = await runtime.ffmpeg()
    return f"{ffmpeg.version} (by {ffmpeg.found_by})"


async def _folders(runtime: Runtime) -> list[str] | str:
    if not runtime.settings.folders and runtime.is_trusted:
        return "none; the command line reads what you name, an agent needs IH_MCP_MEDIA_DIRS"
    require_folders(runtime.settings)
    for folder in runtime.settings.folders:
        if not await anyio.Path(folder).is_dir():
            raise ConfigurationError(f"{folder} is no folder", help="Correct IH_MCP_MEDIA_DIRS.")
    return [str(folder) for folder in runtime.settings.folders]


async def _mirror(runtime: Runtime) -> str:
    folder = runtime.settings.mirror_dir
    if folder is None:
        return "off (IH_MCP_MIRROR_DIR is not set)"
    made = await to_thread.run_sync(_is_writable, folder)
    if not made:
        raise ConfigurationError(
            f"{folder} cannot be written to", help="Correct IH_MCP_MIRROR_DIR, or its permissions."
        )
    return str(folder)


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


async def _journal(runtime: Runtime) -> dict[str, object]:
    if runtime.journal.is_read_only:
        raise ConfigurationError(
            f"{runtime.settings.data_dir} is read-only: what is kept there can be read, no stream "
            "can begin",
            help="Set IH_MCP_DATA_DIR to a folder this user can write to.",
        )
    if outage := runtime.journal.outage:
        raise ConfigurationError(
            f"nothing new can be kept: {outage}",
            help="Whoever runs the database of the journal looks after it; what was shown before "
            "can be read where it answers.",
        )
    rows = await runtime.journal.list_streams()
    return {
        "folder": str(runtime.settings.data_dir),
        "streams": len(rows),
        "bytes": sum(row.disk_bytes for row in rows),
    }


async def _minutes(runtime: Runtime) -> str:
    promised, left = await runtime.minutes.promised(), await runtime.minutes.left()
    used = max(0.0, await runtime.minutes.used() - promised)
    sent = f"{to_minutes(used, up=True):g} used today"
    if promised:
        sent += f", {to_minutes(promised, up=True):g} reserved for files that are being sent"
    return f"{sent}, no limit" if left is None else f"{sent}, {to_minutes(left, up=False):g} left"


_PARTS: dict[str, Callable[[Runtime], Awaitable[object]]] = {
    "api_key": _key,
    "api": _api,
    "endpoint": _endpoint,
    "ffmpeg": _ffmpeg,
    "media_dirs": _folders,
    "journal": _journal,
    "mirror": _mirror,
    "minutes": _minutes,
}
