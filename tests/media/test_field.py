"""`make field`: files of any kind are judged one by one, and 0 are wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench import field
from bench.field import files_of, verdict
from bench.field_judge import judged
from bench.field_lengths import complaints, pieces_of
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.wire.dialects import V0, V1, V2, Dialect
from tests.forked import forked_python
from tests.reliability.budget import IS_LONG

from .checks import cut, limited
from .sample_files import SAMPLE_FILES, SampleFolder

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


@pytest.mark.parametrize(
    ("name", "dialect", "target", "says"),
    [
        ("base", V0, None, ""),
        ("base", V1, None, ""),
        ("base", V2, None, ""),
        ("base", V0, 12.0, "segment 1 of 1 lasts 12.0 s and could be cut after 5.0 s"),
        ("base", V1, 12.0, "segment 1 of 1 lasts 12.0 s and could be cut after 7.0 s"),
        ("base", V2, 12.0, "segment 1 of 1 lasts 12.0 s and could be cut after 5.0 s"),
        ("gop_whole", V0, None, ""),  # no key frame within: it cannot be cut
        ("intra_refresh", V0, None, ""),  # key frames that no decoder can begin with
        ("one_picture", V0, None, ""),
        ("stays", V1, None, ""),
        ("late_audio", V2, None, ""),
        ("silent_for_half_a_minute", V0, None, ""),
        ("mjpeg", V0, None, ""),
    ],
)
async def test_segments_that_are_longer_than_they_have_to_be_are_wrong(
    name: str,
    dialect: Dialect,
    target: float | None,
    says: str,
    sample: SampleFolder,
    ffmpeg: Ffmpeg,
) -> None:
    segments = (await cut(sample(name), ffmpeg, dialect, target_seconds=target)).segments
    pieces = pieces_of([segment.data for segment in segments], dialect.framing)
    is_copied = not SAMPLE_FILES[name].encodes
    said = complaints(pieces, dialect, [is_copied] * len(pieces))
    assert said == ([says] if says else [])


async def test_segments_that_are_shorter_than_the_version_takes_are_wrong(
    base: Path, ffmpeg: Ffmpeg
) -> None:
    cut_short = await cut(base, ffmpeg, V2, target_seconds=1.0)
    pieces = pieces_of([segment.data for segment in cut_short.segments], V2.framing)
    assert complaints(pieces, V2, [True] * 12) == []
    [said] = complaints(pieces, V1, [True] * 12)
    assert said == "segment 1 of 12 lasts 1.02 s, and 11 more"


async def test_segments_of_too_many_bytes_or_too_few_are_wrong(base: Path, ffmpeg: Ffmpeg) -> None:
    pieces = pieces_of([s.data for s in (await cut(base, ffmpeg, V1)).segments], V1.framing)
    size = len(pieces[0].data)
    for limits, is_said in (
        ({"max_segment_bytes": size}, False),
        ({"max_segment_bytes": size - 1}, True),
        ({"min_segment_bytes": size}, False),
        ({"min_segment_bytes": size + 1}, True),
    ):
        dialect = replace(V1, limits=limited(V1, **limits))
        said = complaints(pieces[:1], dialect, [True])
        assert said == ([f"segment 1 of 1 has {size} bytes"] if is_said else [])


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
