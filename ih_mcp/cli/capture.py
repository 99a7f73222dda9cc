"""`ih-mcp capture`: a person in front of a camera, by a page in the browser or by ffmpeg."""

from __future__ import annotations

import math
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from contextlib import AsyncExitStack, suppress
from functools import partial

import anyio
from anyio import to_thread
from rich.console import Console

from ih_mcp.app.ffmpeg import find_configured_ffmpeg
from ih_mcp.app.runtime import Runtime, open_runtime
from ih_mcp.capture.page_server import PageServer
from ih_mcp.capture.serve import open_like, page_server_of
from ih_mcp.garbage_collector import leave_out_all
from ih_mcp.media.camera import list_devices, require_openable
from ih_mcp.media.ffmpeg.devices import Input, devices_of, read_inputs
from ih_mcp.settings import Settings
from ih_mcp.streams.stream import Stream

from .browser import in_browser
from .consent import TerminalChannel
from .console import print_line, shown
from .interrupts import interruptible
from .options import add_local, add_raw, add_stream_options
from .stream import opening_of, print_notes, print_until_over

_PUBLISH_SECONDS = 2.0


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        "Record live and print every message of the API. A link on standard error opens a "
        "local page with the camera and the live timeline."
    )
    add_local(parser)
    add_stream_options(parser)
    parser.add_argument(
        "--device",
        nargs="?",
        const="",
        metavar="CAMERA",
        help="record by ffmpeg instead of a page: a camera of --list-devices, else the first; "
        "IH_MCP_CAPTURE_INPUT names any other input",
    )
    parser.add_argument("--microphone", metavar="NAME", help="with --device; default: the first")
    parser.add_argument(
        "--seconds",
        type=_read_seconds,
        help="with --device: how long to record; default: until Ctrl+C",
    )
    parser.add_argument("--list-devices", action="store_true", help="print cameras and microphones")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    add_raw(parser)


def _read_seconds(text: str) -> float:
    """How long to record; refused here, since the device is opened when a session has begun."""
    with suppress(ValueError):
        if 0 < (seconds := float(text)) < math.inf:
            return seconds
    raise ArgumentTypeError(f"{text!r} is no length; give a number of seconds above 0, such as 60")


def run(options: Namespace, settings: Settings) -> int:
    """Record and print each message; gives 0 only if the session ended in order."""
    if options.list_devices:
        return anyio.run(_list, settings)
    return anyio.run(_record_page if options.device is None else _record_device, options, settings)


async def _record_page(options: Namespace, settings: Settings) -> int:
    """Record by a page in the browser."""
    console = Console(stderr=True)
    async with open_runtime(settings, trusted=True) as runtime, AsyncExitStack() as browser:
        server = await page_server_of(runtime)
        channel = TerminalChannel(console)
        stream = await runtime.start_stream(opening_of(options), channel=channel)
        link = server.link(stream.id)
        leave_out_all()
        print_line(console, f"Record here (the link works once): {link}")
        if options.open:
            opening = in_browser(link, folder=settings.data_dir)
            if not await browser.enter_async_context(opening):
                print_line(console, "No browser was found to open it with.")
        # A script goes on when the recording is over; a person may want to record again.
        is_used_by_person = console.is_terminal and sys.stdin.isatty()
        server.open_another = (
            partial(open_like, runtime, channel=channel) if is_used_by_person else None
        )
        return await print_recordings(runtime, server, stream, console, is_raw=options.raw)


async def print_recordings(
    runtime: Runtime, server: PageServer, stream: Stream, console: Console, *, is_raw: bool
) -> int:
    """Print a stream, and each one that the person starts from the page after it."""
    codes = []
    recording: Stream | None = stream
    while recording is not None:
        print_notes(recording, console)
        stop = partial(_stop, server, recording)
        codes.append(await print_until_over(runtime, recording, console, is_raw=is_raw, stop=stop))
        with anyio.move_on_after(_PUBLISH_SECONDS):  # a page shows the end before it is left alone
            await server.wait_until_published()
        recording = await _wait_for_another(server, console)
    return max(codes)


def _stop(server: PageServer, stream: Stream) -> bool:
    """Ctrl+C ends the recording, and no other one follows it."""
    server.open_another = None
    return stream.request_end()


async def _wait_for_another(server: PageServer, console: Console) -> Stream | None:
    """The recording that the person starts next; None where the pages close, or at Ctrl+C."""
    if not (server.may_start_another and server.recording_pages):
        return None
    print_line(console, "The page can start another recording. Close it, or press Ctrl+C, to end.")
    found = None
    with anyio.CancelScope() as waiting:

        def stop() -> bool:
            waiting.cancel()
            return True

        async with interruptible(stop):
            found = await server.wait_for_another()
    return found


async def _record_device(options: Namespace, settings: Settings) -> int:
    """Record a camera by ffmpeg."""
    console = Console(stderr=True)
    inputs, are_devices = _inputs(settings, options)
    async with open_runtime(settings, trusted=True) as runtime:
        if are_devices:  # another input may serve one reader only, or wait for its sender
            await require_openable(inputs, await runtime.ffmpeg())
        stream = await runtime.record_camera(
            opening_of(options),
            inputs,
            max_seconds=options.seconds,
            channel=TerminalChannel(console),
        )
        print_notes(stream, console)
        return await print_until_over(runtime, stream, console, is_raw=options.raw)


def _inputs(settings: Settings, options: Namespace) -> tuple[list[Input], bool]:
    """What the command line names, else the setting, else the platform's first devices.

    Also whether they are devices of the platform.
    """
    if settings.capture_input and not (options.device or options.microphone):
        return read_inputs(settings.capture_input), False
    platform = devices_of()
    camera, microphone = options.device or platform.camera, options.microphone
    return platform.inputs(camera, microphone or platform.microphone), True


async def _list(settings: Settings) -> int:
    ffmpeg = await to_thread.run_sync(find_configured_ffmpeg, settings)
    found = await list_devices(devices_of(), ffmpeg)
    for device in found:
        print(shown(f"{device.kind}\t{device.name}\t{device.title}"))
    if not found:
        Console(stderr=True).print("ffmpeg sees no camera and no microphone here.")
    return 0 if found else 1
