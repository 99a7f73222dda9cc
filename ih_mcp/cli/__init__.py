"""The command line: the MCP server when called without a command, and the same road for people.

Standard output belongs to the data: the MCP protocol, or the API's messages, one a line exactly
as they came. Everything else goes to standard error.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence

from ih_mcp import __version__
from ih_mcp.errors import CallerError, IhMcpError
from ih_mcp.redaction import broken, redacting_logs
from ih_mcp.settings import LOCAL, Settings, read_settings
from ih_mcp.wire.dialects import DIALECTS
from ih_mcp.wire.rest import UPLOADS

from .hosts import HOSTS, NAME

_EXAMPLES = """\
examples:
  ih-mcp                                  the MCP server over stdio, as hosts start it
  ih-mcp stream talk.mp4                  a file's messages on stdout, one a line
  ih-mcp stream talk.mp4 --local          the same against the local stand-in: no key, no network
  ih-mcp stream talk.mp4 | jq -r .type    messages are JSON, exactly as they came
  ih-mcp messages                         the newest stream again, from the journal
  ih-mcp capture                          record a person live, in a page of the browser
  ih-mcp watch                            the newest stream's live timeline, in the terminal
  ih-mcp timeline -o talk.html            the newest stream's timeline as a file to mail
  ih-mcp analyze talk.mp4                 upload a file whole; one result about all of it
  ih-mcp token --max-video-seconds 600    a capped token for a browser
  ih-mcp check                            what is missing, and what mends it
  ih-mcp check talk.mp4                   what a file is, too
  ih-mcp install cursor --dry-run         what would be put into an MCP host's configuration
  ih-mcp standin --port 8080              the stand-in alone, for any client of the API

A key comes from INTERHUMAN_API_KEY. Exit codes: 0 all in order, 1 the stream did not end in
order, 2 it could not start.
"""
_STREAM_NOTES = """\
Each message is one line on stdout, exactly as it came. A message that itself holds a line break
(or begins with the byte 0x1E) is told apart: a line of 0x1E and the message's length in bytes
comes first, then exactly that many bytes, then a line break.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    with redacting_logs():
        try:
            return _run(arguments)
        except Exception as exc:  # noqa: BLE001 - a mistake of ours: Python would show secrets too
            print(broken(exc), file=sys.stderr)
            return 1


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
        work: Callable[[argparse.Namespace, Settings], int] = options.work
        return work(options, settings)
    except IhMcpError as exc:
        return _complain(exc) if options.work is not _check else _check_failed(exc)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output left; there is nobody to tell
        from .console import leave_output  # noqa: PLC0415

        leave_output()
        return 1


def _complain(error: IhMcpError) -> int:
    """Tell a person what went wrong; gives the exit code."""
    from ih_mcp.mcp_server.answers import harmless  # noqa: PLC0415 - the server must start fast

    from .console import OUTPUT_FAILED  # noqa: PLC0415

    print(f"ih-mcp: {harmless(error.what)}", file=sys.stderr)
    if error.help:
        print(f"  {harmless(error.help)}", file=sys.stderr)
    return 1 if error.code == OUTPUT_FAILED else 2


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--local",
        action="store_true",
        default=argparse.SUPPRESS,
        help="use the local stand-in instead of the service: no key, no network",
    )
    parser = argparse.ArgumentParser(
        prog="ih-mcp",
        description="Interhuman's social-intelligence API for agents and people.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[shared],
    )
    parser.add_argument("--version", action="version", version=f"ih-mcp {__version__}")
    parser.set_defaults(work=_serve, local=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    stream = commands.add_parser(
        "stream",
        parents=[shared],
        help="send a file; print the API's messages",
        description="Send a video file and print every message of the API.",
        epilog=_STREAM_NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    stream.add_argument("file", metavar="FILE")
    stream.add_argument("--api", choices=[*DIALECTS], help="default: IH_MCP_API, v1")
    stream.add_argument("--model", help="v2 only: inter-2 or inter-2-audio")
    stream.add_argument(
        "--include",
        action="append",
        choices=["conversation_quality_overall", "conversation_quality_timeline"],
        help="a section to get; may be repeated",
    )
    stream.add_argument(
        "--pace",
        choices=["auto", "realtime", "fast"],
        default="auto",
        help="auto (default): nothing is dropped; fast: the service may drop seconds",
    )
    stream.add_argument("--analyst", help="of the stand-in, with --local; see `standin --help`")
    stream.add_argument("--scenario", metavar="FILE", help="what the analyst replay plays")
    stream.set_defaults(work=_stream)

    messages = commands.add_parser(
        "messages",
        parents=[shared],
        help="print the kept messages of a stream",
        description="Print every kept message of a stream, as `ih-mcp stream` prints them.",
    )
    messages.add_argument("stream_id", metavar="STREAM", nargs="?", help="default: the newest")
    messages.set_defaults(work=_messages)

    _add_live(commands, shared)
    analyze = commands.add_parser(
        "analyze",
        parents=[shared],
        help="upload a file whole; print the service's JSON",
        description="Upload a recorded file and print the service's result, as it came.",
    )
    analyze.add_argument("file", metavar="FILE")
    analyze.add_argument("--api", choices=[*UPLOADS], default="v2", help="default: v2")
    analyze.add_argument("--model", help="v2 only: inter-2 or inter-2-audio")
    analyze.add_argument(
        "--include",
        action="append",
        default=[],
        choices=["signals", "conversation_quality_overall", "conversation_quality_timeline"],
        help="a section to get; may be repeated",
    )
    analyze.set_defaults(work=_analyze)

    token = commands.add_parser(
        "token",
        parents=[shared],
        help="mint a token; print the service's JSON",
        description="Mint a token that others can use without seeing the key.",
    )
    token.add_argument(
        "--kind",
        choices=["client", "access"],
        default="client",
        help="client (default): from the API key, capped; access: from a key pair",
    )
    token.add_argument("--scope", action="append", dest="scopes", help="may be repeated")
    for cap in (
        "expires_in",
        "max_duration_seconds",
        "max_bytes",
        "max_concurrent",
        "max_video_seconds",
    ):
        token.add_argument(f"--{cap.replace('_', '-')}", type=int, dest=cap, help="client only")
    token.add_argument(
        "--allowed-origin", action="append", dest="allowed_origins", help="client only"
    )
    token.set_defaults(work=_token)

    standin = commands.add_parser(
        "standin",
        help="run the stand-in alone",
        description="A local server that speaks the API. It is no measurement, and says so.",
    )
    standin.add_argument("--port", type=_port, default=0, help="default: any free port")
    standin.add_argument("--record", metavar="FILE", help="write down every text frame it sends")
    standin.add_argument("--script", metavar="FILE", help="ordered faults, as JSON")
    standin.add_argument(
        "--strict", action="store_true", help="accept only what the newest sources of the API say"
    )
    standin.add_argument(
        "--feedback", action="store_true", help="let goals be set on v1 and v2 streams"
    )
    standin.add_argument(
        "--analysis-speed",
        type=_speed,
        metavar="X",
        help="analyse X seconds of video a second, and drop what is too far behind",
    )
    standin.add_argument("--analyst", help="cues, placeholder, replay, or an installed one")
    standin.add_argument(
        "--scenario",
        metavar="FILE",
        help="what replay plays: JSON lines, or YAML by its name's ending",
    )
    standin.set_defaults(work=_standin)

    check = commands.add_parser(
        "check", parents=[shared], help="look at the set-up and say what mends it"
    )
    check.add_argument("file", metavar="FILE", nargs="?", help="look at this file too")
    check.set_defaults(work=_check)
    _add_install(commands, shared)
    return parser


def _add_live(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    shared: argparse.ArgumentParser,
) -> None:
    capture = commands.add_parser(
        "capture",
        parents=[shared],
        help="record a person live; print the API's messages",
        description="Record live and print every message of the API. A link to a local page is "
        "told on standard error: it has the camera and the live timeline.",
    )
    capture.add_argument("--api", choices=[*DIALECTS], help="default: IH_MCP_API, v1")
    capture.add_argument("--model", help="v2 only: inter-2 or inter-2-audio")
    capture.add_argument(
        "--include",
        action="append",
        choices=["conversation_quality_overall", "conversation_quality_timeline"],
        help="a section to get; may be repeated",
    )
    capture.add_argument(
        "--device",
        nargs="?",
        const="",
        metavar="CAMERA",
        help="record by ffmpeg instead of a page: a camera of --list-devices, else the first; "
        "IH_MCP_CAPTURE_INPUT names any other input",
    )
    capture.add_argument("--microphone", metavar="NAME", help="with --device; default: the first")
    capture.add_argument("--seconds", type=float, help="with --device: how long; default: Ctrl+C")
    capture.add_argument(
        "--list-devices", action="store_true", help="print cameras and microphones"
    )
    capture.add_argument("--open", action="store_true", help="open the page in the browser")
    capture.set_defaults(work=_capture)

    watch = commands.add_parser(
        "watch",
        parents=[shared],
        help="show a stream's live timeline",
        description="Show a stream's timeline, live or kept, of this or another process, until "
        "the stream is over.",
    )
    watch.add_argument("stream_id", metavar="STREAM", nargs="?", help="default: the newest")
    watch.add_argument("--page", action="store_true", help="serve the page instead of drawing here")
    watch.set_defaults(work=_watch)

    timeline = commands.add_parser(
        "timeline",
        parents=[shared],
        help="draw a stream's timeline into a file",
        description="Draw a stream's timeline into one file that can be mailed (.html), or into "
        "a picture (.png, .svg: need ih-mcp[pictures]).",
    )
    timeline.add_argument("stream_id", metavar="STREAM", nargs="?", help="default: the newest")
    timeline.add_argument("-o", "--output", metavar="FILE", help="default: STREAM.html")
    timeline.set_defaults(work=_timeline)


def _add_install(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    shared: argparse.ArgumentParser,
) -> None:
    install = commands.add_parser(
        "install",
        parents=[shared],
        help="put this server into an MCP host's configuration",
        description="Put this server into an MCP host's configuration: the change is shown, what "
        "is there is kept, and the old file stays beside the new one.",
    )
    install.add_argument("host", choices=[*HOSTS])
    install.add_argument("--dry-run", action="store_true", help="show the change, write nothing")
    install.add_argument("--print", action="store_true", help="print the entry, read nothing")
    install.add_argument("--name", default=NAME, help=f"of the server; default: {NAME}")
    install.add_argument(
        "--key", help="written in clear; without it the host's reference to INTERHUMAN_API_KEY is"
    )
    install.add_argument(
        "--media-dir",
        action="append",
        dest="media_dirs",
        metavar="DIR",
        help="a folder whose files may be read; may be repeated",
    )
    install.add_argument(
        "--this", action="store_true", help="start this installation instead of uvx ih-mcp"
    )
    install.set_defaults(work=_install)


# Each command imports what it needs when it is called: the server must start fast.


def _serve(_: argparse.Namespace, settings: Settings) -> int:
    from ih_mcp.mcp_server.server import run_stdio  # noqa: PLC0415

    if os.isatty(0):
        print("ih-mcp: serves MCP on standard input and output, for hosts; --help", file=sys.stderr)
    run_stdio(settings)
    return 0


def _stream(options: argparse.Namespace, settings: Settings) -> int:
    from .stream import run  # noqa: PLC0415

    if (options.analyst or options.scenario) and not settings.is_local:
        raise CallerError(
            "--analyst and --scenario are of the stand-in, and this goes to the service",
            help="Add --local, or leave them out.",
        )
    return run(
        settings,
        path=options.file,
        api=options.api,
        model=options.model,
        include=options.include,
        pace=options.pace,
    )


def _messages(options: argparse.Namespace, settings: Settings) -> int:
    from .messages import run  # noqa: PLC0415

    return run(settings, options.stream_id)


def _capture(options: argparse.Namespace, settings: Settings) -> int:
    from ih_mcp.app.runtime import Opening  # noqa: PLC0415
    from ih_mcp.wire.messages import Config  # noqa: PLC0415

    from .capture import Wanted, run, run_list  # noqa: PLC0415

    if options.list_devices:
        return run_list(settings)
    include = tuple(options.include) if options.include else None
    wanted = Wanted(
        opening=Opening(api=options.api, config=Config(include=include, model=options.model)),
        opens_browser=options.open,
        by_ffmpeg=options.device is not None,
        camera=options.device or "",
        microphone=options.microphone or "",
        max_seconds=options.seconds,
    )
    return run(settings, wanted)


def _watch(options: argparse.Namespace, settings: Settings) -> int:
    from .watch import run  # noqa: PLC0415

    return run(settings, options.stream_id, page=options.page)


def _timeline(options: argparse.Namespace, settings: Settings) -> int:
    from .timeline import run  # noqa: PLC0415

    return run(settings, options.stream_id, options.output)


def _analyze(options: argparse.Namespace, settings: Settings) -> int:
    from .analyze import run  # noqa: PLC0415

    return run(
        settings,
        path=options.file,
        api=options.api,
        model=options.model,
        include=options.include,
    )


def _token(options: argparse.Namespace, settings: Settings) -> int:
    from .token import run  # noqa: PLC0415

    return run(settings, options)


def _standin(options: argparse.Namespace, settings: Settings) -> int:
    from .standin import run  # noqa: PLC0415

    return run(
        settings,
        port=options.port,
        record=options.record,
        script=options.script,
        is_strict=options.strict,
        has_feedback=options.feedback,
        analysis_speed=options.analysis_speed,
    )


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return speed


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) <= 65_535):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535")
    return int(text)


def _install(options: argparse.Namespace, _: Settings) -> int:
    from .install import run  # noqa: PLC0415

    return run(options)


def _check(options: argparse.Namespace, settings: Settings) -> int:
    from .check import run  # noqa: PLC0415

    return run(settings, options.file)


def _check_failed(error: IhMcpError) -> int:
    """A part without which nothing else can be looked at, told as any other that is wrong."""
    from .check import show  # noqa: PLC0415

    return show({"setup": f"problem: {error.what}", "mend": [error.help or error.what]})
