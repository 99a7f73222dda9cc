"""A stream's timeline: a tool that draws it, a resource that holds it, an app that shows it."""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Literal, cast

from anyio import to_thread
from mcp.server.apps import APP_MIME_TYPE, Apps
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError
from mcp.server.mcpserver.resources import Resource
from mcp_types import CallToolResult, ImageContent

from ih_mcp.app.forgetting import PICTURES
from ih_mcp.app.runtime import Runtime
from ih_mcp.errors import IhMcpError, JournalError, join_help
from ih_mcp.private_files import keep_newest, make_private_folder, write_private
from ih_mcp.timeline.bounds import left_out
from ih_mcp.timeline.formats import CONTENTS, EXPORT_KINDS, FORMATS, ExportKind, FileKind, picture
from ih_mcp.timeline.html import APP_URI, app_page
from ih_mcp.timeline.model import Drawing, as_text_once, free_lists, read_timeline
from ih_mcp.timeline.summary import totals

from .answers import answer
from .arguments import Arguments
from .status import add_notes
from .tool import ToolCall

SHOWN_BY_APP = {"ui": {"resourceUri": APP_URI}}
_MAX_PICTURES = 100
DOWNLOAD_SECONDS = 900.0
"""For how long an address gives a file."""
_GIVE = "done: give them the path"
_GIVE_IMAGE = "done: give them the image"
_GIVE_URL = "done: give them get_url, from which a browser or the command gets the file; no key"
_ON_SERVER = "done: the file is on the server's disk; whoever runs the server can give it to them"
_SEVERAL = "this file holds one stream; all in one file, in a terminal: {}"
_PICTURES = re.compile(rf"(st|an)_[0-9a-f]{{32}}\.({'|'.join([*FORMATS, *EXPORT_KINDS])})")
"""The names that `render_timeline` gives to files."""


class RenderTimeline(Arguments):
    stream_id: str
    format: Literal[FileKind, ExportKind] = "png"


async def render_timeline(call: ToolCall[RenderTimeline]) -> CallToolResult:
    """Draw or export a stream's timeline into a file; png: as an image too."""
    arguments, runtime = call.arguments, call.runtime
    await runtime.registry.status(arguments.stream_id)  # of an unknown one, its error names others
    for kind in EXPORT_KINDS:
        if arguments.format == kind:
            return await _export(call, kind)
    drawing = await _read_drawing(runtime, arguments.stream_id)
    draw = partial(picture, drawing, cast("FileKind", arguments.format))  # the rest of the values
    path, data = await _write(runtime, arguments.stream_id, arguments.format, draw)
    written = {"path": str(path), "bytes": len(data), "wrote": CONTENTS[arguments.format]}
    source = {name: drawing[name] for name in ("endpoint", "stand_in") if drawing[name]}
    summary, lines = await to_thread.run_sync(_add_up_once, drawing)
    not_shown = {"not_shown": "; ".join(lines)} if lines else {}
    status = {
        "stream_id": arguments.stream_id,
        **source,
        **written,
        "summary": summary,
        **not_shown,
    }
    result = answer(status | await _way_to_get(call, path))
    if arguments.format == "png":
        image = base64.b64encode(data).decode()
        result.content.append(ImageContent(type="image", data=image, mime_type="image/png"))
    return result


async def _way_to_get(call: ToolCall[RenderTimeline], path: Path) -> dict[str, object]:
    """How whoever asked gets the file."""
    if not call.is_remote:
        return {"next": _GIVE}
    is_shown, url = call.arguments.format == "png", await call.download_url(path)
    if url is None:
        return {"next": _GIVE_IMAGE if is_shown else _ON_SERVER}
    return {
        "get_url": url,
        "valid_for_s": DOWNLOAD_SECONDS,
        "command": f"curl -o {path.name} '{url}'",
        "next": _GIVE_IMAGE if is_shown else _GIVE_URL,
    }


def _add_up_once(drawing: Drawing) -> tuple[Mapping[str, object], list[str]]:
    """What a drawing adds up to, and what its picture leaves out; frees the drawing. Blocks."""
    found = totals(drawing), left_out(drawing)
    free_lists(drawing)
    return found


async def _export(call: ToolCall[RenderTimeline], kind: ExportKind) -> CallToolResult:
    """Write a stream for another program; see `ih_mcp.timeline.exports`."""
    runtime, stream_id = call.runtime, call.arguments.stream_id
    from ih_mcp.app.terminal_lines import terminal_line  # noqa: PLC0415 - with the first export
    from ih_mcp.timeline.exports import EXPORTS, describe_formulas, read_stream  # noqa: PLC0415

    form = EXPORTS[kind]
    reading = await read_stream(runtime.journal, stream_id, keeps_entries=form.wants_entries)
    write = partial(to_thread.run_sync, form.write, [reading])
    path, data = await _write(runtime, stream_id, kind, write)
    formulas = await to_thread.run_sync(form.count_formulas, [reading])
    status = reading.status
    source = {"endpoint": status.endpoint, "stand_in": status.stand_in}
    written: dict[str, object] = {"path": str(path), "bytes": len(data), **form.count(reading)}
    await to_thread.run_sync(reading.free)
    known = {name: value for name, value in source.items() if value}
    written |= {"wrote": CONTENTS[kind], "summary": await runtime.summaries.find(stream_id)}
    if form.holds_many and not call.is_remote:
        line = partial(terminal_line, runtime.settings, "export", "--all", "--as", kind)
        written["several"] = _SEVERAL.format(await to_thread.run_sync(line))
    answered = {"stream_id": stream_id, **known, **written, **await _way_to_get(call, path)}
    return answer(add_notes(answered, describe_formulas(formulas)))


def path_of_picture(runtime: Runtime, name: str) -> Path:
    """Where a file of such a name is written."""
    return runtime.settings.data_dir / PICTURES / name


async def write_picture(runtime: Runtime, name: str) -> None:
    """Write the file that `render_timeline` gave this name anew, from the journal.

    Raises:
        IhMcpError: As `render_timeline`.
    """
    stream_id, _, kind = name.partition(".")
    await runtime.registry.status(stream_id)
    for export_kind in EXPORT_KINDS:
        if kind == export_kind:
            from ih_mcp.timeline.exports import EXPORTS, read_stream  # noqa: PLC0415 - see `_export`

            form = EXPORTS[export_kind]
            keeps_entries = form.wants_entries
            reading = await read_stream(runtime.journal, stream_id, keeps_entries=keeps_entries)
            write = partial(to_thread.run_sync, form.write, [reading])
            await _write(runtime, stream_id, kind, write)
            await to_thread.run_sync(reading.free)
            return
    drawing = await _read_drawing(runtime, stream_id)
    await _write(runtime, stream_id, kind, partial(picture, drawing, cast("FileKind", kind)))
    await to_thread.run_sync(free_lists, drawing)


async def _write(
    runtime: Runtime, stream_id: str, kind: str, make: Callable[[], Awaitable[bytes]]
) -> tuple[Path, bytes]:
    path = path_of_picture(runtime, f"{stream_id}.{kind}")
    async with runtime.drawing:
        data = await make()
        await to_thread.run_sync(_keep, path, data)
    return path, data


def _keep(path: Path, data: bytes) -> None:
    """Write a file; blocks. Only the newest ones are kept, private to the user."""
    try:
        make_private_folder(path.parent)
        write_private(path, data)
        keep_newest(path.parent, _PICTURES, _MAX_PICTURES)
    except OSError as exc:
        raise JournalError(
            f"the file cannot be written to {exc.filename or path.parent}: {exc.strerror}",
            help="Pictures go into the folder `pictures` of IH_MCP_DATA_DIR; set it to a folder "
            "of your own.",
        ) from exc


async def _read_drawing(runtime: Runtime, stream_id: str) -> Drawing:
    """The drawing from the journal, with the live state where the stream is of this process."""
    try:
        stream = runtime.registry.live(stream_id)
    except IhMcpError:
        return await read_timeline(runtime.journal, stream_id)
    drawing = await read_timeline(runtime.journal, stream_id)
    status = stream.status()
    known = {"state": status.state, "receipts": dict(status.segments)}
    return drawing | known


# --- beside the tools ----------------------------------------------------------------------------


def add_timeline(server: MCPServer[Runtime]) -> None:
    """Put the resource that an app reads on a server."""

    @server.resource(
        "ih://streams/{stream_id}/timeline", name="timeline", mime_type="application/json"
    )
    async def timeline(stream_id: str, ctx: Context[Runtime]) -> str:
        """What a stream's messages add up to: spans of signals, engagement, quality, losses."""
        try:
            drawing = await _read_drawing(ctx.request_context.lifespan_context, stream_id)
        except IhMcpError as exc:
            raise ResourceNotFoundError(join_help(exc.what, exc.help)) from exc
        return await to_thread.run_sync(as_text_once, drawing)


def timeline_app() -> Apps:
    """The extension for hosts that show apps; others get the text they always get."""
    apps = Apps()
    apps.add_resource(
        _AppPage(uri=APP_URI, name="timeline-app", title="Timeline", mime_type=APP_MIME_TYPE)
    )
    return apps


class _AppPage(Resource):
    """The app's page, made when it is first read, so that the server starts without it."""

    async def read(self) -> str:
        return await to_thread.run_sync(app_page)
