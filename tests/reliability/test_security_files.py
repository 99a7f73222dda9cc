"""S25, S33, S35, S47: which file a name means, whoever writes the name or moves the file."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path, PureWindowsPath

import anyio
import anyio.lowlevel
import pytest

from ih_mcp import files
from ih_mcp.errors import MediaError, PathError
from ih_mcp.files import open_file, program_places
from ih_mcp.media.admit import admit, beneath, read
from ih_mcp.net.rest import open_rest
from ih_mcp.settings import read_settings
from ih_mcp.tools import disk
from ih_mcp.tools.disk import DiskCalls
from ih_mcp.tools.runtime import open_runtime
from ih_mcp.wire.rest import MAX_VIDEO_BYTES

from .budget import often, report

pytestmark = pytest.mark.timeout(120)


# --- S25: Windows, by reading --------------------------------------------------------------------


def test_s25_a_share_or_a_device_is_refused_by_its_letters() -> None:
    """A name such as `\\\\host\\share` would tell that host who asks."""
    folder = PureWindowsPath("C:\\Users\\me\\Videos")
    outside = ["\\\\evil\\s\\x.mp4", "//evil/s/x.mp4", "\\\\?\\UNC\\evil\\s\\x.mp4", "D:x.mp4"]
    outside += ["\\\\.\\pipe\\x", "\\\\?\\C:\\Users\\me\\Videos\\x.mp4", "C:\\Windows\\x.mp4"]
    assert [beneath(PureWindowsPath(path), folder) for path in outside] == [None] * len(outside)
    inside = beneath(PureWindowsPath("c:\\users\\ME\\videos\\x.mp4"), folder)
    assert inside == PureWindowsPath("x.mp4")


def test_s25_a_share_that_is_allowed_allows_no_other_of_its_host() -> None:
    folder = PureWindowsPath("\\\\nas\\videos\\mine")
    assert beneath(PureWindowsPath("\\\\NAS\\videos\\mine\\x.mp4"), folder)
    for path in ("\\\\nas\\other\\mine\\x.mp4", "\\\\nas\\videos\\mine\\..\\x.mp4"):
        assert beneath(PureWindowsPath(path), folder) is None


def test_s25_no_program_of_the_current_folder_is_started() -> None:
    entries = [PureWindowsPath(entry) for entry in ("", ".", "C:", "bin", "\\bin", "C:\\ffmpeg")]
    assert list(program_places("ffmpeg", entries)) == [PureWindowsPath("C:\\ffmpeg\\ffmpeg.exe")]


# --- S33: folders that are swapped ---------------------------------------------------------------


@pytest.fixture
def race(tmp_path: Path) -> Path:
    """An allowed folder whose `d` a thread may swap for a link to a secret's folder."""
    allowed = tmp_path.resolve() / "in"
    (allowed / "d").mkdir(parents=True)
    (allowed / "d" / "x.webm").write_bytes(b"inside")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.webm").write_bytes(b"SECRET")
    return allowed


def swap_forever(allowed: Path, stop: threading.Event) -> None:
    place, aside, outside = allowed / "d", allowed / "aside", allowed.parent / "out"
    while not stop.is_set():
        place.rename(aside)
        place.symlink_to(outside)
        place.unlink()
        aside.rename(place)


def test_s33_a_folder_that_is_swapped_is_never_read_outside(race: Path) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=swap_forever, args=(race, stop))
    thread.start()
    tries, inside, most = 0, 0, often(3_000, nightly=100_000)
    path = race / "d" / "x.webm"
    try:
        while tries < most or inside < 3:
            tries += 1
            try:
                assert read(path, max_bytes=100) == b"inside"
            except PathError:  # and no other error
                continue
            inside += 1
    finally:
        stop.set()
        thread.join()
    report("S33", "test_security_files.py", f"{tries} tries, {inside} inside, 0 outside")


@pytest.mark.skipif(os.name != "posix", reason="folders are walked on POSIX")
def test_s33_it_holds_where_folders_cannot_be_opened_by_name_alone(
    race: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS, which has no O_PATH."""
    monkeypatch.setattr(files, "_FOLDER", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    test_s33_a_folder_that_is_swapped_is_never_read_outside(race)


async def test_s33_an_upload_looks_again_at_kind_and_size(race: Path) -> None:
    path = admit("d/x.webm", allowed=[race])
    async with open_rest("http://127.0.0.1:9") as rest:
        os.truncate(path, MAX_VIDEO_BYTES + 1)
        with pytest.raises(MediaError) as grown:
            await rest.upload("/x", path, [], bearer="k")
        path.unlink()
        path.mkdir()
        with pytest.raises(PathError) as folder:
            await rest.upload("/x", path, [], bearer="k")
        path.rmdir()
        os.mkfifo(path)
        with pytest.raises(PathError) as pipe:
            await rest.upload("/x", path, [], bearer="k")
    codes = [caught.value.code for caught in (grown, folder, pipe)]
    assert codes == ["file_too_large", "not_a_file", "not_a_file"]


def test_s33_a_folder_that_may_only_be_searched_is_passed(race: Path) -> None:
    if os.geteuid() == 0 or not hasattr(os, "O_PATH"):
        pytest.skip("root may read every folder; elsewhere such a folder is refused")
    (race / "d").chmod(0o100)
    try:
        descriptor, _ = open_file(race / "d" / "x.webm")
        os.close(descriptor)
    finally:
        (race / "d").chmod(0o700)


# --- S35: long paths -----------------------------------------------------------------------------

LONG = [
    "a/" * 200_000,
    "../" * 130_000,
    "a/../" * 80_000,
    "x" * 400_000,
    "file:///" + "a/" * 200_000,
]


@pytest.mark.parametrize("path", LONG, ids=["down", "up", "there and back", "name", "uri"])
async def test_s35_a_long_path_is_refused_at_once(path: str, tmp_path: Path) -> None:
    settings = read_settings(endpoint="local", data_dir=tmp_path / "d", media_dirs=(tmp_path,))
    async with open_runtime(settings) as runtime:
        began, threads = time.process_time(), threading.active_count()
        for _ in range(20):
            with pytest.raises(PathError, match="bytes; a path has 4_096 at most"):
                await runtime.admit(path)
        assert time.process_time() - began < 1
        assert threading.active_count() <= threads + 8


async def test_s35_what_hangs_takes_no_thread_from_others_and_ends_in_a_refusal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(disk, "DISK_SECONDS", 0.2)
    calls, hangs, codes = DiskCalls(), threading.Event(), []

    async def call() -> None:
        with pytest.raises(PathError) as caught:
            await calls.call(lambda: hangs.wait(60))
        codes.append(caught.value.code)

    before = threading.active_count()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for _ in range(40):
                tasks.start_soon(call)
        assert codes == ["file_unreachable"] * 40
        assert threading.active_count() <= before + 8
        with pytest.raises(PathError, match="asked for before does not answer"):
            await calls.call(lambda: 1)  # at once: no thread is tried
        hangs.set()
        while calls.left_behind():
            await anyio.lowlevel.checkpoint()
        assert await calls.call(lambda: 1) == 1
