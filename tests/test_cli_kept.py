"""`list`, `forget` and `usage`: what is kept, by short ids, and how it goes."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from ih_mcp.app.batch import BatchItem, ItemState
from ih_mcp.app.batch_report import make_csv, make_html
from ih_mcp.app.minutes import MinutesPlan
from ih_mcp.cli import main
from ih_mcp.cli.stream import describe_losses
from ih_mcp.cli.usage import describe_use
from ih_mcp.errors import CallerError
from ih_mcp.journal import FILE_NAME, Journal, open_journal
from ih_mcp.mcp_server.status import minutes_of
from ih_mcp.streams.status import GapStatus, LossStatus, StreamStatus
from ih_mcp.timeline.summary import totals
from ih_mcp.wire.minutes import MediaUse, MinutesBudget

LOCAL = MinutesBudget(endpoint="local", is_free=True)
PAID = MinutesBudget(endpoint="production")
IDS = ["st_" + "a" * 31 + "1", "st_" + "a" * 31 + "2", "an_" + "b" * 32]
USE = MediaUse(delivered_seconds=90, analysed_seconds=60, dropped_seconds=12)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IH_MCP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr("ih_mcp.journal.usage._today", lambda: "2026-11-30")
    return tmp_path / "data"


@pytest.fixture
def run(folder: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    def command(*words: str) -> tuple[int, str, str]:
        try:
            code = main(words)
        except SystemExit as exc:
            code = int(exc.code or 0)
        out, err = capfd.readouterr()
        return code, out, err

    yield command
    assert folder.exists()


async def _fill(place: Path | tuple[str, str], *, live: bool, use: MediaUse) -> None:
    async with open_journal(place) as journal:
        for number, (each, budget) in enumerate(zip(IDS, (LOCAL, PAID, PAID), strict=True)):
            log = await journal.begin(each, {}, budget=budget)
            log.append('{"type":"x"}', leg=0)
            account = journal.account(each, budget)
            await account.spend(use.delivered_seconds, MediaUse())
            await account.settle(use, ended=True)
            record = {
                "state": "ended",
                "endpoint": budget.endpoint,
                "source": f"talk\n{number}.mp4",
                "label": f"P{number}",
            }
            await log.write_record(record, ended=not live)


def fill(place: Path | tuple[str, str], *, live: bool = False, use: MediaUse = USE) -> None:
    anyio.run(lambda: _fill(place, live=live, use=use))


@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
def test_commands_work_on_the_streams_of_a_tenant(
    backend: str,
    folder: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    if backend == "postgres":
        database: str = request.getfixturevalue("database")
        monkeypatch.setenv("IH_MCP_JOURNAL", database)
        fill((database, "acme"))
        folder.mkdir()
    else:
        fill(folder / "tenants" / "acme")
    assert IDS[0] not in run("list")[1]
    monkeypatch.setenv("IH_MCP_TENANT", "beta")
    assert IDS[0] not in run("list")[1]
    monkeypatch.setenv("IH_MCP_TENANT", "acme")
    assert IDS[0] in run("list")[1]
    assert "1.50" in run("usage")[1]
    assert run("forget", IDS[0])[0] in {0, 1}  # 1 where the database may hold a copy
    assert IDS[0] not in run("list")[1]
    code, _, err = run("serve")
    assert code == 2
    assert "IH_MCP_TENANT is set" in err


def test_list_shows_what_is_kept_with_short_ids_that_every_command_takes(
    folder: Path, run: Run
) -> None:
    fill(folder)
    code, out, _ = run("list")
    lines = [re.split(r"\s{2,}", line) for line in out.splitlines()]
    assert code == 0
    assert lines[0] == [
        "id", "started (UTC)", "state", "minutes", "endpoint", "source", "label"
    ]  # fmt: skip
    assert [line[0] for line in lines[1:]] == ["an_bbbbbbbb", IDS[1], IDS[0]]
    assert lines[1][2:] == ["ended", "1.50", "production", "talk 2.mp4", "P2"]
    for short in ("an_bbbbbbbb", IDS[1]):
        assert run("messages", short)[:2] == (0, '{"type":"x"}\n')
    code, out, _ = run("timeline", "an_b", "-o", str(folder / "an.html"))
    assert (code, out) == (0, f"{folder / 'an.html'}\n")
    assert run("watch", "an_b")[0] == 0
    code, out, _ = run("export", IDS[1][:-1] + "2", "--as", "jsonl", "-o", "-")
    assert (code, IDS[1] in out) == (0, True)


def test_a_beginning_of_several_ids_is_refused_everywhere(folder: Path, run: Run) -> None:
    fill(folder)
    for command in ("messages", "timeline", "watch", "forget", "export --as csv"):
        code, _, err = run(*command.split(), "st_a")
        assert code == 2
        assert f"2 ids begin with st_a: {IDS[0]}, {IDS[1]}" in err
        assert run(*command.split(), "st_zz")[0] == 2


def test_list_as_json_has_whole_ids_and_seconds(folder: Path, run: Run) -> None:
    fill(folder)
    first = json.loads(run("list", "--json")[1].splitlines()[0])
    assert first["id"] == IDS[2]
    assert first["messages"] == 1
    assert first["usage"] == {
        "delivered_s": 90, "analysed_s": 60, "dropped_s": 12, "unknown_s": 18
    }  # fmt: skip


@pytest.mark.parametrize(("seconds", "shown"), [(22.0, 0.37), (6.167, 0.11), (6.0004, 0.1)])
def test_the_minutes_of_a_file_are_one_number_before_after_and_in_every_table(
    seconds: float, shown: float, folder: Path, run: Run
) -> None:
    use = MediaUse(delivered_seconds=seconds, analysed_seconds=seconds)
    fill(folder, use=use)
    item = BatchItem("talk.mp4", folder, seconds=seconds, state=ItemState.DONE)
    assert MinutesPlan(name="talk.mp4", seconds=seconds).shown.split()[1] == f"{shown:g}"
    assert describe_use(use) == f"Minutes: {shown:g} delivered, {shown:g} analysed."
    assert f" ended  {shown:.2f} " in run("list")[1]
    assert re.search(rf"local +1 +{shown:.2f} +{shown:.2f} ", run("usage")[1])
    assert make_csv([item]).splitlines()[1].startswith(f"talk.mp4,done,{shown:g},")
    assert f"{shown:g} minutes of media." in make_html([item], "")
    assert minutes_of(use.to_json()) == {"minutes_sent": shown, "minutes_analysed": shown}
    nothing: dict[str, object] = {
        "spans": [],
        "engagement": [],
        "dropped": [],
        "lost": {},
        "not_sent": [],
    }
    drawing = nothing | {"usage": use.to_json(), "seconds": seconds}
    assert totals(drawing)["minutes_analysed"] == shown


def test_an_empty_folder_keeps_and_used_nothing(run: Run) -> None:
    assert run("list")[1] == "nothing is kept\n"
    assert run("usage")[1].splitlines()[1:] == ["nothing was sent"]
    assert run("forget", "--older", "1d")[:2] == (0, "nothing to forget\n")


def test_forget_says_what_went_and_what_it_cannot_reach(folder: Path, run: Run) -> None:
    fill(folder)
    code, out, _ = run("forget", IDS[0], "an_b")
    assert code == 0
    assert out.splitlines()[:3] == [
        IDS[0], IDS[2], "forgotten: 2; pictures, exports and mirror files deleted: 0"
    ]  # fmt: skip
    assert "Not reached: what the service, MCP hosts and their models received" in out
    assert run("forget", IDS[0])[0] == 2  # twice
    assert run("list")[1].count("\n") == 2


def test_forget_by_label_and_age_leaves_the_rest(folder: Path, run: Run) -> None:
    fill(folder)
    assert "1 would be forgotten" in run("forget", "--label", "P1", "--dry-run")[1]
    assert run("forget", "--older", "1m", "--label", "P1")[1] == "nothing to forget\n"
    assert run("forget", "--label", "P1")[0] == 0
    assert run("forget", "--older", "0m")[0] == 0
    assert run("list")[1] == "nothing is kept\n"


@pytest.mark.parametrize("words", [("--dry-run",), (), ("--older", "0m")])
def test_forget_refuses_a_label_that_nothing_has(
    words: tuple[str, ...], folder: Path, run: Run
) -> None:
    fill(folder)
    code, out, err = run("forget", "--label", "P01", *words)
    assert (code, out) == (2, "")
    assert "no stream that is kept has the label 'P01'" in err
    assert "Labels that are kept: 'P0', 'P1', 'P2'." in err
    assert run("list")[1].count("\n") == 4  # all three are there


def test_forget_by_age_leaves_and_names_what_ended_while_the_clock_was_wrong(
    folder: Path, run: Run
) -> None:
    fill(folder)
    with closing(sqlite3.connect(folder / FILE_NAME)) as db:
        db.execute("UPDATE streams SET ended_at = 60 WHERE id = ?", (IDS[0],))
        db.commit()
    stays = (
        f"{IDS[0]} stays: it ended while this computer's clock was wrong, so its age is not known."
    )
    assert run("forget", "--older", "1d")[1].splitlines()[0] == f"{stays} Name it to remove it."
    code, out, _ = run("forget", "--older", "0m")
    assert (code, out.splitlines()[1:4]) == (
        0,
        [*IDS[1:], "forgotten: 2; pictures, exports and mirror files deleted: 0"],
    )
    assert run("list")[1].splitlines()[1].endswith("P0")
    assert run("forget", "--label", "P0")[0] == 0
    assert run("list")[1] == "nothing is kept\n"


async def _keep_of(folder: Path, sources: Sequence[str]) -> None:
    async with open_journal(folder) as journal:
        for number, source in enumerate(sources):
            log = await journal.begin(f"st_{number:032}", {})
            await log.write_record({"state": "ended", "source": source}, ended=True)


@pytest.mark.parametrize(
    ("words", "number", "said"),
    [
        (["talk.mp4"], 1, ""),
        (["other.mp4"], 2, "No stream that is kept is of other.mp4. This is the newest one, st_"),
        (["st_" + "0" * 32, "talk.mp4"], 0, ""),
    ],
)
def test_review_takes_the_newest_stream_of_its_file(
    words: list[str], number: int, said: str, folder: Path, run: Run, short_clip: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    anyio.run(_keep_of, folder, ["talk.mp4", "talk.mp4", "call.mp4"])

    async def read(_: Journal, stream_id: str, **__: object) -> None:
        raise CallerError(f"reads {stream_id}")  # a page would be served until Ctrl+C

    monkeypatch.setattr("ih_mcp.cli.review.read_timeline", read)
    video = shutil.copy(short_clip, folder.parent / words[-1])
    _, _, err = run("review", *words[:-1], str(video))
    flat = " ".join(err.split())
    assert f"reads st_{number:032}" in flat
    assert said in flat
    assert ("No stream" in flat) == bool(said)


@pytest.mark.parametrize("age", ["7", "d", "-1d", "nand", "1e9d", "7 d", "7y", ""])
def test_an_age_that_is_none_says_how_one_looks(run: Run, age: str) -> None:
    code, _, err = run("forget", f"--older={age}")
    assert code == 2
    assert "give a number with m, h, d or w, such as 7d" in err
    run("list")


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "2026-02-30", "1.11.2026", ""])
def test_a_day_that_is_none_says_how_one_looks(run: Run, day: str) -> None:
    code, _, err = run("usage", f"--since={day}")
    assert code == 2
    assert f"{day!r} is no day; give one such as 2026-11-01" in err
    run("list")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("an.svg", "--from", "1:00:00"), "there is no media from 1:00:00 to 0:10"),
        (("an.png", "--from", "5", "--to", "0:05"), "there is no media from 0:05 to 0:05"),
        (("an.html", "--to", "3"), "--from and --to are of pictures; a page shows any part"),
        (("an.svg", "--to", "1:2:3:4"), "'1:2:3:4' is no media time; give one such as 1:30"),
    ],
)
def test_a_part_of_a_picture_lies_in_its_media(
    folder: Path, run: Run, words: tuple[str, ...], says: str
) -> None:
    fill(folder)
    code, _, err = run("timeline", "an_b", "-o", str(folder / words[0]), *words[1:])
    assert code == 2
    assert says in err
    assert not (folder / words[0]).exists()


@pytest.mark.parametrize("words", [(), ("st_a", "--older", "7d"), ("st_a", "--label", "x")])
def test_forget_wants_ids_or_a_filter(run: Run, words: tuple[str, ...]) -> None:
    code, _, err = run("forget", *words)
    assert code == 2
    assert "forget needs ids, or --older and --label, and not both" in err
    run("list")


def test_usage_adds_up_by_endpoint_and_by_day(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(folder)
    lines = run("usage")[1].splitlines()
    assert [re.split(r"\s{2,}", line) for line in lines] == [
        [
            *("endpoint", "streams", "minutes delivered"),
            *("min. analysed", "min. dropped", "min. unknown"),
        ],
        ["production", "2", "3.00", "2.00", "0.40", "0.60"],
        ["local", "1", "1.50", "1.00", "0.20", "0.30"],
    ]
    monkeypatch.setenv("IH_MCP_MAX_MINUTES_PER_DAY", "10")
    assert run("usage")[1].splitlines()[-1] == ("7.4 minutes are left today (until 00:00 UTC)")
    found = json.loads(run("usage", "--by-day", "--json", "--since", "2026-11-30")[1])
    assert found["left_today_s"] == 444
    assert [(row["day"], row["endpoint"]) for row in found["usage"]] == [
        ("2026-11-30", "production"),
        ("2026-11-30", "local"),
    ]
    assert json.loads(run("usage", "--json", "--since", "2026-12-01")[1])["usage"] == []
    run("forget", "--older", "0m")
    assert run("usage")[1].splitlines()[1].startswith("production")


def test_losses_are_told_in_sentences() -> None:
    gap = GapStatus(legs=(0, 1), reason="connection_lost", media_offset_s=12.04)
    lost = LossStatus(media_s=((9.0, 12.04),), let_go_s=1.5, segments_unknown=2)
    assert list(describe_losses(StreamStatus(gaps=(gap,), lost=lost))) == [
        "Another API session went on at 0:12: connection lost.",
        "Results of 0:09 to 0:12 may be missing.",
        "Segments that were sent and have no answer: 2; that were not sent: 0.",
        "1.5 s of live media were never sent, as the connection was slower.",
    ]
    assert list(describe_losses(StreamStatus())) == []
    many = list(describe_losses(StreamStatus(gaps=(gap,) * 24)))
    assert (len(many), many[-1]) == (11, "There are more of them; `ih-mcp timeline` shows all.")
