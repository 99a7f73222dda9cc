"""The file that was meant is opened, and no other; programs come from PATH alone."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

import pytest

from ih_mcp.errors import PathError
from ih_mcp.files import (
    find_program,
    list_candidates,
    normalize_path,
    open_file,
    show_name,
    strip_prefix,
)
from ih_mcp.net.listen import address_option
from tests.descriptors import opened_within


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path.resolve() / "a" / "b"
    place.mkdir(parents=True)
    (place / "talk.mp4").write_bytes(b"media")
    return place


def test_the_open_file_and_what_is_known_of_it(folder: Path) -> None:
    descriptor, status = open_file(folder / "talk.mp4")
    try:
        assert os.read(descriptor, 10) == b"media"
        assert status.st_size == 5
    finally:
        os.close(descriptor)


def _linked_file(folder: Path) -> None:
    (folder / "talk.mp4").rename(folder / "other.mp4")
    (folder / "talk.mp4").symlink_to(folder / "other.mp4")


def _linked_folder(folder: Path) -> None:
    folder.rename(folder.with_name("aside"))
    folder.symlink_to(folder.with_name("aside"))


def _linked_above(folder: Path) -> None:
    folder.parent.rename(folder.parent.with_name("aside"))
    folder.parent.symlink_to(folder.parent.with_name("aside"))


def _file_as_folder(folder: Path) -> None:
    (folder / "talk.mp4").unlink()
    folder.rmdir()
    folder.write_bytes(b"file")


@pytest.mark.parametrize("swap", [_linked_file, _linked_folder, _linked_above, _file_as_folder])
def test_a_link_anywhere_on_the_way_is_not_followed(
    swap: Callable[[Path], None], folder: Path
) -> None:
    swap(folder)
    with pytest.raises(PathError, match="not where it was when it was allowed"):
        open_file(folder / "talk.mp4")


def test_what_was_removed_emptied_or_replaced_is_told(folder: Path) -> None:
    path = folder / "talk.mp4"
    path.write_bytes(b"")
    with pytest.raises(PathError) as empty:
        open_file(path)
    path.unlink()
    with pytest.raises(PathError) as removed:
        open_file(path)
    path.mkdir()
    with pytest.raises(PathError) as replaced:
        open_file(path)
    codes = [caught.value.code for caught in (empty, removed, replaced)]
    assert codes == ["empty_file", "file_not_found", "not_a_file"]


def test_what_cannot_be_opened_is_told_with_the_system_s_words(folder: Path) -> None:
    with pytest.raises(PathError, match="cannot be opened: File name too long") as caught:
        open_file(folder / ("x" * 300))
    assert caught.value.code == "not_a_file"


def test_a_file_that_may_not_be_read_is_told(folder: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (folder / "talk.mp4").chmod(0)
    with pytest.raises(PathError, match="cannot be opened: Permission denied"):
        open_file(folder / "talk.mp4")


def test_descriptors_are_closed_whatever_is_found(folder: Path, tmp_path: Path) -> None:
    (folder / "empty.mp4").touch()
    (folder / "link.mp4").symlink_to(folder / "talk.mp4")
    for name in ("empty.mp4", "link.mp4", "none.mp4", "none/none.mp4", "talk.mp4/x"):
        for _ in range(20):
            with pytest.raises(PathError):
                open_file(folder / name)
    assert opened_within(tmp_path.resolve()) == []


@pytest.mark.parametrize(
    ("path", "whole"),
    [
        (PurePosixPath("/v/./a/../b.mp4"), PurePosixPath("/v/b.mp4")),
        (PurePosixPath("/../../v"), PurePosixPath("/v")),
        (PurePosixPath("//v/a"), PurePosixPath("/v/a")),
        (PureWindowsPath("C:\\v\\..\\w\\a"), PureWindowsPath("C:\\w\\a")),
        (PureWindowsPath("\\\\host\\share\\..\\..\\x"), PureWindowsPath("\\\\host\\share\\x")),
    ],
)
def test_a_path_is_made_normal_by_its_letters(path: PurePath, whole: PurePath) -> None:
    assert normalize_path(path) == whole


def test_a_name_in_a_text_is_short_and_harmless() -> None:
    assert show_name("a\nb\u202e") == "'a\\nb\\u202e'"
    assert len(show_name("x" * 10_000)) < 250


def test_the_prefixes_of_windows_are_taken_off() -> None:
    assert strip_prefix("\\\\?\\C:\\v\\a.mp4") == "C:\\v\\a.mp4"
    assert strip_prefix("\\\\?\\UNC\\nas\\share\\a.mp4") == "\\\\nas\\share\\a.mp4"
    assert strip_prefix("C:\\v\\a.mp4") == "C:\\v\\a.mp4"


def test_a_program_is_never_taken_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = tmp_path / "project", tmp_path / "bin"
    for folder in (bad, good):
        folder.mkdir()
        (folder / "ffmpeg").write_text("#!/bin/sh\n")
        (folder / "ffmpeg").chmod(0o755)
    monkeypatch.chdir(bad)
    for entries in (["", ".", "..", str(good)], [".", "bin", str(good)]):
        monkeypatch.setenv("PATH", os.pathsep.join(entries))
        assert find_program("ffmpeg") == str(good / "ffmpeg")
    (good / "ffmpeg").chmod(0o644)
    assert find_program("ffmpeg") is None


def test_on_windows_a_program_is_an_exe_of_an_absolute_folder_of_path() -> None:
    entries = ["", ".", "bin", "C:bin", "\\bin", "C:\\Program Files\\ffmpeg\\bin", "D:\\x"]
    folders = [PureWindowsPath(entry) for entry in entries]
    assert [str(place) for place in list_candidates("ffmpeg", folders)] == [
        "C:\\Program Files\\ffmpeg\\bin\\ffmpeg.exe",
        "D:\\x\\ffmpeg.exe",
    ]
    (place,) = list_candidates("ffmpeg.EXE", folders[-1:])
    assert place == PureWindowsPath("D:\\x\\ffmpeg.exe")


def test_a_port_is_claimed_for_this_process_alone() -> None:
    if sys.platform == "win32":
        assert address_option() == socket.SO_EXCLUSIVEADDRUSE
    else:
        assert address_option() == socket.SO_REUSEADDR
