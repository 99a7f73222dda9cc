"""`ih-mcp analyze FILE`: one upload, one result."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from functools import partial

import anyio
from rich.console import Console

from ih_mcp.app.runtime import open_runtime
from ih_mcp.errors import join_help
from ih_mcp.settings import Settings
from ih_mcp.streams.uploads import UploadAnalysis
from ih_mcp.wire.rest import UPLOADS

from .consent import TerminalChannel
from .console import print_line, write_output
from .options import QUALITY_SECTIONS, add_goal, add_local, add_model, add_raw
from .progress import ProgressStep, doing, showing
from .usage import describe_use


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = "Upload a recorded file and print the service's result, as it came."
    add_local(parser)
    parser.add_argument("file", metavar="FILE", help="3 s to 32 MiB of video or sound")
    parser.add_argument(
        "--api", choices=[*UPLOADS], default="v2", help="version of the API; default: v2"
    )
    add_model(parser)
    parser.add_argument(
        "--include",
        action="append",
        default=[],
        choices=["signals", *QUALITY_SECTIONS],
        help="a section to receive; may be given several times",
    )
    add_goal(parser)
    parser.add_argument("--context", help="with v1: what the conversation is about")
    add_raw(parser)


def run(options: Namespace, settings: Settings) -> int:
    """Upload a file and print the service's JSON; gives 0 only if there is a result."""
    form: dict[str, object] = {
        "model": options.model,
        "include": tuple(options.include),
        "goal_dimensions": tuple(options.goal or ()),
        "conversation_context": options.context,
    }
    work = partial(_run, settings, options.file, options.api, form, is_raw=options.raw)
    return anyio.run(work)


async def _run(
    settings: Settings, path: str, api: str, form: dict[str, object], *, is_raw: bool
) -> int:
    console = Console(stderr=True)
    async with open_runtime(settings, trusted=True) as runtime:
        async with doing(console, "reading the file"):
            analysis = await runtime.analyze_file(
                path, api=api, form=form, channel=TerminalChannel(console)
            )
        for note in analysis.notes:
            print_line(console, note)
        async with showing(console, partial(_step, analysis)):
            await runtime.analyses.wait(analysis.id)
        page = await runtime.journal.read_page(analysis.id, 0, limit=1, max_chars=1)
    for entry in page.entries:
        body = entry.body.encode() if isinstance(entry.body, str) else entry.body
        write_output(body + b"\n", is_raw=is_raw)
    if said := analysis.facts.get("stand_in"):
        print_line(console, str(said))
    if problem := _describe_error(analysis):
        print_line(console, problem)
    print_line(console, f"{describe_use(analysis.use)} Analysis {analysis.id}")
    return 0 if analysis.facts["state"] == "ended" else 1


def _step(analysis: UploadAnalysis) -> ProgressStep:
    """How much of the file was sent; from then on nobody says how far the service is."""
    if problem := _describe_error(analysis):
        return ProgressStep(problem)
    if analysis.sent_bytes < analysis.size:
        return ProgressStep("sending the file", analysis.sent_bytes / analysis.size)
    return ProgressStep("the file is sent; the service is at work")


def _describe_error(analysis: UploadAnalysis) -> str:
    """What went wrong last; empty where nothing did."""
    error = analysis.facts.get("error")
    return join_help(error["what"], error["help"]) if isinstance(error, dict) else ""
