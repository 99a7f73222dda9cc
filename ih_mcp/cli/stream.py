"""`ih-mcp stream FILE`: sends a file and prints the API's messages."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread
from rich.console import Console

from ih_mcp.app.jsonl import frame_message
from ih_mcp.app.runtime import Runtime, StreamOptions, open_runtime
from ih_mcp.errors import CallerError, PathError, join_help
from ih_mcp.journal import follow
from ih_mcp.settings import Settings
from ih_mcp.stand_in import STAND_IN
from ih_mcp.streams.pacing import HeldSegment, PaceName
from ih_mcp.streams.status import LossStatus, StreamStatus
from ih_mcp.streams.stream import Stream
from ih_mcp.timeline.model import read_timeline
from ih_mcp.timeline.rows import clock
from ih_mcp.timeline.summary import describe_silence, describe_stop, summarise
from ih_mcp.wire.endings import EndReason
from ih_mcp.wire.messages import Config

from .consent import TerminalChannel
from .console import print_line, write_output
from .interrupts import interruptible
from .options import add_local, add_raw, add_stream_options
from .progress import ProgressStep, ReadProgress, doing, hidden_from_output, showing
from .usage import describe_use

_PAGE = 200
_PAGE_CHARS = 1_000_000
_MAX_SHOWN = 10  # chosen: of gaps, and of stretches that were lost
_NOTES = """\
Each message is one line on stdout, exactly as it came; on a terminal, characters that steer it are
shown as escapes (--raw prints them). A message that contains a line break
(or begins with the byte 0x1E) is marked: a line of 0x1E and the message's length in bytes
comes first, then exactly that many bytes, then a line break.
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = "Send a video file and print every message of the API."
    parser.epilog = _NOTES
    parser.formatter_class = RawDescriptionHelpFormatter
    add_local(parser)
    parser.add_argument(
        "files", metavar="FILE", nargs="+", help="video or sound files, one after another"
    )
    add_stream_options(parser)
    add_pace(parser)
    add_stand_in_options(parser)
    add_raw(parser)


def add_pace(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--pace",
        choices=["auto", "realtime", "fast"],
        default="auto",
        help="auto (default): as fast as the service analyses, so that nothing is dropped; "
        "realtime: as fast as it plays; fast: as fast as the connection takes it, so that the "
        "service may skip windows (readings of one file then differ) and drop seconds",
    )


def add_stand_in_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--analyst", help="analyst of the stand-in, with --local; see `standin --help`"
    )
    parser.add_argument(
        "--scenario", metavar="FILE", help="the recorded session that the analyst `replay` plays"
    )


def run(options: Namespace, settings: Settings) -> int:
    """Send files and print each message; gives 0 only if each session ended in order."""
    require_local(options, settings)
    try:
        return anyio.run(_run, settings, options)
    except PathError as exc:
        if not any(name and Path(name).is_dir() for name in options.files):
            raise
        advice = f"{exc.help} `ih-mcp batch FOLDER -o OUT` takes every file of a folder."
        raise PathError(exc.what, help=advice, code=exc.code) from None


def require_local(options: Namespace, settings: Settings) -> None:
    """Refuse options of the stand-in where the service is meant.

    Raises:
        CallerError: There are some.
    """
    if (options.analyst or options.scenario) and not settings.is_local:
        raise CallerError(
            "--analyst and --scenario are of the stand-in, and this goes to the service",
            help="Add --local, or leave them out.",
        )


def opening_of(options: Namespace) -> StreamOptions:
    """How the command line asks for a stream to be opened."""
    include = tuple(options.include) if options.include else None
    goals = tuple(options.goal) if options.goal else None
    config = Config(include=include, goal_dimensions=goals, model=options.model)
    return StreamOptions(api=options.api, config=config, label=options.label)


async def _run(settings: Settings, options: Namespace) -> int:
    """Send the files one after another; gives the worst of their codes."""
    console = Console(stderr=True)
    codes: list[int] = []
    async with open_runtime(settings, trusted=True) as runtime:
        for name in options.files:
            await runtime.find_file(name)  # a name that is wrong is known before anything is sent
        for name in options.files:
            async with doing(console, "reading the file"):
                stream = await runtime.stream_file(
                    name,
                    opening_of(options),
                    pace=PaceName(options.pace),
                    channel=TerminalChannel(console),
                )
            print_notes(stream, console)
            codes.append(await print_until_over(runtime, stream, console, is_raw=options.raw))
            if stream.is_stopped:
                break
    return max(codes)


def print_notes(stream: Stream, console: Console) -> None:
    """Print what is known of a stream before its first message."""
    print_line(console, f"stream {stream.id}")
    if stream.is_stand_in:
        print_line(console, STAND_IN)
    for note in stream.plan.notes:
        print_line(console, note)


async def print_until_over(
    runtime: Runtime,
    stream: Stream,
    console: Console,
    *,
    is_raw: bool,
    stop: Callable[[], bool] | None = None,
) -> int:
    """Print a stream's messages until it is over; gives 0 only if it ended in order.

    Args:
        stop: What Ctrl+C does; see `interruptible`. Otherwise it ends the stream in order.
    """
    async with interruptible(stop or stream.request_end), anyio.create_task_group() as tasks:
        tasks.start_soon(print_held_segments, stream, console)
        async with showing(console, partial(_step, stream)):
            await _print_messages(runtime, stream, is_raw=is_raw)
        tasks.cancel_scope.cancel()
    reading = ReadProgress(then="summing up")
    async with showing(console, reading.step):
        drawing = await read_timeline(runtime.journal, stream.id, on_read=reading.note)
    lost = stream.status().lost
    found = f"{summarise(drawing | {'lost': lost.to_json() if lost else {}})}."
    found += describe_silence(drawing)
    return _print_summary(console, stream, found, stop=describe_stop(drawing))


async def _print_messages(runtime: Runtime, stream: Stream, *, is_raw: bool) -> None:
    """Print each message as the journal keeps it, until the stream is over."""
    write = partial(write_messages, is_raw=is_raw)
    following = follow(runtime.journal, stream.id, 0, limit=_PAGE, max_chars=_PAGE_CHARS)
    async with aclosing(following) as pages:
        async for page in pages:
            if page.entries:
                await to_thread.run_sync(write, [entry.body for entry in page.entries])


async def print_held_segments(stream: Stream, console: Console) -> None:
    """Print a line for each segment that is held for longer than usual, and until when."""
    seen: HeldSegment | None = None
    shown_seconds: float | None = None
    while not stream.is_over:
        await stream.until(lambda seen=seen: stream.held != seen)  # type: ignore[misc]
        seen = stream.held
        held = stream.status().held
        if seen and held and seen.start_seconds != shown_seconds:
            shown_seconds = seen.start_seconds
            print_line(
                console,
                f"The segment at {held.from_s:.1f} s waits for {held.for_s:.0f} s, until "
                f"{held.until}, as its media plays; --pace fast sends without waiting.",
            )


def write_messages(bodies: Sequence[str | bytes], *, is_raw: bool) -> None:
    """Print messages on stdout, each framed."""
    with hidden_from_output():
        write_output(b"".join(map(frame_message, bodies)), is_raw=is_raw)


def _step(stream: Stream) -> ProgressStep:
    """Where a stream is; of a file whose length is known, how much of it was sent."""
    status, total = stream.status(), stream.plan.source_seconds
    now = f"{status.state}, {stream.sent_seconds:.1f} s sent, {status.messages} messages"
    if status.what_now:
        return ProgressStep(f"{now}. {status.what_now}")
    return ProgressStep(now, stream.place_in_file(stream.sent_seconds) / total if total else None)


def describe_losses(status: StreamStatus) -> Iterator[str]:
    """Where other API sessions went on, and what may have no results, as sentences."""
    for gap in status.gaps[:_MAX_SHOWN]:
        at = "" if gap.media_offset_s is None else f" at {clock(gap.media_offset_s)}"
        yield f"Another API session went on{at}: {gap.reason.replace('_', ' ')}."
    lost = status.lost or LossStatus()
    for start, end in lost.media_s[:_MAX_SHOWN]:
        yield f"Results of {clock(start)} to {clock(end)} may be missing."
    if max(len(status.gaps), len(lost.media_s)) > _MAX_SHOWN:
        yield "There are more of them; `ih-mcp timeline` shows all."
    if lost.segments_unknown or lost.segments_not_sent:
        yield (
            f"Segments that were sent and have no answer: {lost.segments_unknown}; "
            f"that were not sent: {lost.segments_not_sent}."
        )
    if lost.let_go_s:
        yield f"{lost.let_go_s:g} s of live media were never sent, as the connection was slower."


def _print_summary(console: Console, stream: Stream, found: str, *, stop: str) -> int:
    """Print how the stream ended and, if it did not end in order, what to do."""
    status = stream.status()
    in_order = stream.failure is None and stream.end is not None and stream.end.in_order
    how = "ended in order" if in_order else "did not end in order"
    if status.reason == EndReason.STOPPED:
        how = stop
    if limit := stream.limit_reached:
        how = "ended at a limit of minutes"
    if is_lossy := status.lost is not None:
        how = f"{how}, and some media was lost"
    print_line(
        console,
        f"{how}: "
        f"{status.media_seconds or 0} s of media, {status.messages} messages, "
        f"stream {stream.id}",
    )
    print_line(console, found)
    print_line(console, describe_use(stream.use))
    lines = [STAND_IN] if stream.is_stand_in else []
    if failure := stream.failure or limit:
        lines.append(join_help(failure.what, failure.help))
    lines += [note for note in stream.notes() if note not in stream.plan.notes]
    for line in [*lines, *describe_losses(status)]:
        print_line(console, line)
    return 0 if in_order and not is_lossy and not limit else 1
