"""S25, S33-S35, S41, S47: which file a name means, whoever writes the name or moves the file."""

from __future__ import annotations

import math
import os
import subprocess
import threading
import time
from pathlib import Path, PureWindowsPath

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ih_mcp import files
from ih_mcp.app import disk_calls
from ih_mcp.app.disk_calls import DiskCalls
from ih_mcp.app.runtime import open_runtime
from ih_mcp.errors import MediaError, PathError
from ih_mcp.files import list_candidates, open_file
from ih_mcp.journal import Retention, open_journal
from ih_mcp.media.containers.container import is_text
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.media.file_admission import admit, beneath, find, read_admitted
from ih_mcp.net.rest import open_rest
from ih_mcp.settings import read_settings
from ih_mcp.standin.server.serve import serve
from ih_mcp.wire.rest import MAX_VIDEO_BYTES
from tests.road.host import environment, open_host

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
    assert list(list_candidates("ffmpeg", entries)) == [PureWindowsPath("C:\\ffmpeg\\ffmpeg.exe")]


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
                assert read_admitted(path, max_bytes=100) == b"inside"
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
    refusal = "bytes; a path has 4_096 at most"
    async with open_runtime(settings) as runtime:
        with pytest.raises(PathError, match=refusal):  # by its thread, which has ended by that
            await runtime.find_file(path)
    began = time.thread_time()
    for _ in range(20):
        with pytest.raises(PathError, match=refusal):
            find(path, allowed=(tmp_path,))
    assert time.thread_time() - began < 1


async def test_s35_what_hangs_takes_no_thread_from_others_and_ends_in_a_refusal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(disk_calls, "DISK_SECONDS", 0.2)
    calls, hangs = DiskCalls(), threading.Event()
    codes: list[str] = []
    threads: set[int] = set()

    def hang() -> None:
        threads.add(threading.get_ident())
        hangs.wait(60)

    async def call() -> None:
        with pytest.raises(PathError) as caught:
            await calls.call(hang)
        codes.append(caught.value.code)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for _ in range(40):
                tasks.start_soon(call)
        assert codes == ["file_unreachable"] * 40
        assert len(threads) == 8
        with pytest.raises(PathError, match="asked for before does not answer"):
            await calls.call(lambda: 1)  # at once: no thread is tried
        hangs.set()
        while calls._running:  # a thread that began late does not hang yet
            await anyio.lowlevel.checkpoint()
        assert await calls.call(lambda: 1) == 1


async def test_s35_a_call_hangs_once_it_has_run_for_as_long_as_one_may() -> None:
    calls = DiskCalls()
    assert await calls.call(calls.hanging_calls) == 0  # itself, which has just begun
    calls._running["older"] = time.monotonic() - disk_calls.DISK_SECONDS
    assert await calls.call(calls.hanging_calls) == 1


# --- S34: bytes of the journal on the disk -------------------------------------------------------


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("journal.db*"))


@pytest.mark.parametrize(
    "body", ["", "a", "\x00" * 8, "\U0001f642" * 8], ids=["0", "1", "nul", "4"]
)
async def test_s34_the_bounds_are_of_bytes_on_the_disk(body: str, tmp_path: Path) -> None:
    retention = Retention(max_stream_bytes=1 << 16, max_bytes=1 << 20)
    async with open_journal(tmp_path, retention) as journal:
        log = await journal.begin("st_1", {"state": "open"})
        for _ in range(often(40, nightly=200)):
            for _ in range(2_000):
                log.append(body, leg=0)
            await log.flush()
        await journal.commit()
        assert log.last == often(80_000, nightly=400_000)
        assert log.disk_bytes <= 1 << 16
        page = await journal.read_page("st_1", log.oldest - 1, limit=10**6, max_chars=10**9)
        assert page.entries[-1].cursor == log.last
    size = size_of(tmp_path)
    report(
        "S34", "test_security_files.py", f"{log.last:,} messages of {len(body)}: {size >> 10} KiB"
    )
    assert size < 1 << 20


async def test_s34_streams_that_are_over_count_with_their_rows(tmp_path: Path) -> None:
    async with open_journal(tmp_path, Retention(max_bytes=1 << 20)) as journal:
        for number in range(4):
            log = await journal.begin(f"st_{number}", {"state": "open"})
            for _ in range(20_000):
                log.append("", leg=0)
            await log.write_record({"state": "ended"}, ended=True)
            journal.release(log)
        await journal.clean_up()
        assert [row.id for row in await journal.list_streams()] == ["st_3"]


# --- S41: what is pushed by its path -------------------------------------------------------------

TEXTS = {
    ".env": "OPENAI_API_KEY=sk-SECRET\nDB=postgres://u:SECRET@h/d\r\n",
    "short": "KEY=SECRET",
    "id_ed25519": "-----BEGIN OPENSSH PRIVATE KEY-----\n" + "U0VDUkVU" * 60 + "\n-----END",
    "notes.md": "\ufeff# J\u00f6rg sagt: SECRET \U0001f642\n" * 400,
    "talk.mp4": "SECRET\t" * 1_000,
}
SOUNDS = {
    "silence.pcm": bytes(3_200),
    "tone.pcm": b"".join(
        int(9_000 * math.sin(n / 5)).to_bytes(2, "little", signed=True) for n in range(3_200)
    ),
    "quiet": bytes([32, 0, 33, 255] * 800),
}


async def test_s41_a_text_is_not_pushed_into_a_stream_of_raw_sound(
    ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    for name, data in SOUNDS.items():
        (tmp_path / name).write_bytes(data)
    async with serve(ffmpeg=ffmpeg) as running:
        env = environment(tmp_path / "d", endpoint=running.url, IH_MCP_MEDIA_DIRS=str(tmp_path))
        async with open_host(env) as host:
            started = await host.call(
                "start_stream", api="v2", model="inter-2-audio", sample_rate=16_000
            )
            stream_id = started.status["stream_id"]
            for name in TEXTS:
                answer = await host.call("push_segment", stream_id=stream_id, path=name)
                assert answer.error["code"] == "not_media", answer.text
                assert "is a text, not a segment" in answer.text
                assert "SECRET" not in answer.text
            for name in SOUNDS:
                answer = await host.call("push_segment", stream_id=stream_id, path=name)
                assert answer.status["accepted"], answer.text
            await host.call("end_stream", stream_id=stream_id)
        (session,) = running.recorder.sessions
    assert session.segments
    report("S41", "test_security_files.py", f"{len(TEXTS)} texts refused")


@given(st.binary(max_size=64))
def test_s41_what_holds_a_byte_that_no_text_has_is_no_text(data: bytes) -> None:
    assert not is_text(b"OggS" + data + bytes(1))
    assert not is_text(data[:8])


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp", "Zs"]), min_size=9))
def test_s41_any_text_is_a_text_wherever_it_is_cut(text: str) -> None:
    assert is_text(text.encode())
    assert is_text((text * 5_000).encode()[:4_096])


# --- S47: the named file is the file -------------------------------------------------------------


def test_s47_a_tool_never_takes_one_of_two(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        (folder / "talk.mp4").write_bytes(folder.name.encode())
    for order in (folders, folders[::-1]):
        with pytest.raises(PathError) as refused:
            admit("talk.mp4", allowed=order)
        assert refused.value.code == "ambiguous_path"
    (folders[0] / "talk.mp4").unlink()
    assert read_admitted(admit("talk.mp4", allowed=folders), max_bytes=9) == b"b"


def test_s47_a_person_names_a_file_as_in_a_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here/talk.mp4", "here/deep/talk.mp4", "talk.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "here" / "link").symlink_to("deep")
    monkeypatch.chdir(tmp_path / "here")
    for name in ("talk.mp4", "./talk.mp4", "../talk.mp4", "link/talk.mp4", "link/../talk.mp4"):
        shell = subprocess.run(["cat", name], check=True, capture_output=True).stdout  # noqa: S607
        assert read_admitted(admit(name, allowed=None), max_bytes=99) == shell
