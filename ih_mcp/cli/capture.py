"""`ih-mcp capture`: a person in front of a camera, by a page in the browser or by ffmpeg."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

import anyio
from anyio import to_thread
from rich.console import Console

from ih_mcp.app.ffmpeg import the_ffmpeg
from ih_mcp.app.runtime import Opening, open_runtime
from ih_mcp.media.camera import list_devices
from ih_mcp.media.ffmpeg.devices import Input, devices_of, read_inputs
from ih_mcp.settings import Settings

from .browser import in_browser
from .console import say
from .stream import carry

_TOLD_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be recorded, and how."""

    opening: Opening
    opens_browser: bool = False
    by_ffmpeg: bool = False
    camera: str = ""
    microphone: str = ""
    max_seconds: float | None = None


def run(settings: Settings, wanted: Wanted) -> int:
    """Record and print each message; gives 0 only if the session ended in order."""
    return anyio.run(_run, settings, wanted)


def run_list(settings: Settings) -> int:
    """Print the cameras and microphones that ffmpeg sees."""
    return anyio.run(_list, settings)


async def _run(settings: Settings, wanted: Wanted) -> int:
    console = Console(stderr=True)
    async with open_runtime(settings, trusted=True) as runtime, AsyncExitStack() as browser:
        if wanted.by_ffmpeg:
            stream = await runtime.record_camera(
                wanted.opening, _inputs(settings, wanted), max_seconds=wanted.max_seconds
            )
        else:
            house = await runtime.house()
            stream = await runtime.start_stream(wanted.opening)
            link = house.link(stream.id)
            say(console, f"Record here (the link works once): {link}")
            if wanted.opens_browser:
                opening = in_browser(link, folder=settings.data_dir)
                if not await browser.enter_async_context(opening):
                    say(console, "No browser was found to open it with.")
        for note in (await runtime.notes()).values():
            say(console, str(note))
        code = await carry(runtime, stream, console)
        if not wanted.by_ffmpeg:
            with anyio.move_on_after(_TOLD_SECONDS):  # a page shows the end before it is left alone
                await (await runtime.house()).all_told()
        return code


def _inputs(settings: Settings, wanted: Wanted) -> list[Input]:
    """What the command line names, else the setting, else the platform's first devices."""
    if settings.capture_input and not (wanted.camera or wanted.microphone):
        return read_inputs(settings.capture_input)
    platform = devices_of()
    return platform.inputs(
        wanted.camera or platform.camera, wanted.microphone or platform.microphone
    )


async def _list(settings: Settings) -> int:
    ffmpeg = await to_thread.run_sync(the_ffmpeg, settings)
    found = await list_devices(devices_of(), ffmpeg)
    for device in found:
        print(f"{device.kind}\t{device.name}\t{device.title}")
    if not found:
        Console(stderr=True).print("ffmpeg sees no camera and no microphone here.")
    return 0 if found else 1
