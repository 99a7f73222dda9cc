"""`ih-mcp export`: writes streams into a file that another program reads."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import anyio
from anyio import to_thread
from rich.console import Console

from ih_mcp.app.clean_up import retention_of
from ih_mcp.errors import CallerError
from ih_mcp.journal import Journal, open_journal
from ih_mcp.private_files import make_private_folder, write_private
from ih_mcp.settings import Settings
from ih_mcp.streams.ids import IdKind, shorten_ids
from ih_mcp.timeline.exports import (
    EXPORT_KINDS,
    EXPORTS,
    STREAM_TABLES,
    ExportFormat,
    ExportKind,
    StreamReadings,
    describe_formulas,
    read_stream,
)
from ih_mcp.timeline.output_names import output_stem

from .console import print_line, shown, write_output
from .labels import label_of, require_label
from .options import add_local
from .progress import ProgressStep, ReadProgress, hidden_from_output, showing
from .stream_ids import find_stream_id

_ENDINGS = {"textgrid": "TextGrid"}
_STDOUT = "-"
_TABLE = "streams-table"
_SEPARATORS = ("/", os.sep)


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        "Write kept streams for another program: a table with one row for each phase of a signal, "
        "each state, score and gap (csv, parquet), the messages as they came (jsonl), subtitles "
        "(vtt, srt), ELAN (eaf), Praat (textgrid) or BORIS. parquet, eaf and textgrid need "
        "ih-mcp[export]."
    )
    add_local(parser)
    parser.add_argument(
        "streams", metavar="STREAM", nargs="*", help="ids, or their beginnings; default: the newest"
    )
    parser.add_argument("--all", action="store_true", help="every stream that is kept")
    parser.add_argument("--label", help="every stream that was opened with this label")
    parser.add_argument("--as", dest="kind", choices=EXPORT_KINDS, required=True, help="the format")
    parser.add_argument(
        "--streams-table",
        action="store_true",
        help="one row for each stream instead: its length, what of it has readings, and how many "
        "there are (csv, parquet)",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="default: LABEL-SOURCE-STREAM.FORMAT, or streams.FORMAT for several; - is standard "
        "output. "
        "vtt, srt, eaf and textgrid hold one stream: for several, name a folder",
    )


def run(options: Namespace, settings: Settings) -> int:
    """Write the chosen streams, and print the path of each file."""
    console, form = Console(stderr=True), _form(options)
    readings = anyio.run(_run, options, form, settings, console)
    _print_notes(console, form, readings)
    return 0


def _form(options: Namespace) -> ExportFormat:
    """How the file is written.

    Raises:
        CallerError: The format has no table of streams.
    """
    kind: ExportKind = options.kind
    if not options.streams_table:
        return EXPORTS[kind]
    if kind not in STREAM_TABLES:
        raise CallerError(
            f"{kind} has no table of streams",
            help=f"Choose {' or '.join(STREAM_TABLES)} for --streams-table, or leave it out.",
        )
    return STREAM_TABLES[kind]


async def _run(
    options: Namespace, form: ExportFormat, settings: Settings, console: Console
) -> list[StreamReadings]:
    """Read the chosen streams, and write them; gives what was written."""
    readings = await _read_streams(options, settings, console)
    name = _TABLE if options.streams_table else None
    outputs = await to_thread.run_sync(_outputs, options.output, options.kind, readings, name)
    for number, (path, chosen) in enumerate(outputs):
        step = ProgressStep("writing", number / len(outputs) if number else None)
        async with showing(console, lambda step=step: step):  # type: ignore[misc]
            await to_thread.run_sync(_write, path, form.write, chosen)
    return readings


async def _read_streams(
    options: Namespace, settings: Settings, console: Console
) -> list[StreamReadings]:
    wants_entries = EXPORTS[options.kind].wants_entries
    readings: list[StreamReadings] = []
    async with open_journal(settings.journal_place, retention_of(settings)) as journal:
        names = await _choose(journal, options)
        read = ReadProgress(streams=len(names))
        async with showing(console, read.step):
            for name in names:
                readings.append(
                    await read_stream(journal, name, keeps_entries=wants_entries, on_read=read.note)
                )
                read.note_whole()
    return readings


async def _choose(journal: Journal, options: Namespace) -> list[str]:
    """The ids of the streams to write.

    Raises:
        CallerError: They are named in two ways, none has that label, or an id is not known.
    """
    if sum(map(bool, (options.streams, options.all, options.label))) > 1:
        raise CallerError(
            "streams are named in more than one way",
            help="Give their ids, or --all, or --label.",
        )
    if options.streams:
        found = [await find_stream_id(journal, given) for given in options.streams]
        return list(dict.fromkeys(found))
    if not (options.all or options.label):
        return [await find_stream_id(journal, None)]
    kept = [row for row in await journal.list_streams() if IdKind.STREAM.has(row.id)]
    if options.label:
        require_label(options.label, kept)
        kept = [row for row in kept if label_of(row) == options.label]
    if not kept:
        raise CallerError(
            "the journal keeps no stream", help="IH_MCP_DATA_DIR says where it is looked for."
        )
    return [row.id for row in kept]


def _outputs(
    output: str | None, kind: ExportKind, readings: list[StreamReadings], table: str | None
) -> list[tuple[Path | None, list[StreamReadings]]]:
    """Which streams go into which file; None is standard output.

    Args:
        table: What a table of the streams is called, if that is what is written.

    Raises:
        CallerError: The format holds one stream, and several would go into one file.
    """
    ending = _ENDINGS.get(kind, kind)
    short = shorten_ids(reading.stream_id for reading in readings)
    one_each = [(f"{_stem(reading, short)}.{ending}", [reading]) for reading in readings]
    together = [(f"{table or 'streams'}.{ending}", readings)]
    if len(readings) == 1 and not table:
        together = one_each
    named = together if EXPORTS[kind].holds_many else one_each
    if output is None or Path(output).is_dir():
        return [(Path(output or "") / name, chosen) for name, chosen in named]
    if len(named) == 1 and not output.endswith(_SEPARATORS):
        return [(None if output == _STDOUT else Path(output), named[0][1])]
    if output == _STDOUT or Path(output).suffix:
        raise CallerError(
            f"a file of {kind} holds one stream, and these are {len(readings)}",
            help="Name a folder by -o, or choose csv, parquet, jsonl or boris.",
        )
    try:
        make_private_folder(Path(output))
    except OSError as exc:
        raise CallerError(f"{output} cannot hold the files: {exc.strerror}") from exc
    return [(Path(output) / name, chosen) for name, chosen in named]


def _stem(reading: StreamReadings, short: Mapping[str, str]) -> str:
    status, short_id = reading.status, short[reading.stream_id]
    return output_stem(label=status.label, source=status.source, short_id=short_id)


def _write(
    path: Path | None,
    make: Callable[[Sequence[StreamReadings]], bytes],
    readings: Sequence[StreamReadings],
) -> None:
    data = make(readings)
    if path is None:
        with hidden_from_output():
            write_output(data, is_raw=False)
        return
    try:
        write_private(path, data)
    except OSError as exc:
        raise CallerError(f"{path} cannot be written: {exc.strerror}") from exc
    print(shown(str(path)))


def _print_notes(console: Console, form: ExportFormat, readings: list[StreamReadings]) -> None:
    for said in dict.fromkeys(reading.status.stand_in for reading in readings):
        if said:
            print_line(console, said)
    for note in describe_formulas(form.count_formulas(readings)):
        print_line(console, note)
