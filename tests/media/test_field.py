"""`make field`: files of any kind are judged one by one, and 0 are wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench import field
from bench.field import files_of, verdict
from bench.field_judge import judged
from tests.forked import forked_python
from tests.reliability.budget import IS_LONG

from .sample_files import SampleFolder

LEFT_TO_THE_NIGHT = {"timecode-422-10bit.mov", "sound-44100-then-48000.ts"}  # take a second each


@pytest.mark.parametrize(
    ("name", "word", "says"),
    [
        ("base", "right", ""),
        ("pictures_in_avi", "right", ""),
        ("protected", "refused", "encrypted: protected.mp4: the file is protected"),
        ("short_2s", "right", "v0: too_short"),
    ],
)
def test_a_file_gets_one_word_and_what_is_to_be_said(
    name: str, word: str, says: str, sample: SampleFolder
) -> None:
    found, text = judged(sample(name).resolve())
    assert found == word
    assert says in text


def test_each_file_has_a_process_of_its_own_and_goes_through_the_commands(
    sample: SampleFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(field, "PYTHON", forked_python())
    assert verdict(sample("base")) == ("right", "")


def test_lost_pictures_are_wrong(
    sample: SampleFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The judge sees what it is there for: a splitter that loses a segment."""
    spoiled = tmp_path / "sitecustomize.py"
    spoiled.write_text(
        "import ih_mcp.media.cutter as cutter\n"
        "honest = cutter.Cutter.finish\n"
        "cutter.Cutter.finish = lambda self: iter([*honest(self)][1:])\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    word, text = verdict(sample("base"), with_cli=False)
    assert word == "wrong"
    assert "pictures" in text


def test_one_that_takes_too_long_is_ended(sample: SampleFolder) -> None:
    word, text = verdict(sample("base"), seconds=0.01, with_cli=False)
    assert (word, text) == ("unsure", "the judge took longer than 0.01 s")


TOO_SHORT = '["refused", "v1: too_short"]'
TRACE = "Traceback (most recent call last):\n  ...\nKeyError: 1\n"


@pytest.mark.parametrize(
    ("judge", "check", "stream", "word", "says"),
    [
        ((0, '["right", ""]', ""), (0, "", ""), (0, "", ""), "right", ""),
        ((0, '["refused", "no"]', ""), (1, "", "no"), (1, "", "no"), "refused", "no"),
        ((0, TOO_SHORT, ""), (0, "", ""), (0, "", ""), "refused", "v1: too_short"),
        ((0, '["refused", "no"]', ""), (1, "", ""), (0, "", ""), "wrong", "stream succeeds with"),
        ((0, '["right", ""]', ""), (1, "", TRACE), (0, "", ""), "wrong", "check: status 1, ['KeyE"),
        ((0, '["right", ""]', ""), (0, "", ""), (1, "", TRACE), "wrong", "stream: status 1, ['Key"),
        ((0, '["right", ""]', ""), (3, "", ""), (0, "", ""), "wrong", "ih-mcp check: status 3, []"),
        ((0, '["right", ""]', ""), (0, "", ""), (None, "", ""), "wrong", "stream took longer than"),
        ((0, '["unsure", "odd"]', ""), (-11, "", ""), (0, "", ""), "wrong", "check: status -11"),
        ((1, "", TRACE), (0, "", ""), (0, "", ""), "wrong", "not a foreseen error: ['KeyError"),
        ((-11, "", ""), (0, "", ""), (0, "", ""), "unsure", "the judge crashed"),
    ],
)  # fmt: skip
def test_what_a_command_does_wrong_is_wrong_whatever_the_judge_says(
    judge: tuple[int, str, str],
    check: tuple[int, str, str],
    stream: tuple[int | None, str, str],
    word: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outcomes = {"bench.field": judge, "check": check, "stream": stream}

    def run(command: Sequence[str], _: float) -> tuple[int | None, str, str]:
        return next(outcome for name, outcome in outcomes.items() if name in command)

    monkeypatch.setattr(field, "_run", run)
    found, text = verdict(Path("a.mp4"))
    assert found == word
    assert says in text


def test_the_command_judges_a_folder_and_its_status_tells(
    tmp_path: Path,
    dialogue: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / dialogue.name).symlink_to(dialogue)
    (tmp_path / "notes.txt").write_text("no media")
    (tmp_path / ".hidden").write_text("not looked at")
    monkeypatch.setattr(field, "PYTHON", forked_python())
    monkeypatch.setattr("sys.argv", ["field", "--no-cli", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        field.main()
    right, refused, total = capsys.readouterr().out.splitlines()
    assert ended.value.code == 0
    assert right.startswith(f"right   {tmp_path}/deep/dialogue.mp4")
    assert refused.startswith(f"refused {tmp_path}/notes.txt")
    assert total == "1 refused, 1 right"


@pytest.mark.timeout(900)
def test_no_real_clip_and_no_input_of_the_field_is_wrong(
    shared_media: Path, shared_field: Path
) -> None:
    recorder = [*files_of([shared_media / "mediarecorder"])]
    files = [*files_of([shared_field])]
    clips = sorted(shared_media.glob("*.mp4")) + sorted(shared_media.glob("*.webm"))
    if not IS_LONG:  # `test_splitter` and `test_decodable` cut the others in every run
        recorder = recorder[1:2]
        files = [path for path in files if path.name not in LEFT_TO_THE_NIGHT]
        clips = [path for path in clips if path.stem == "talking-head-5s"]
        assert len(clips) == 1
    found = {path.name: judged(path.resolve()) for path in [*clips, *files, *recorder]}
    assert [(name, text) for name, (word, text) in found.items() if word == "wrong"] == []
    counted = Counter(word for word, _ in found.values())
    assert counted["right"] >= len(clips)
    assert counted["refused"]
