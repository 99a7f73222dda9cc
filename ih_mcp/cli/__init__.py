"""The command line: one module for each command, and the MCP server when there is no command.

Standard output belongs to the data: the MCP protocol, or the API's messages, one a line exactly
as they came. Everything else goes to standard error.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import Any

from ih_mcp import __version__
from ih_mcp.errors import IhMcpError
from ih_mcp.garbage_collector import collecting_nothing
from ih_mcp.printable import escape_unprintable
from ih_mcp.redaction import format_traceback, redacting_logs
from ih_mcp.settings import Settings, read_settings
from ih_mcp.stand_in import LOCAL

from .options import add_local

_COMMANDS = {
    "stream": "send a file; print the API's messages",
    "list": "show the streams and uploads that are kept",
    "batch": "send every file of a folder, with a report",
    "messages": "print the kept messages of a stream",
    "capture": "record a person live; print the API's messages",
    "watch": "show a stream's live timeline",
    "timeline": "draw a stream's timeline into a file",
    "review": "show a stream's timeline beside its video",
    "export": "write streams for another program: tables, subtitles, ELAN, Praat, BORIS",
    "analyze": "upload a file whole; print the service's JSON",
    "forget": "remove streams and uploads for good",
    "usage": "show how many minutes of media were sent and analysed",
    "token": "mint a token; print the service's JSON",
    "standin": "run the stand-in alone",
    "serve": "serve MCP over HTTP, for a team",
    "caller": "make a key for a caller of `ih-mcp serve`",
    "check": "check the set-up and say what to fix",
    "install": "put this server into an MCP host's configuration",
    "uninstall": "take this server out of an MCP host's configuration",
}
"""Each command is the module of that name: it has `add_arguments(parser)` and
`run(options, settings)`, which gives the exit code."""
_EXAMPLES = """\
examples:
  ih-mcp                                  run the MCP server over stdio, as MCP hosts do
  ih-mcp stream talk.mp4                  print the messages about a file, one a line
  ih-mcp stream talk.mp4 --local          the same against the local stand-in: no key, no network
  ih-mcp stream talk.mp4 | jq -r .type    messages are JSON, exactly as they came
  ih-mcp list                             show what is kept, with short ids
  ih-mcp forget --older 7d                remove the streams that ended so long ago, for good
  ih-mcp batch videos/ -o out/ --local    send every file of a folder, and write a report
  ih-mcp messages                         print the newest stream again, from the journal
  ih-mcp capture                          record a person live, in a page of the browser
  ih-mcp watch                            show the newest stream's timeline in the terminal
  ih-mcp timeline -o talk.html            save the newest stream's timeline as one file
  ih-mcp review talk.mp4                  show the newest stream's timeline beside its video
  ih-mcp export --all --as csv            save every kept stream as a table
  ih-mcp analyze talk.mp4                 upload a file whole; get one result about all of it
  ih-mcp usage --by-day                   show the minutes that were sent and analysed
  ih-mcp token --max-video-seconds 600    mint a token with a cap, for a browser
  ih-mcp check                            show what is missing, and how to fix it
  ih-mcp check talk.mp4                   the same, and what is in a file
  ih-mcp install cursor --dry-run         show what would be put into Cursor's configuration
  ih-mcp serve --local                    serve MCP over HTTP, for a team
  ih-mcp standin --port 8080              run the stand-in alone, for any client of the API

The API key is read from INTERHUMAN_API_KEY. Exit codes: 0 if the stream ended in order, 1 if it did
not, 2 if it could not start.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    _escape_what_cannot_be_shown()
    with redacting_logs():
        try:
            return _run(arguments)
        except Exception as exc:  # noqa: BLE001 - a mistake of ours: Python would show secrets too
            print(format_traceback(exc), file=sys.stderr)
            return 1


def _escape_what_cannot_be_shown() -> None:
    """Characters that a terminal's encoding lacks, such as cp1252 on Windows, become escapes."""
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # messages are written as bytes


def _run(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's `ih-mcp ... &` in a script
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        settings = read_settings(
            endpoint=LOCAL if options.local else None,
            analyst=getattr(options, "analyst", None),
            scenario=getattr(options, "scenario", None),
        )
        if settings.tenant:
            folder = settings.data_dir / "tenants" / settings.tenant
            settings = settings.model_copy(update={"data_dir": folder})
        run: Callable[[argparse.Namespace, Settings], int] = options.run
        return run(options, settings)
    except IhMcpError as exc:
        show_error: Callable[[IhMcpError], int] = options.show_error
        return show_error(exc)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output left; nobody is there to read an error
        from .console import leave_output  # noqa: PLC0415

        leave_output()
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ih-mcp",
        description="Interhuman's social-intelligence API for agents and people.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_local(parser)
    parser.add_argument("--version", action="version", version=f"ih-mcp {__version__}")
    parser.set_defaults(run=_serve, show_error=_show_error, local=False)
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", parser_class=_CommandParser
    )
    for name, summary in _COMMANDS.items():
        commands.add_parser(name, help=summary)
    return parser


class _CommandParser(argparse.ArgumentParser):
    """Imports the module of its command when that command is given: the server must start fast."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401 - argparse's signature
        command = import_module(f"{__name__}.{self.prog.split()[-1]}")
        command.add_arguments(self)
        self.set_defaults(run=command.run)
        return super().parse_known_args(args, namespace)


def _serve(_: argparse.Namespace, settings: Settings) -> int:
    """Serve MCP over stdio."""
    if os.isatty(0):
        print("ih-mcp: serves MCP on standard input and output, for hosts; --help", file=sys.stderr)
    with collecting_nothing():  # until it has started
        from ih_mcp.mcp_server.server import run_stdio  # noqa: PLC0415 - a command need not load it

        run_stdio(settings)
    return 0


def _show_error(error: IhMcpError) -> int:
    """Print what went wrong and what helps; gives the exit code."""
    from .console import OUTPUT_FAILED  # noqa: PLC0415 - the server must start fast

    print(f"ih-mcp: {escape_unprintable(error.what)}", file=sys.stderr)
    if error.help:
        print(f"  {escape_unprintable(error.help)}", file=sys.stderr)
    return 1 if error.code == OUTPUT_FAILED else 2
