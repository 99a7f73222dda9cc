"""`ih-mcp batch`: nothing is sent twice, and one failure stops nothing else."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from urllib.request import Request, urlopen

import anyio
import pytest

from ih_mcp.app.batch import (
    BatchItem,
    FolderBatch,
    ItemState,
    _fingerprint,
    _in_order_by_fingerprint,
    find_files,
)
from ih_mcp.app.batch_report import make_csv, make_html, write_report
from ih_mcp.app.minutes import SilentChannel
from ih_mcp.app.runtime import StreamOptions, open_runtime
from ih_mcp.cli import main
from ih_mcp.cli.batch import describe_labels
from ih_mcp.errors import MediaError
from ih_mcp.journal import StreamRow, open_journal
from ih_mcp.media.ffmpeg.facts import NO_SOUND
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.settings import read_settings
from ih_mcp.streams.pacing import PaceName
from ih_mcp.streams.stream import Stream
from tests.forked import forked
from tests.road.host import environment

pytestmark = pytest.mark.timeout(120)
_FREE_BOX = b"\0\0\0\x08free"  # at the end of an MP4: other bytes, the same media


@pytest.fixture
def folder(tmp_path: Path, short_clip: Path) -> Path:
    """Two files, a copy of the first in a folder of its own, a broken one, and a text."""
    made = tmp_path / "videos"
    (made / "more").mkdir(parents=True)
    clip = short_clip.read_bytes()
    (made / "a.mp4").write_bytes(clip)
    (made / "b.mp4").write_bytes(clip + _FREE_BOX)
    (made / "more" / "copy.mp4").write_bytes(clip)
    (made / "=broken.mp4").write_bytes(clip[:2000])
    (made / "notes.txt").write_text("no media")
    (made / ".hidden.mp4").write_bytes(clip)
    return made


@pytest.fixture(scope="module")
def silent_clip(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Ffmpeg, short_clip: Path) -> Path:
    """The picture of the short clip."""
    clip = tmp_path_factory.mktemp("silent") / "silent.mp4"
    command = [str(ffmpeg.path), "-v", "error", "-i", str(short_clip), "-an", "-c", "copy"]
    subprocess.run([*command, str(clip)], check=True)
    return clip


def states(out: Path) -> dict[str, str]:
    with (out / "report.csv").open(newline="") as file:
        return {row["file"]: row["state"] for row in csv.DictReader(file)}


def notes_of(out: Path, name: str) -> str:
    with (out / "report.csv").open(newline="") as file:
        (notes,) = (row["notes"] for row in csv.DictReader(file) if row["file"] == name)
    return notes


def batch(folder: Path, *words: str) -> int:
    out = str(folder.parent / "out")
    return main(["batch", str(folder), "-o", out, "--local", "--analyst", "placeholder", *words])


async def _count_streams(data: Path) -> int:
    async with open_journal(data) as journal:
        return len(await journal.list_streams())


def test_each_file_is_sent_once_whatever_happens_to_others_and_again_never(
    folder: Path, silent_clip: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    shutil.copy(silent_clip, folder / "b.mp4")
    out, data = folder.parent / "out", folder.parent / "data"
    monkeypatch.setenv("IH_MCP_DATA_DIR", str(data))
    assert batch(folder, "--as", "csv,vtt", "--pace", "fast") == 1
    first = capsys.readouterr()
    assert states(out) == {
        "a.mp4": "done", "b.mp4": "done", "=broken.mp4": "failed", "more/copy.mp4": "skipped",
    }  # fmt: skip
    assert "2 files: " in first.err
    assert "Of the folder: 1 failed, 2 waiting, 1 skipped, 1 no media." in first.err
    assert "1 failed, 2 done, 1 skipped." in first.err
    assert "failed  =broken.mp4: " in first.out
    assert "with =, +, -, @ or a tab, and a spreadsheet may run that" in first.err
    assert first.out.endswith(f"{out / 'report.html'}\n")
    names = {path.relative_to(out).as_posix() for path in out.rglob("*.*")}
    assert names == {
        "report.csv", "report.html", *(f"{name}.{kind}" for kind in ("csv", "vtt")
        for name in ("a.mp4", "b.mp4", "more/copy.mp4")),
    }  # fmt: skip
    assert anyio.run(_count_streams, data) == 2

    assert batch(folder, "--pace", "fast") == 2
    assert "already has a report (3 of 4 files done)" in capsys.readouterr().err
    again = ["--resume", "--pace", "fast", "--label", "P07", "--as", "srt,eaf,boris"]
    assert batch(folder, *again) == 1
    resumed = capsys.readouterr().err
    assert "Of the folder: 1 failed, 3 skipped, 1 no media." in resumed
    assert "\n3 skipped; their label stays ''." in resumed
    assert notes_of(out, "b.mp4").endswith(NO_SOUND)
    assert NO_SOUND not in notes_of(out, "a.mp4")
    (seen,) = json.loads((out / "b.mp4.boris").read_text())["observations"].values()
    assert list(seen["media_info"]["hasAudio"].values()) == [False]
    assert list(seen["media_info"]["hasVideo"].values()) == [True]
    assert f'{NO_SOUND}</td><td data-name="label"></td></tr>' in (out / "report.html").read_text()
    for name in ("a.mp4", "more/copy.mp4"):  # programs find the file from where the export is
        path = (out / f"{name}.eaf").relative_to(out).parent
        eaf, boris = ((out / f"{name}.{kind}").read_text() for kind in ("eaf", "boris"))
        (relative,) = re.findall('RELATIVE_MEDIA_URL="([^"]*)"', eaf)
        (observation,) = json.loads(boris)["observations"].values()
        for found in (relative, *observation["file"]["1"]):
            assert (out / path / found).resolve() == (folder / name).resolve()
    assert (out / "b.mp4.srt").exists()
    report = (out / "report.html").read_text()
    for kind in ("srt", "csv", "vtt"):  # what is there is linked, whichever run wrote it
        assert f'<a href="more/copy.mp4.{kind}">{kind}</a>' in report
    assert anyio.run(_count_streams, data) == 2


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--jobs", "0"], "--jobs is 0; it may be 1 to"),
        (["--goal", "clarity", "--api", "v9"], "invalid choice"),
        (["--as", "csv,docx"], "'csv,docx' is no list of csv"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_sent(
    words: Sequence[str], text: str, folder: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("IH_MCP_DATA_DIR", str(folder.parent / "data"))
    try:
        code = batch(folder, *words)
    except SystemExit as exc:
        code = int(str(exc.code))
    assert code == 2
    assert text in capsys.readouterr().err


async def test_a_stopped_batch_begins_nothing_more_and_goes_on_later(folder: Path) -> None:
    settings = read_settings(
        endpoint="local", analyst="placeholder", data_dir=str(folder.parent / "data")
    )
    seen: list[dict[str, ItemState]] = []

    async def write(_: BatchItem) -> tuple[str, ...]:
        return ()

    async with open_runtime(settings, trusted=True) as runtime:

        def make(report: bool) -> FolderBatch:
            def note(items: Sequence[BatchItem]) -> None:
                seen.append({item.name: item.state for item in items})
                if report:
                    made.is_stopping = True

            made = FolderBatch(
                runtime, StreamOptions(), pace=PaceName.FAST, channel=SilentChannel(),
                write=write, report=note,
            )  # fmt: skip
            return made

        files = await anyio.to_thread.run_sync(lambda: find_files(folder, beside=folder / "out"))
        stopped, later = make(True), make(False)
        await stopped.prepare(files)
        await stopped.run(1)
        after_stop = seen[-1]
        await later.prepare(files)
        await later.run(1)
    assert sorted(after_stop.values()).count(ItemState.DONE) == 1
    assert ItemState.WAITING in after_stop.values()
    (done,) = [name for name, state in after_stop.items() if state is ItemState.DONE]
    assert seen[-1][done] is ItemState.SKIPPED
    assert sorted(map(str, seen[-1].values())) == ["done", "failed", "skipped", "skipped"]


@contextmanager
def standin(tmp_path: Path) -> Iterator[str]:
    command = [*forked(), "standin", "--analyst", "placeholder"]
    env = environment(tmp_path)
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def billed(url: str) -> list[float]:
    request = Request(f"{url}/standin/billing", headers={"Authorization": "Bearer k"})  # noqa: S310 - our own
    with urlopen(request, timeout=10) as answer:  # noqa: S310
        return list(json.load(answer)["sessions"].values())


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_after_a_kill_no_file_that_was_done_is_sent_again(
    tmp_path: Path, short_clip: Path, dialogue: Path
) -> None:
    videos, out = tmp_path / "videos", tmp_path / "out"
    videos.mkdir()
    shutil.copy(dialogue, videos / "1.mp4")  # 25 s; what is under way when it is killed has 6 s
    shutil.copy(short_clip, videos / "2.mp4")
    words = ["batch", str(videos), "-o", str(out), "--jobs", "1", "--pace", "fast", "--as", "csv"]
    with standin(tmp_path) as url:
        env = environment(tmp_path / "data", endpoint=url, INTERHUMAN_API_KEY="ih_live_0123456789")
        with subprocess.Popen([*forked(), *words], env=env, stdout=subprocess.PIPE) as killed:
            assert killed.stdout
            line = killed.stdout.readline()
            killed.send_signal(signal.SIGKILL)
        assert line == b"done  1.mp4\n"
        done = subprocess.run(
            [*forked(), *words, "--resume"], env=env, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        seconds = billed(url)
    assert states(out)["1.mp4"] == "skipped"
    assert states(out)["2.mp4"] in {"done", "skipped"}  # it may have been as quick as the kill
    assert len([each for each in seconds if each > 20]) == 1


def test_what_is_done_with_counts_whole_what_waits_not_at_all() -> None:
    stream = cast("Stream", SimpleNamespace(sent_seconds=4.0))

    def sent(state: ItemState, stream: Stream | None = None) -> float:
        return BatchItem("a", Path("a"), seconds=9.0, state=state, stream=stream).sent_seconds

    assert {state: sent(state) for state in ItemState} == {
        state: 0.0 if state in {ItemState.WAITING, ItemState.SENDING} else 9.0
        for state in ItemState
    }
    assert sent(ItemState.SENDING, stream) == 4.0
    stream = cast("Stream", SimpleNamespace(sent_seconds=40.0))
    assert sent(ItemState.SENDING, stream) == 9.0


def test_a_file_is_the_same_with_the_same_options_in_any_order() -> None:
    options: dict[str, object] = {"api": "v2", "include": ["signals"]}
    same = _fingerprint("d1", options)
    assert _fingerprint("d1", dict(reversed(options.items()))) == same
    others = [_fingerprint("d2", options), _fingerprint("d1", options | {"api": "v1"})]
    assert len({same, *others}) == 3


def test_the_report_is_a_page_without_scripts_whose_texts_are_texts() -> None:
    item = BatchItem("<b>/=1.mp4", Path("x"), seconds=90.0, state=ItemState.FAILED,
        error="a <script>", outputs=("<b>/=1.mp4.csv",))  # fmt: skip
    page = make_html([item], "From <nobody>.")
    assert page.count("<td data-name=") == page.count("<th>")  # a narrow page says them in each row
    assert '<td data-name="stream id">' in page
    assert "<script>" not in page
    assert "<nobody>" not in page
    assert 'href="%3Cb%3E/%3D1.mp4.csv"' in page
    assert make_csv([item]).splitlines()[1] == (
        "<b>/=1.mp4,failed,1.5,,,,<b>/=1.mp4.csv,a <script>,,"  # how much is not known is not 0
    )


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a.mp4", "b.mp4", "more/copy.mp4", "=broken.mp4"],
            "already has a report (2 of 4 files done) Give --resume to go on, or name another"),
        (["a.mp4"], "already has a report (1 of 1 file done) Give --resume to go on"),
        (["a.mp4", "other.mp4"], "has the report of another batch Give --resume to go on with"),
        ([], "has the report of another batch"),
    ],
)  # fmt: skip
def test_a_report_that_is_there_already_is_told_from_that_of_another_batch(
    names: Sequence[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    states = [ItemState.DONE, ItemState.STOPPED, ItemState.SKIPPED, ItemState.FAILED]
    items = [
        BatchItem(name, Path(name), state=state) for name, state in zip(names, states, strict=False)
    ]
    (folder.parent / "out").mkdir()
    write_report(folder.parent / "out", items, "")
    assert batch(folder) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_report_that_cannot_be_read_is_nobody_s(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder.parent / "out"
    out.mkdir()
    (out / "report.csv").write_bytes(b"\xff\x00,state\n\x00")
    assert batch(folder) == 2
    assert "has the report of another batch" in " ".join(capsys.readouterr().err.split())


def test_skipped_streams_whose_label_is_another_are_counted_by_their_label() -> None:
    def skipped(label: str) -> BatchItem:
        return BatchItem("a", Path("a"), state=ItemState.SKIPPED, stream_id="st_1", label=label)

    items = [*map(skipped, ("", "P1", "", "P7")), BatchItem("a", Path("a"), label="P1")]
    *kept, advice = describe_labels("P7", items)
    assert kept == ["2 skipped; their label stays ''.", "1 skipped; its label stays 'P1'."]
    assert advice.startswith("A label is given when a file is sent. `ih-mcp forget` with")
    assert describe_labels("", items) == []


def test_a_stop_ends_the_streams_that_live_and_tells_the_first_time_alone() -> None:
    ended: list[str] = []

    def stream(name: str, *, is_over: bool) -> SimpleNamespace:
        return SimpleNamespace(is_over=is_over, request_end=lambda: ended.append(name))

    streams = [None, stream("over", is_over=True), stream("live", is_over=False)]
    items = [SimpleNamespace(stream=each) for each in streams]
    batch = cast("FolderBatch", SimpleNamespace(is_stopping=False, items=items))
    assert FolderBatch.stop(batch)
    assert batch.is_stopping
    assert ended == ["live"]
    assert not FolderBatch.stop(batch)


def test_a_file_is_done_where_a_stream_of_it_ended_in_order() -> None:
    done = {"state": "ended", "reason": "end_of_file"}
    records = [
        ("st_a", done | {"fingerprint": "a"}),
        ("st_b", done | {"fingerprint": "b", "state": "failed"}),
        ("st_c", done | {"fingerprint": "c", "reason": "stopped"}),
        ("st_d", done | {"fingerprint": "d", "lost": {"let_go_s": 1.0}}),
        ("st_e", done),
        ("an_f", done | {"fingerprint": "f"}),
    ]
    rows = [
        StreamRow(
            no=number, id=name, owner="a", created_at=1.0, ended_at=2.0, last=1, oldest=1, size=9,
            record=json.dumps(record),
        )
        for number, (name, record) in enumerate(records)
    ]  # fmt: skip
    assert _in_order_by_fingerprint(rows) == {"a": "st_a"}


async def test_a_file_is_no_media_only_where_its_name_says_so_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(_: object, path: str) -> None:
        raise MediaError("it cannot be sent", code=path.partition(".")[0])

    async def nothing() -> dict[str, str]:
        return {}

    monkeypatch.setattr("ih_mcp.app.batch.check_file", refuse)
    names = ["not_media.mp4", "not_media.txt", "empty_file.mov", "empty_file.md", "too_short.txt"]
    folder = SimpleNamespace(
        _runtime=None, _streams_in_order=nothing, _options=nothing, items=[], others=0
    )
    await FolderBatch.prepare(cast("FolderBatch", folder), [(name, Path(name)) for name in names])
    assert folder.others == 2
    assert {item.name: item.state for item in folder.items} == dict.fromkeys(
        ["not_media.mp4", "empty_file.mov", "too_short.txt"], ItemState.FAILED
    )
