"""`ih-mcp serve`: MCP over HTTP for a team."""

from __future__ import annotations

import logging
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
from anyio import open_signal_receiver, to_thread

from ih_mcp import __version__
from ih_mcp.errors import ConfigurationError, unwrap_single_error
from ih_mcp.garbage_collector import leave_out_all
from ih_mcp.http_server.app import TeamApp
from ih_mcp.http_server.callers import Callers
from ih_mcp.http_server.json_log import log_as_json
from ih_mcp.http_server.serve import TeamServer, open_team_server, read_configured_callers
from ih_mcp.redaction import redact
from ih_mcp.settings import Settings

from .options import add_local

_RELOAD = getattr(signal, "SIGHUP", None)
_SIGNALS = [signal.SIGINT, signal.SIGTERM, *([_RELOAD] if _RELOAD else [])]


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        "Serve MCP over Streamable HTTP at /mcp. On this machine nobody needs a key; beyond it "
        "each caller has one. The first line on standard output is the address."
    )
    add_local(parser)
    parser.add_argument("--listen", metavar="HOST:PORT", help="default: IH_MCP_LISTEN")
    parser.add_argument(
        "--callers", metavar="FILE", type=Path, help="who may call; default: IH_MCP_CALLERS"
    )


def run(options: Namespace, settings: Settings) -> int:
    """Serve until the process is asked to end.

    Raises:
        ConfigurationError: It may not, or cannot, listen there; or the callers file is wrong.
    """
    if settings.tenant:
        raise ConfigurationError(
            "IH_MCP_TENANT is set, and this command serves every tenant",
            help="Unset it here; it is for the commands that list, export and forget streams.",
        )
    given = {"listen": options.listen, "callers": options.callers}
    settings = settings.model_copy(update={name: value for name, value in given.items() if value})
    with unwrap_single_error():
        anyio.run(_serve, settings)
    return 0


async def _serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; then drain, unless a second signal ends it at once.

    Raises:
        ConfigurationError: As `open_team_server`.
    """
    logging.getLogger("ih_mcp").setLevel(settings.log_level.upper())
    logging.getLogger("ih_mcp.audit").setLevel(logging.INFO)  # a server for others says who called
    if settings.log_format == "json":
        log_as_json()
    async with open_team_server(settings) as server:
        leave_out_all()
        print(f"{server.url}/mcp", flush=True)
        print(_greeting(settings, server), file=sys.stderr)
        with open_signal_receiver(*_SIGNALS) as signals:
            async for received in signals:
                if received != _RELOAD:
                    break
                await _reload(settings, server.app)
            await _drain(server.app, settings.drain_seconds, signals)


async def _drain(app: TeamApp, seconds: float, signals: AsyncIterator[signal.Signals]) -> None:
    """Let streams and analyses go on until they end, the time is over, or another signal comes."""
    if live := app.drain():
        print(
            f"ih-mcp: no new streams; {live} live ones go on, for {seconds:g} s at most. A second "
            "signal ends them now.",
            file=sys.stderr,
        )
    async with anyio.create_task_group() as tasks:
        with anyio.move_on_after(seconds):
            tasks.start_soon(_cancel_on_signal, signals, tasks.cancel_scope)
            await app.wait_until_idle()
        tasks.cancel_scope.cancel()


async def _cancel_on_signal(
    signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope
) -> None:
    async for received in signals:
        if received != _RELOAD:
            scope.cancel()


async def _reload(settings: Settings, app: TeamApp) -> None:
    """Read the callers file again; a wrong one changes nothing."""
    if settings.callers is None:
        return
    try:
        app.bearers.callers = await to_thread.run_sync(read_configured_callers, settings)
    except ConfigurationError as exc:
        print(f"ih-mcp: the callers stay as they were: {exc.what}", file=sys.stderr)
    else:
        ended = app.end_streams_without_caller()
        more = f"; {ended} live streams of tenants without one are ended" if ended else ""
        print(f"ih-mcp: the callers were read again{more}", file=sys.stderr)


def _greeting(settings: Settings, server: TeamServer) -> str:
    allowed = [
        *([f"callers of {settings.callers}"] if settings.callers else []),
        *([f"holders of a token of {settings.issuer}"] if settings.issuer else []),
    ]
    who = " and ".join(allowed) or "whoever uses this machine"
    standin = " The stand-in answers, not Interhuman." if settings.is_local else ""
    return redact(
        f"ih-mcp {__version__}: serves MCP to {who} at {settings.public_url or server.url}/mcp."
        f"{standin}{_missing_key(settings, server.app.bearers.callers)} Ctrl+C ends it."
    )


def _missing_key(settings: Settings, callers: Callers | None) -> str:
    """Says that the key is missing, which calls that need it would be the first to say."""
    has_key = settings.api_key or settings.key_id or settings.access_token
    if settings.is_local or settings.keys != "server" or has_key:
        return ""
    rows = callers.tenants.values() if callers else ()
    if rows and all(row.api_key_variable for row in rows):
        return ""
    return (
        " No key for Interhuman is set, so calls that need it are refused: set INTERHUMAN_API_KEY, "
        "or start with --local for the stand-in."
    )
