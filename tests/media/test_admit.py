"""Only regular files inside the allowed folders are read, whatever they are called."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from ih_mcp.errors import MediaError, PathError
from ih_mcp.media.admit import admit, opened, read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path.resolve() / "allowed"
    place.mkdir()
    (place / "call.mp4").write_bytes(b"media")
    return place


def refused(path: str | Path, *allowed: Path) -> PathError:
    with pytest.raises(PathError) as caught:
        admit(str(path), allowed=allowed)
    return caught.value


def test_a_file_in_an_allowed_folder_is_admitted(folder: Path) -> None:
    assert admit(str(folder / "call.mp4"), allowed=[folder]) == folder / "call.mp4"


def test_a_relative_path_is_taken_from_the_first_folder(folder: Path) -> None:
    assert admit("call.mp4", allowed=[folder]) == folder / "call.mp4"


def test_a_file_outside_is_refused_and_the_folders_are_named(folder: Path) -> None:
    error = refused("/etc/passwd", folder)
    assert error.code == "path_not_allowed"
    assert str(folder) in str(error)
    assert "IH_MCP_MEDIA_DIRS" in error.help


@pytest.mark.parametrize("path", ["../secret.mp4", "x/../../secret.mp4", "../allowed-not/a.mp4"])
def test_a_way_out_of_the_folder_is_refused(path: str, folder: Path) -> None:
    (folder.parent / "secret.mp4").write_bytes(b"media")
    (folder.parent / "allowed-not").mkdir()
    assert refused(path, folder).code == "path_not_allowed"


def test_a_link_to_the_outside_is_refused_and_one_within_is_followed(folder: Path) -> None:
    outside = folder.parent / "outside.mp4"
    outside.write_bytes(b"media")
    (folder / "out.mp4").symlink_to(outside)
    (folder / "in.mp4").symlink_to(folder / "call.mp4")
    assert refused("out.mp4", folder).code == "path_not_allowed"
    assert admit("in.mp4", allowed=[folder]) == folder / "call.mp4"


def test_a_link_that_leads_in_circles_is_refused(folder: Path) -> None:
    (folder / "circle.mp4").symlink_to(folder / "circle.mp4")
    assert refused("circle.mp4", folder).code in {"not_a_file", "file_not_found"}


def test_a_near_miss_is_named_from_the_same_folder(folder: Path) -> None:
    error = refused("cal.mp4", folder)
    assert error.code == "file_not_found"
    assert error.facts["near"] == ["call.mp4"]
    assert "call.mp4" in error.help


def test_without_anything_like_it_or_a_folder_the_name_is_to_be_checked(folder: Path) -> None:
    for path in ("zzz.webm", "no-folder/call.mp4"):
        error = refused(path, folder)
        assert (error.code, error.facts["near"]) == ("file_not_found", [])
        assert error.help == "Check the name and its folder."


def test_what_is_outside_is_not_told_to_exist_or_not(folder: Path) -> None:
    exists, missing = refused("/etc/passwd", folder), refused("/etc/passwd-not", folder)
    assert exists.code == missing.code == "path_not_allowed"


def test_an_empty_file_is_refused(folder: Path) -> None:
    (folder / "empty.mp4").touch()
    assert refused("empty.mp4", folder).code == "empty_file"


@pytest.mark.parametrize("path", ["", " ", "a\0b", "x" * 5_000])
def test_what_is_no_path_is_refused(path: str, folder: Path) -> None:
    assert refused(path, folder).code in {"not_a_file", "file_not_found"}


def test_folders_pipes_and_sockets_are_refused(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    os.mkfifo(folder / "pipe.mp4")
    assert refused(folder, folder).code == "not_a_file"
    assert refused("pipe.mp4", folder).code == "not_a_file"
    short = tmp_path_factory.mktemp("s").resolve()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short / "s"))
        assert refused(short / "s", short).code == "not_a_file"


def test_devices_are_refused_even_where_allowed() -> None:
    assert refused("/dev/zero", Path("/dev")).code == "not_a_file"


def test_nothing_is_allowed_without_folders() -> None:
    assert refused("/etc/passwd").code == "path_not_allowed"


async def test_an_admitted_file_is_told_to_ffmpeg_with_its_protocol(folder: Path) -> None:
    async with opened(folder / "call.mp4") as source:
        assert source.url.startswith("file:")
        assert source.size == 5


async def test_a_link_put_in_its_place_after_the_check_is_not_followed(folder: Path) -> None:
    path = admit("call.mp4", allowed=[folder])
    secret = folder.parent / "secret.mp4"
    secret.write_bytes(b"secret")
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(PathError):
        async with opened(path):
            pass


async def test_a_folder_replaced_by_a_link_after_the_check_is_noticed(folder: Path) -> None:
    inner = folder / "inner"
    inner.mkdir()
    (inner / "a.mp4").write_bytes(b"media")
    path = admit("inner/a.mp4", allowed=[folder])
    elsewhere = folder.parent / "elsewhere"
    inner.rename(elsewhere)
    inner.symlink_to(elsewhere)
    with pytest.raises(PathError):
        async with opened(path):
            pass


async def test_a_file_swapped_for_a_pipe_after_the_check_does_not_hang(folder: Path) -> None:
    path = admit("call.mp4", allowed=[folder])
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(PathError):
        async with opened(path):
            pass


async def test_a_file_removed_after_the_check_is_told(folder: Path) -> None:
    path = admit("call.mp4", allowed=[folder])
    path.unlink()
    with pytest.raises(PathError) as caught:
        async with opened(path):
            pass
    assert caught.value.code == "file_not_found"


def test_a_segments_file_is_read_whole_up_to_the_bound(folder: Path) -> None:
    assert read(folder / "call.mp4", max_bytes=5) == b"media"


@pytest.fixture
def growing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of five bytes that has ten by the time it is read."""
    path = folder / "call.mp4"
    real = os.fdopen

    def fdopen(descriptor: int, *rest: Any) -> BinaryIO:
        path.write_bytes(b"media+more")
        return real(descriptor, *rest)  # type: ignore[no-any-return]

    monkeypatch.setattr(os, "fdopen", fdopen)
    return path


def test_a_file_that_grows_is_read_as_it_is_then(growing: Path) -> None:
    assert read(growing, max_bytes=10) == b"media+more"


def test_a_file_that_grows_too_large_for_a_segment_is_refused(growing: Path) -> None:
    with pytest.raises(MediaError, match="has 6 bytes; a segment may have 5"):
        read(growing, max_bytes=5)


def test_a_file_that_is_too_large_for_a_segment_is_refused_with_its_size(folder: Path) -> None:
    with pytest.raises(MediaError) as caught:
        read(folder / "call.mp4", max_bytes=4)
    error = caught.value
    assert error.code == "segment_too_large"
    assert str(error).startswith("'call.mp4' has 5 bytes; a segment may have 4")
    assert "Cut shorter segments" in error.help
    assert "Nothing was sent" in error.help


def test_another_file_in_its_place_is_not_read(folder: Path) -> None:
    path = admit("call.mp4", allowed=[folder])
    secret = folder.parent / "secret.mp4"
    secret.write_bytes(b"secret")
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(PathError, match="cannot be opened"):
        read(path, max_bytes=100)
