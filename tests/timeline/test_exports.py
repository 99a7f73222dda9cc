"""Exports are read back by the programs, or the libraries, that they are for."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ih_mcp import cli
from ih_mcp.errors import CallerError, ConfigurationError
from ih_mcp.journal import Entry, open_journal
from ih_mcp.media.ffmpeg.facts import NO_SOUND
from ih_mcp.streams.status import LossStatus, StreamStatus
from ih_mcp.timeline.about import read_time
from ih_mcp.timeline.exports import (
    EXPORTS,
    STREAM_TABLES,
    ExportKind,
    StreamReadings,
    describe_formulas,
    extra,
    read_stream,
)
from ih_mcp.timeline.exports.readings import COLUMNS, make_export_rows
from ih_mcp.timeline.exports.stream_table import STREAM_COUNTS, STREAM_SECONDS, STREAM_TABLE
from ih_mcp.timeline.exports.tiers import MAX_TIERS, make_tiers
from ih_mcp.timeline.model import Timeline
from ih_mcp.timeline.output_names import output_stem
from ih_mcp.wire.dialects import V1
from tests.wire.test_spans import MESSAGES, fold

from .known import CHANGING, CHANGING_STATUS, entries, message

ODD = '=1+1 "q", <b> & {x} \\N --> y\n\n00:00:01,000 --> 00:00:02,000\r\nthird | \x07 \u202e é'
HESITATION = [
    (0.0, 6.0, "low", 1, 2, False), (6.0, 9.0, "medium", 2, 3, False),
    (9.0, 20.0, "low", 3, 4, False), (15.0, 29.0, "high", 5, 6, False),
    (27.0, 60.0, "low", 7, None, True),
]  # fmt: skip


def readings(
    messages: Sequence[str] | Sequence[str | bytes] = CHANGING,
    status: StreamStatus = CHANGING_STATUS,
) -> StreamReadings:
    timeline = Timeline(V1)
    kept = [Entry(n, 0, 1_700_000_000_000 + n, body) for n, body in enumerate(messages, 1)]
    timeline.fold_all(kept, status)
    timeline.close(status)
    rows = list(make_export_rows(timeline.lifecycle, status))
    return StreamReadings(stream_id="st_0123", status=status, rows=rows, seconds=60.0, entries=kept)


def odd_readings() -> StreamReadings:
    texts = [
        message("signal.detected", signal_type=name, start=1.0, probability=ODD, rationale=ODD)
        for name in (ODD, "engagement", "gap: lost", "whose readings", "hesitation: rationale")
    ]
    texts += [message("signal.detected", signal_type="hesitation", start=1.0, rationale="why")]
    texts += [message("engagement.updated", state=ODD, start=1.0)]
    status = replace(CHANGING_STATUS, source="\ud83d\x07 <&>.mp4", label="=\ud83d")
    return replace(readings(tuple(texts), status), stream_id="st_odd")


def written(kind: ExportKind, *given: StreamReadings) -> bytes:
    return EXPORTS[kind].write(given)


def table(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def test_there_is_a_row_for_each_phase_state_score_and_gap() -> None:
    rows = readings().rows
    assert [
        (r.start_seconds, r.end_seconds, r.probability, r.first_cursor, r.last_cursor,
            r.ends_implicitly)
        for r in rows if r.name == "hesitation"
    ] == HESITATION  # fmt: skip
    assert [(r.state, r.start_seconds, r.end_seconds) for r in rows if r.kind == "engagement"] == [
        ("engaged", 0.0, 14.0), ("neutral", 14.0, 30.0), ("disengaged", 30.0, 60.0),
    ]  # fmt: skip
    assert sum(r.kind == "quality" for r in rows) == 3 * 6
    assert [(r.name, r.start_seconds, r.end_seconds) for r in rows if r.kind == "gap"] == [
        ("not_analysed", 36.0, 41.0), ("degraded", 50.0, 55.0), ("lost", 43.0, 46.5),
    ]  # fmt: skip


@given(st.lists(MESSAGES, max_size=30))
def test_rows_add_up_to_the_spans_of_the_fold(messages: list[Any]) -> None:
    life = fold(*messages)
    life.close(40)
    spans = defaultdict(list)
    for row in make_export_rows(life, StreamStatus()):
        spans[row.span].append(row)
    found = [(s[0].name, s[0].start_seconds, s[-1].end_seconds) for s in spans.values()]
    assert found == [(s.signal_type, s.start_seconds, s.end_seconds) for s in life.spans]


@pytest.mark.parametrize("differs_by", ["name", "time"])
def test_more_tiers_than_a_program_can_show_are_refused_at_once(differs_by: str) -> None:
    """A tier for each of 100,000 names, or overlaps, took hours, and no other picture was drawn."""
    row = readings().rows[0]
    assert row.start_seconds is not None
    many = [
        replace(row, name=f"n{number}" if differs_by == "name" else "n") for number in range(50_000)
    ]
    reading = replace(readings(), rows=many)
    with pytest.raises(CallerError) as refused:
        make_tiers(reading)
    assert refused.value.what == (
        "this stream would have 50,000 tiers, one for each name and for each overlap; a file has "
        "1,000 at most"
    )
    assert "csv or jsonl" in refused.value.help
    assert len(make_tiers(replace(reading, rows=many[:MAX_TIERS]))) == 1 + MAX_TIERS


def test_a_csv_has_every_text_exactly_and_says_whose_readings_these_are() -> None:
    rows = table(written("csv", readings(), odd_readings()))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == len(readings().rows) + len(odd_readings().rows)
    odd = rows[len(readings().rows)]
    assert (odd["probability"], odd["rationale"]) == (ODD, ODD)
    assert odd["source"] == "\\ud83d\x07 <&>.mp4"  # half of a character is no UTF-8
    assert odd["name"] == ODD.lower()
    assert {row["stand_in"] for row in rows} == {CHANGING_STATUS.stand_in}
    assert {row["analyst"] for row in rows} == {"placeholder"}
    assert rows[4]["last_cursor"] == ""
    assert (rows[4]["ends_implicitly"], rows[0]["ends_implicitly"]) == ("true", "false")


def test_each_row_has_its_duration_and_what_is_said_of_its_stream() -> None:
    status = replace(CHANGING_STATUS, notes=(NO_SOUND, "Another one."))
    rows = table(written("csv", readings(status=status)))
    assert {row["notes"] for row in rows} == {f"{NO_SOUND} Another one."}
    assert [row["duration_seconds"] for row in rows[:3]] == ["6.0", "3.0", "11.0"]


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "9" * 400])
def test_a_score_that_is_no_number_is_a_row_without_one(number: str) -> None:
    period = {"start": 0, "end": 8, "values": {"clarity": 0.5}}
    text = message("conversation_quality.updated", overall={}, timeline=[period])
    found = readings([text.replace("0.5", number)])
    assert [(row.name, row.score, row.value) for row in found.rows if row.kind == "quality"] == [
        ("clarity", None, "no score")
    ]
    assert table(written("csv", found))[0]["score"] == ""


@pytest.mark.parametrize("kind", ["csv", "jsonl", "vtt", "srt", "eaf", "textgrid", "boris"])
def test_what_readers_should_know_of_a_file_is_in_every_export(kind: ExportKind) -> None:
    found = readings(status=replace(CHANGING_STATUS, notes=(NO_SOUND,)))
    assert NO_SOUND in EXPORTS[kind].write([found]).decode()


def test_a_table_of_streams_has_a_row_for_each_also_without_readings() -> None:
    lost = LossStatus(media_s=((43.0, 46.5), (45.0, 47.0)), let_go_s=1.5)
    usage = {"delivered_s": 60.0, "analysed_s": 51.5, "dropped_s": 5.0}
    whole = replace(CHANGING_STATUS, duration_s=60.4, messages=20, usage=usage, lost=lost)
    rows = table(STREAM_TABLES["csv"].write([readings(status=whole), readings([], StreamStatus())]))
    assert [row["stream_id"] for row in rows] == ["st_0123", "st_0123"]
    first, empty = ({name: row[name] for name in STREAM_SECONDS + STREAM_COUNTS} for row in rows)
    assert first == {
        "file_seconds": "60.4", "media_seconds": "60.0", "analysed_seconds": "51.5",
        "not_analysed_seconds": "5.0", "degraded_seconds": "5.0", "lost_seconds": "4.0",
        "not_sent_seconds": "1.5", "messages": "20", "signals": "2", "spans": "4", "phases": "6",
    }  # fmt: skip
    assert empty == dict.fromkeys(STREAM_SECONDS, "0.0") | dict.fromkeys(STREAM_COUNTS, "0") | {
        "file_seconds": "", "analysed_seconds": ""
    }  # fmt: skip
    parquet = pytest.importorskip("pyarrow.parquet")
    found = parquet.read_table(io.BytesIO(STREAM_TABLES["parquet"].write([readings(status=whole)])))
    assert tuple(found.column_names) == STREAM_TABLE
    assert found.to_pylist()[0]["lost_seconds"] == 4.0


def test_texts_that_a_spreadsheet_would_run_are_counted() -> None:
    counted = EXPORTS["csv"].count_formulas
    assert counted([readings()]) == 0
    labels = len(odd_readings().rows)
    assert counted([odd_readings()]) == 5 * 2 + 1 + 1 + labels
    assert describe_formulas(0) == []
    assert describe_formulas(1)[0].startswith("1 text begins with =, +, -, @ or a tab, and a ")
    for kind in ("parquet", "jsonl", "boris", "eaf", "textgrid", "vtt", "srt"):
        assert EXPORTS[kind].count_formulas([odd_readings()]) == 0


def test_json_lines_have_each_message_exactly_beside_its_offsets() -> None:
    messages: list[str | bytes] = [*CHANGING, "not json \u2028 é", b"\x00\xff"]
    first, *lines = map(json.loads, written("jsonl", readings(messages)).splitlines())
    assert first["status"]["stand_in"] == CHANGING_STATUS.stand_in
    assert [line.get("raw") for line in lines] == [*messages[:-1], None]
    assert lines[-1]["base64"] == "AP8="
    assert (lines[2]["cursor"], lines[2]["leg"], lines[2]["media_offset_s"]) == (3, 0, 0.0)
    assert lines[2]["received_at"] == 1_700_000_000.003


@pytest.mark.parametrize("kind", ["vtt", "srt"])
def test_subtitles_have_a_cue_for_each_row_and_no_text_breaks_out_of_its_own(
    kind: ExportKind,
) -> None:
    pysubs2 = pytest.importorskip("pysubs2")
    found = pysubs2.SSAFile.from_string(written(kind, readings()).decode(), format_=kind)
    said = [(cue.start, cue.end, cue.plaintext) for cue in found if "hesitation" in cue.text]
    assert said == [
        (round(start * 1000), round(end * 1000), f"hesitation · probability {word} - at {start:g}")
        for start, end, word, *_ in HESITATION
    ]
    assert any(cue.plaintext == "not analysed" and cue.start == 36_000 for cue in found)
    odd = written(kind, odd_readings()).decode()
    cues = len(re.findall(r"^\d\d:\d\d:\d\d[.,]\d{3} --> ", odd, re.MULTILINE))
    assert cues == len(odd_readings().rows) + (kind == "srt")  # that has one to say whose they are
    assert CHANGING_STATUS.stand_in in odd.replace("\n", " ")
    assert "\x07" not in odd


def annotations_of(data: bytes, tmp_path: Path) -> dict[str, list[tuple[int, int, str]]]:
    """The tiers of an EAF as pympi reads them."""
    elan = pytest.importorskip("pympi.Elan")
    path = tmp_path / "x.eaf"
    path.write_bytes(data)
    eaf = elan.Eaf(str(path))
    return {name: eaf.get_annotation_data_for_tier(name) for name in eaf.get_tier_names()}


def test_an_eaf_has_a_tier_for_each_name_and_a_second_one_for_what_overlaps(
    tmp_path: Path,
) -> None:
    pytest.importorskip("pympi")
    tiers = annotations_of(written("eaf", readings()), tmp_path)
    low, medium, low_again, high, last = [
        (round(start * 1000), round(end * 1000), word) for start, end, word, *_ in HESITATION
    ]
    assert tiers["hesitation"] == [low, medium, low_again, last]
    assert tiers["hesitation (2)"] == [high]
    assert tiers["hesitation: rationale"][1] == (6000, 9000, "at 6")
    assert tiers["gap: not analysed"] == [(36_000, 41_000, "not analysed")]
    assert tiers["agreement"] == [(3000, 11_000, "no probability named")]
    assert tiers["quality: clarity"][0] == (0, 8000, "0")
    assert CHANGING_STATUS.stand_in in tiers["whose readings"][0][2]


@pytest.mark.parametrize(
    ("known", "relative"),
    [("", "./talk.mp4"), ("../videos/P01.mp4", "../videos/P01.mp4"), ("a/b.mp4", "./a/b.mp4")],
)
def test_an_eaf_points_at_its_media_where_their_path_is_known(known: str, relative: str) -> None:
    pytest.importorskip("pympi")
    eaf = written("eaf", replace(readings(), media_path=known)).decode()
    assert f'RELATIVE_MEDIA_URL="{relative}"' in eaf
    assert 'MEDIA_URL="talk.mp4"' in eaf


@pytest.mark.parametrize("make", [readings, odd_readings])
def test_an_eaf_is_one_by_the_schema_of_elan(make: Any) -> None:
    xmlschema = pytest.importorskip("xmlschema")
    pytest.importorskip("pympi")
    schema = xmlschema.XMLSchema(str(Path(__file__).with_name("EAFv3.0.xsd")))
    schema.validate(written("eaf", make()).decode())


@pytest.mark.parametrize("make", [readings, odd_readings])
def test_praat_reads_the_same_tiers(make: Any, tmp_path: Path) -> None:
    textgrid = pytest.importorskip("praatio.textgrid")
    path = tmp_path / "x.TextGrid"
    path.write_bytes(written("textgrid", make()))
    found = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
    for tier in make_tiers(make()):
        read = [(e.start, e.end, e.label) for e in found.getTier(tier.name.strip()).entries]
        assert read == [
            (a.start_ms / 1000, a.end_ms / 1000, a.text.strip()) for a in tier.annotations
        ]


def test_a_boris_project_has_state_events_that_pair_up() -> None:
    project = json.loads(written("boris", readings(), odd_readings()))
    observation = next(iter(project["observations"].values()))
    codes = {each["code"]: each for each in project["behaviors_conf"].values()}
    pairs: dict[tuple[str, str], list[float]] = defaultdict(list)
    for time, subject, code, modifier, _ in observation["events"]:
        assert subject == ""
        assert code in codes
        pairs[code, modifier].append(time)
    assert pairs["hesitation", "low"] == [0.0, 6.0, 9.0, 20.0, 27.0, 60.0]
    assert pairs["hesitation", "medium"] == [6.0, 9.0]
    assert pairs["hesitation (2)", "high"] == [15.0, 29.0]
    assert all(len(times) % 2 == 0 for times in pairs.values())
    assert codes["hesitation"]["modifiers"]["0"]["values"] == ["low", "medium"]
    assert CHANGING_STATUS.stand_in in observation["description"]
    assert codes["hesitation"]["description"].startswith("delays before committing")
    assert codes["engagement"]["description"].startswith("engaged: attention is sustained")
    assert codes["gap: lost"]["description"].startswith("results of these seconds may be missing")
    assert observation["file"]["1"] == ["talk.mp4"]
    assert len(codes) == len(project["behaviors_conf"])  # BORIS counts a second one's events too
    words = [
        word for each in codes.values() for m in each["modifiers"].values() for word in m["values"]
    ]
    assert not set("|,()") & set("".join(words))  # they separate, or name a key
    json.dumps(project, ensure_ascii=False).encode()  # half a character would stop BORIS


@pytest.mark.parametrize(
    ("known", "tracks"),
    [
        ({"tracks": ("video",)}, (True, False)),
        ({"tracks": ("audio",)}, (False, True)),
        ({"tracks": ("audio", "video")}, (True, True)),
        ({}, (None, None)),  # a camera's, or pushed
    ],
)
def test_a_boris_project_says_of_picture_and_sound_what_is_known(
    known: dict[str, Any], tracks: tuple[bool | None, bool | None]
) -> None:
    status = replace(CHANGING_STATUS, **known)
    (observation,) = json.loads(written("boris", readings(status=status)))["observations"].values()
    media = observation["media_info"]
    assert tuple(media.get(name, {}).get("talk.mp4") for name in ("hasVideo", "hasAudio")) == tracks
    assert media["fps"] == {"talk.mp4": 0}  # BORIS' own value for what it does not know


def test_parquet_has_types_and_duckdb_and_pandas_read_it(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "x.parquet"
    path.write_bytes(written("parquet", readings(), odd_readings()))
    found = parquet.read_table(path)
    assert tuple(found.column_names) == COLUMNS
    row = found.to_pylist()[1]
    assert (row["name"], row["start_seconds"], row["probability"]) == ("hesitation", 6.0, "medium")
    assert found.to_pylist()[len(readings().rows)]["rationale"] == ODD
    assert str(found.schema.field("started_at").type) == "timestamp[us, tz=UTC]"
    assert row["started_at"].isoformat() == "2026-11-30T00:02:03+00:00"
    duckdb = pytest.importorskip("duckdb")
    query = (
        "select probability, sum(end_seconds - start_seconds) from '{}' "
        "where name = 'hesitation' and stream_id = 'st_0123' group by 1 order by 1"
    )
    assert duckdb.sql(query.format(path)).fetchall() == [
        ("high", 14.0), ("low", 50.0), ("medium", 3.0),
    ]  # fmt: skip
    pandas = pytest.importorskip("pandas")
    table_path = tmp_path / "x.csv"
    table_path.write_bytes(written("csv", readings(), odd_readings()))
    assert pandas.read_parquet(path)["rationale"].dropna().tolist() == (
        pandas.read_csv(table_path)["rationale"].dropna().tolist()
    )


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-30T01:02:03+01:00", "2026-11-30T00:02:03+00:00"),
        ("2026-11-30T01:02:03", "2026-11-30T01:02:03+00:00"),  # not by the zone of this machine
        ("0001-01-01T00:00:00+14:00", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_time_of_a_status_is_one_in_utc_or_none(text: str, time: str | None) -> None:
    found = read_time(text)
    assert (found and found.isoformat()) == time


@pytest.mark.parametrize(
    ("kind", "package"), [("eaf", "pympi"), ("textgrid", "praatio"), ("parquet", "pyarrow")]
)
def test_without_its_package_the_error_names_the_extra(
    kind: ExportKind, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(extra, "import_module", missing)
    with pytest.raises(ConfigurationError, match=f"needs {package}") as caught:
        written(kind, readings())
    assert "ih-mcp[export]" in caught.value.help


def test_the_page_of_exports_names_each_format_and_column() -> None:
    page = (Path(__file__).parents[2] / "docs/exports.md").read_text(encoding="utf-8")
    assert [name for name in (*EXPORTS, *COLUMNS) if f"`{name}`" not in page] == []


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journal with three streams, two of which have a label."""
    folder = tmp_path / "data"
    monkeypatch.setenv("IH_MCP_DATA_DIR", str(folder))
    monkeypatch.chdir(tmp_path)
    anyio.run(_keep_three, folder)
    return tmp_path


async def _keep_three(folder: Path) -> None:
    async with open_journal(folder) as journal:
        for name, label in (("st_a", "P07"), ("st_b", ""), ("st_c", "P07")):
            log = await journal.begin(name, {"state": "open", "api": "v1"})
            for entry in entries(CHANGING):
                log.append(entry.body, leg=0)
            await log.flush()
            await log.write_record({**CHANGING_STATUS.to_json(), "label": label}, ended=True)
            journal.release(log)


def test_a_stream_is_read_as_the_journal_has_it(kept: Path) -> None:
    async def read() -> StreamReadings:
        async with open_journal(kept / "data") as journal:
            return await read_stream(journal, "st_a", keeps_entries=True)

    found = anyio.run(read)
    assert found.rows == readings().rows
    assert [entry.body for entry in found.entries] == CHANGING


UPLOADED = (
    '{"status":"completed","model":"inter-2","result":{"duration_seconds":6.0,"windows":[{"index":0,'
    '"start_seconds":0.0,"end_seconds":5.0,"engagement_status":"engaged","signals":[{"type":'
    '"confusion","start":0.0,"end":5.0,"probability":"low","rationale":"r"}]}]}}'
)


def test_the_result_of_an_upload_is_exported_too(tmp_path: Path) -> None:
    async def read() -> StreamReadings:
        async with open_journal(tmp_path) as journal:
            log = await journal.begin("an_a", {"state": "sending", "api": "v2"})
            log.append(UPLOADED, leg=0)
            await log.flush()
            await log.write_record({"state": "ended", "api": "v2"}, ended=True)
            journal.release(log)
            return await read_stream(journal, "an_a")

    rows = anyio.run(read).rows
    assert [(row.kind, row.name, row.start_seconds, row.end_seconds) for row in rows[:1]] == [
        ("signal", "confusion", 0.0, 5.0)
    ]
    assert [row.state for row in rows if row.kind == "engagement"] == ["engaged"]


def exported(*words: str) -> int:
    return cli.main(["export", *words])


def test_streams_are_chosen_by_id_label_or_all(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exported("--all", "--as", "csv") == 0
    assert capsys.readouterr().out == "streams.csv\n"
    ids = {row["stream_id"] for row in table((kept / "streams.csv").read_bytes())}
    assert ids == {"st_a", "st_b", "st_c"}
    assert exported("--label", "P07", "--as", "csv", "-o", "x.csv") == 0
    assert {row["stream_id"] for row in table((kept / "x.csv").read_bytes())} == {"st_a", "st_c"}
    assert exported("st_b", "--as", "vtt") == 0
    assert (kept / "talk-st_b.vtt").read_bytes().startswith(b"WEBVTT\n")
    said = capsys.readouterr()
    assert CHANGING_STATUS.stand_in in said.err
    assert exported("--as", "csv", "-o", "-") == 0
    assert capsys.readouterr().out.startswith("stream_id,source,label,")


def test_a_table_of_streams_is_written_beside_their_rows(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exported("--label", "P07", "--as", "csv", "--streams-table") == 0
    assert capsys.readouterr().out == "streams-table.csv\n"
    rows = table((kept / "streams-table.csv").read_bytes())
    assert [(row["stream_id"], row["phases"]) for row in rows] == [("st_a", "6"), ("st_c", "6")]
    assert exported("--all", "--as", "eaf", "--streams-table") == 2
    assert "eaf has no table of streams\n  Choose csv or parquet" in capsys.readouterr().err


def test_a_format_of_one_stream_gets_a_folder_for_several(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exported("--all", "--as", "srt", "-o", "all.srt") == 2
    assert "a file of srt holds one stream, and these are 3" in capsys.readouterr().err
    assert exported("--all", "--as", "srt", "-o", "subtitles") == 0
    assert {path.name for path in (kept / "subtitles").iterdir()} == {
        "P07-talk-st_a.srt", "talk-st_b.srt", "P07-talk-st_c.srt",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--label", "P08"], "no stream that is kept has the label 'P08'"),
        (["st_a", "--all"], "streams are named in more than one way"),
        (["st_z"], "st_z"),
    ],
)
def test_what_cannot_be_exported_says_why(
    words: list[str], text: str, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exported(*words, "--as", "csv") == 2
    said = capsys.readouterr().err
    assert text in said
    assert not list(kept.glob("*.csv"))


@pytest.mark.parametrize(
    ("label", "source", "stem"),
    [
        ("", "", "st_0"),
        ("P07", "day 1/talk?.mp4", "P07-talk-st_0"),
        ("a/../b", "..", "a-..-b-st_0"),
        ("Müller", "x" * 300 + ".mkv", f"Müller-{'x' * 60}-st_0"),
    ],
)
def test_a_file_is_named_by_what_a_person_knows(label: str, source: str, stem: str) -> None:
    assert output_stem(label=label, source=source, short_id="st_0") == stem


@pytest.mark.parametrize("has_browser", [True, False])
def test_a_timeline_is_opened_where_there_is_a_browser(
    has_browser: bool,
    kept: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    opened: list[str] = []

    def open_link(link: str) -> bool:
        opened.append(link)
        return has_browser

    monkeypatch.setattr("webbrowser.open", open_link)
    assert cli.main(["timeline", "st_a"]) == 0
    assert capsys.readouterr().out == "P07-talk-st_a.html\n"
    assert cli.main(["timeline", "st_a", "-o", "x.html", "--open"]) == 0
    said = capsys.readouterr()
    assert said.out == "x.html\n"
    assert opened == [(kept / "x.html").as_uri()]
    assert ("No browser was found" in said.err) is not has_browser
