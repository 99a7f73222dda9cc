"""Which ffmpeg is used, and what is said when none is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ih_mcp.errors import MediaError
from ih_mcp.media.ffmpeg.program import Ffmpeg, FfmpegLimits, find_ffmpeg, is_supported


def program(folder: Path, says: str, name: str = "ffmpeg") -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("ih_mcp.media.ffmpeg.program._BUNDLED", tmp_path / "no wheel")


def test_the_explicit_one_is_used(tmp_path: Path) -> None:
    path = program(tmp_path, "ffmpeg version 7.1.2 Copyright")
    assert find_ffmpeg(path) == Ffmpeg(path, "7.1.2", "IH_MCP_FFMPEG")


def test_an_explicit_one_that_does_not_run_is_an_error_though_others_would() -> None:
    with pytest.raises(MediaError) as caught:
        find_ffmpeg("/nowhere/ffmpeg")
    assert caught.value.code == "ffmpeg_missing"


def test_an_explicit_one_that_is_too_old_or_something_else_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"5\.1 or newer"):
        find_ffmpeg(program(tmp_path, "ffmpeg version 4.4.2-0ubuntu0", "old"))
    with pytest.raises(MediaError, match="is not ffmpeg"):
        find_ffmpeg(program(tmp_path, "avconv version 12", "other"))


def test_the_one_on_path_comes_before_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = program(tmp_path, "ffmpeg version 5.1.9-0+deb12u1 Copyright")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_ffmpeg() == Ffmpeg(path, "5.1.9-0+deb12u1", "PATH")


def test_the_wheel_serves_where_path_has_none_or_an_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_ffmpeg().found_by == "imageio-ffmpeg"
    program(tmp_path, "ffmpeg version 4.1 Copyright")
    assert find_ffmpeg().found_by == "imageio-ffmpeg"


@pytest.mark.usefixtures("no_wheel")
def test_where_there_is_none_every_way_to_get_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MediaError) as caught:
        find_ffmpeg()
    assert caught.value.code == "ffmpeg_missing"
    for way in ("IH_MCP_FFMPEG", "PATH", "imageio-ffmpeg"):
        assert way in caught.value.help


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("5.1", True),
        ("n9.0.2-17-g2a571b6068", True),
        ("10.0", True),
        ("N-118193-g5f38c82536", True),
        ("2026-01-01-git-abcdef", True),
        ("5.0.1", False),
        ("4.4.2-0ubuntu0.22.04.1", False),
    ],
)
def test_5_1_is_the_oldest(version: str, expected: bool) -> None:
    assert is_supported(version) is expected


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("6.0", True),
        ("n9.0.2-17-g2a571b6068", True),
        ("10.0", True),
        ("5.1.9-0+deb12u1", False),
        ("N-118193-g5f38c82536", False),  # it does not tell how old it is
    ],
)
def test_what_6_0_brought_is_used_where_it_is_known_to_be_there(
    version: str, expected: bool
) -> None:
    assert Ffmpeg("ffmpeg", version, "PATH").queues is expected


@pytest.mark.skipif(sys.platform != "linux", reason="the bundled binary of this platform differs")
def test_the_wheel_brings_one_that_serves(ffmpeg: Ffmpeg) -> None:
    assert ffmpeg.version


def test_what_a_run_may_take_follows_from_its_file() -> None:
    limits = FfmpegLimits(max_bytes=1 << 30, max_silent_seconds=7.0)
    copied, encoded, looked = (
        limits.to_copy(8_000, 100.0),
        limits.to_encode(100.0),
        limits.to_look(80),
    )
    assert (copied.processor_seconds, copied.waiting_seconds) == (260.0, 460.0)
    assert (encoded.processor_seconds, encoded.waiting_seconds) == (1_660.0, 3_260.0)
    assert (looked.processor_seconds, looked.waiting_seconds) == (70.0, 80.0)
    assert copied.memory_bytes - looked.memory_bytes == 990  # for the index of a file
    assert (encoded.memory_bytes, limits.to_copy(1 << 40, 1.0).memory_bytes) == (1 << 30, 1 << 30)
    assert {each.silent_seconds for each in (copied, encoded, looked, limits.to_decode())} == {7.0}
    assert limits.to_copy(8_000, None).processor_seconds == 60 + 2 * 86_400
