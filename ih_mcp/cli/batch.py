"""`ih-mcp batch FOLDER -o OUT`: every file of a folder, with a report."""

from __future__ import annotations

import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import anyio
from anyio import to_thread
from rich.console import Console

from ih_mcp.app.batch import BatchItem, FolderBatch, ItemState, find_files
from ih_mcp.app.batch_report import (
    NAMES,
    count,
    count_report_formulas,
    read_states,
    write_report,
)
from ih_mcp.app.minutes import MinutesPlan
from ih_mcp.app.runtime import Runtime, open_runtime
from ih_mcp.errors import CallerError, IhMcpError
from ih_mcp.private_files import make_private_folder, write_private
from ih_mcp.settings import Settings
from ih_mcp.stand_in import STAND_IN
from ih_mcp.streams.pacing import PaceName
from ih_mcp.streams.status import StreamStatus
from ih_mcp.timeline.exports import (
    EXPORTS,
    ExportKind,
    StreamReadings,
    describe_formulas,
    read_stream,
)
from ih_mcp.timeline.formats import FORMATS, FileKind
from ih_mcp.timeline.image import require_library
from ih_mcp.timeline.model import read_timeline

from .consent import TerminalChannel
from .console import print_line, shown
from .interrupts import interruptible
from .options import add_local, add_stream_options
from .progress import ProgressStep, doing, showing
from .stream import add_pace, add_stand_in_options, opening_of, require_local

_KINDS = (*EXPORTS, *FORMATS)
_UNSETTLED = {ItemState.WAITING, ItemState.SENDING}
_WELL = {ItemState.DONE, ItemState.SKIPPED}


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        "Send every media file of a folder, and of the folders in it, each into a stream of its "
        "own. A file whose bytes were sent with these options before, and ended in order, is "
        "skipped. report.html and report.csv in the output folder say what became of each."
    )
    add_local(parser)
    parser.add_argument("folder", metavar="FOLDER", type=Path)
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2, help="how many files at a time; default: 2")
    parser.add_argument(
        "--as",
        dest="kinds",
        type=_kinds,
        default=["csv", "html"],
        metavar="KINDS",
        help=f"what to write of each file, of {', '.join(_KINDS)}; default: csv,html",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on in an output folder that has a report"
    )
    add_stream_options(parser)
    add_pace(parser)
    add_stand_in_options(parser)


def _kinds(text: str) -> list[str]:
    kinds = [kind.strip() for kind in text.split(",") if kind.strip()]
    if not kinds or set(kinds) - set(_KINDS):
        raise ArgumentTypeError(f"{text!r} is no list of {', '.join(_KINDS)}")
    return kinds


def run(options: Namespace, settings: Settings) -> int:
    """Send the files; gives 0 if each is done or was skipped, else 1."""
    require_local(options, settings)
    _require_folders(options)
    if not 1 <= options.jobs <= settings.max_streams:
        raise CallerError(
            f"--jobs is {options.jobs}; it may be 1 to {settings.max_streams}",
            help="IH_MCP_MAX_STREAMS says how many streams a process may have.",
        )
    _require_writable(options.kinds)
    return anyio.run(_run, options, settings)


def _require_folders(options: Namespace) -> None:
    if not options.folder.is_dir():
        raise CallerError(
            f"{options.folder} is no folder",
            help="Name the folder that holds the files; for one file, use `ih-mcp stream`.",
        )
    try:
        if not options.output.is_dir():
            make_private_folder(options.output)
    except OSError as exc:
        raise CallerError(f"{options.output} cannot hold the report: {exc.strerror}") from exc
    if not options.resume and any((options.output / name).exists() for name in NAMES):
        _refuse_report(options.folder, options.output)


def _refuse_report(folder: Path, output: Path) -> NoReturn:
    """Say whose report is in the output folder: that of this batch, if its files are here."""
    states = read_states(output)
    if not states or not all((folder / name).is_file() for name in states):
        raise CallerError(
            f"{output} has the report of another batch",
            help="Give --resume to go on with it, or name another folder.",
        )
    done = sum(state in _WELL for state in states.values())
    files = "1 file" if len(states) == 1 else f"{len(states):,} files"
    raise CallerError(
        f"{output} already has a report ({done} of {files} done)",
        help="Give --resume to go on, or name another folder.",
    )


def _require_writable(kinds: Sequence[str]) -> None:
    """Fail before anything is sent if a package for an output is missing."""
    empty = StreamReadings(stream_id="", status=StreamStatus(), rows=[], seconds=1.0)
    for kind in kinds:
        if kind in EXPORTS:
            EXPORTS[_as_export(kind)].write([empty])
        elif kind != "html":
            require_library()


async def _run(options: Namespace, settings: Settings) -> int:
    console = Console(stderr=True)
    async with doing(console, "looking for files"):
        files = await to_thread.run_sync(partial(find_files, options.folder, beside=options.output))
    async with open_runtime(settings, trusted=True) as runtime:
        outputs = _Outputs(runtime, options)
        batch = FolderBatch(
            runtime,
            opening_of(options),
            pace=PaceName(options.pace),
            channel=_QuietChannel(console),
            write=outputs.write,
            report=_Report(options.output, _about(settings)).write,
        )
        async with showing(console, partial(_looking_step, batch, len(files))):
            await batch.prepare(files)
        await _announce(console, runtime, batch)
        async with interruptible(batch.stop), showing(console, partial(_step, batch)):
            await batch.run(options.jobs)
    print_line(console, f"{count(batch.items)}.")
    for note in describe_labels(options.label, batch.items):
        print_line(console, note)
    formulas = outputs.formulas + count_report_formulas(batch.items)
    for note in describe_formulas(formulas):
        print_line(console, note)
    print(shown(str(options.output / NAMES[1])))
    return 0 if all(_is_well(item) for item in batch.items) else 1


def _is_well(item: BatchItem) -> bool:
    return item.state in _WELL and not item.error


class _QuietChannel(TerminalChannel):
    """Asks for permissions; the minutes of all files were said before the first."""

    async def announce(self, sentence: str) -> None:  # noqa: ARG002 - of the protocol
        return


async def _announce(console: Console, runtime: Runtime, batch: FolderBatch) -> None:
    """Say how many minutes go, before the first file."""
    waiting = [item for item in batch.items if item.state is ItemState.WAITING]
    others = f", {batch.others} no media" if batch.others else ""
    print_line(console, f"Of the folder: {count(batch.items)}{others}.")
    if not waiting:
        return
    files = f"{len(waiting)} {'file' if len(waiting) == 1 else 'files'}"
    plan = MinutesPlan(name=files, seconds=sum(item.seconds for item in waiting))
    print_line(console, await runtime.minutes.describe(plan))


def _looking_step(batch: FolderBatch, files: int) -> ProgressStep:
    seen = len(batch.items) + batch.others
    return ProgressStep(f"looking at {seen} of {files} files", seen / files if files else None)


def _step(batch: FolderBatch) -> ProgressStep:
    todo = [item for item in batch.items if item.state is not ItemState.SKIPPED]
    total = sum(item.seconds for item in todo)
    share = sum(item.sent_seconds for item in todo) / total if total else None
    return ProgressStep(count(batch.items), share)


class _Outputs:
    """Writes what was asked for of each stream."""

    def __init__(self, runtime: Runtime, options: Namespace) -> None:
        self._runtime = runtime
        self._options = options
        self.formulas = 0
        """How many of the texts that were written a spreadsheet would run."""

    async def write(self, item: BatchItem) -> tuple[str, ...]:
        names = []
        for kind in self._options.kinds:
            name = f"{item.name}.{kind}"
            path = self._options.output / name
            data = await self._make(item, kind, path.parent)
            await to_thread.run_sync(_keep, path, data)
            names.append(name)
        if item.state is ItemState.SKIPPED:  # an earlier run wrote others of the same stream
            names += await to_thread.run_sync(self._written_before, item)
        return tuple(names)

    def _written_before(self, item: BatchItem) -> list[str]:
        others = [f"{item.name}.{kind}" for kind in _KINDS if kind not in self._options.kinds]
        return [name for name in others if (self._options.output / name).is_file()]

    async def _make(self, item: BatchItem, kind: str, folder: Path) -> bytes:
        journal = self._runtime.journal
        if kind in FORMATS:
            drawing = await read_timeline(journal, item.stream_id)
            return await FORMATS[_as_picture(kind)](drawing)
        form = EXPORTS[_as_export(kind)]
        reading = await read_stream(journal, item.stream_id, keeps_entries=form.wants_entries)
        media_path = await to_thread.run_sync(_path_from, folder, item.path)
        reading = replace(reading, media_path=media_path)
        self.formulas += await to_thread.run_sync(form.count_formulas, [reading])
        return await to_thread.run_sync(form.write, [reading])


def _path_from(folder: Path, path: Path) -> str:
    """Where a file is, seen from a folder; empty where no path leads there."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive of Windows
        return ""


def describe_labels(label: str, items: Sequence[BatchItem]) -> list[str]:
    """Which label the skipped streams keep where another was asked for, as sentences."""
    kept = [item.label for item in items if item.state is ItemState.SKIPPED and item.stream_id]
    others = Counter(each for each in kept if label and each != label)
    notes = [
        f"{number:,} skipped; {'its' if number == 1 else 'their'} label stays {each!r}."
        for each, number in others.items()
    ]
    return [*notes, _HOW_LABELLED] if notes else []


_HOW_LABELLED = (
    "A label is given when a file is sent. `ih-mcp forget` with the stream's id removes what was "
    "kept; then the file is sent once more, under the new one, and its minutes count again."
)


def _keep(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, data)
    except OSError as exc:
        raise CallerError(f"{path} cannot be written: {exc.strerror}") from exc


def _as_export(kind: str) -> ExportKind:
    return next(name for name in EXPORTS if name == kind)


def _as_picture(kind: str) -> FileKind:
    return next(name for name in FORMATS if name == kind)


class _Report:
    """Writes the report anew whenever a file is done with, and prints what became of that file."""

    def __init__(self, output: Path, about: str) -> None:
        self._output = output
        self._about = about
        self._printed: set[str] = set()

    def write(self, items: Sequence[BatchItem]) -> None:
        try:
            write_report(self._output, items, self._about)
        except OSError as exc:
            raise IhMcpError(
                f"the report cannot be written to {self._output}: {exc.strerror}",
                help="What was sent is kept in the journal: give --resume once there is room.",
                code="report_failed",
            ) from exc
        for item in items:
            if item.name not in self._printed and item.state not in _UNSETTLED:
                self._printed.add(item.name)
                why = f": {item.error}" if item.error else ""
                print(shown(f"{item.state.value}  {item.name}{why}"), flush=True)


def _about(settings: Settings) -> str:
    return STAND_IN if settings.is_local else f"Endpoint {settings.endpoint}."
