"""Only regular files inside the allowed folders are read, whatever they are called."""

from __future__ import annotations

import os
import socket
from pathlib import Path, PureWindowsPath
from typing import Any, BinaryIO

import pytest

from ih_mcp.errors import MediaError, PathError
from ih_mcp.media.file_admission import admit, beneath, find, opened, read_admitted, require_no_text
from tests.descriptors import opened_within


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


def test_a_relative_path_is_looked_for_in_every_folder(folder: Path) -> None:
    other = folder.parent / "other"
    (other / "sub").mkdir(parents=True)
    (other / "sub" / "talk.mp4").write_bytes(b"media")
    assert admit("call.mp4", allowed=[other, folder]) == folder / "call.mp4"
    assert admit("sub/talk.mp4", allowed=[folder, other]) == other / "sub" / "talk.mp4"
    assert admit("../other/sub/talk.mp4", allowed=[folder, other]) == other / "sub" / "talk.mp4"


def test_a_relative_path_that_two_folders_have_is_refused_and_both_are_named(folder: Path) -> None:
    other = folder.parent / "other"
    other.mkdir()
    (other / "call.mp4").write_bytes(b"other")
    error = refused("call.mp4", folder, other)
    assert error.code == "ambiguous_path"
    assert error.facts["found"] == [str(folder / "call.mp4"), str(other / "call.mp4")]
    assert error.help == f"Give the whole path: {folder}/call.mp4 or {other}/call.mp4."
    (other / "call.mp4").unlink()
    (other / "call.mp4").symlink_to(folder / "call.mp4")
    assert admit("call.mp4", allowed=[folder, other]) == folder / "call.mp4"


def test_a_relative_path_that_no_folder_has_is_told_where_it_was_looked_for(folder: Path) -> None:
    error = refused("zzz.webm", folder, folder.parent)
    assert error.what == "there is no file 'zzz.webm' in the allowed folders"


def test_what_is_to_be_saved_first_is_told_where(folder: Path) -> None:
    for written in ("https://example.org/a.mp4", "-", "data:video/mp4;base64,AAAA"):
        assert refused(written, folder).help.endswith(
            f"then give the path of the file, in an allowed folder ({folder})."
        )
    assert "allowed folder" not in refused("rtsp://camera/1", folder).help


SCREEN = "Screen Recording 2026-08-28 at 8.55.11\u202fPM.mp4"


@pytest.mark.parametrize(
    ("real", "asked"),
    [
        (SCREEN, SCREEN.replace("\u202f", " ")),
        (SCREEN.replace("\u202f", " "), SCREEN),
        (SCREEN, SCREEN.replace("\u202f", "\u00a0")),
        ("Jo\u0308rg.mp4", "J\u00f6rg.mp4"),
        ("J\u00f6rg.mp4", "Jo\u0308rg.mp4"),
        ("Jo\u0308rg 1\u202fa/talk.mp4", "J\u00f6rg 1 a/talk.mp4"),
        ("What\uff1f.mp4", "What?.mp4"),
    ],
)
def test_a_name_that_looks_the_same_is_taken_and_that_is_told(
    real: str, asked: str, folder: Path
) -> None:
    (folder / real).parent.mkdir(exist_ok=True)
    (folder / real).write_bytes(b"media")
    for written in (asked, str(folder / asked), (folder / asked).as_uri()):
        found = find(written, allowed=[folder])
        assert found.path == folder / real
        (note,) = found.notes
        assert ascii(Path(real).name) in note
        assert "looks the same and was taken" in note
    assert find(str(folder / asked), allowed=None).path == folder / real


def test_the_very_name_comes_before_one_that_looks_the_same(folder: Path) -> None:
    for name in ("a b.mp4", "a\u00a0b.mp4"):
        (folder / name).write_bytes(b"media")
        found = find(name, allowed=[folder])
        assert (found.path.name, found.notes) == (name, ())


def test_where_two_look_the_same_the_difference_is_shown(folder: Path) -> None:
    for name in ("a\u202fb.mp4", "a\u00a0b.mp4"):
        (folder / name).write_bytes(b"media")
    error = refused("a b.mp4", folder)
    assert error.code == "file_not_found"
    assert "'a\\u202fb.mp4'" in error.help
    assert "'a\\xa0b.mp4'" in error.help


def test_nothing_outside_is_taken_for_one_that_looks_the_same(folder: Path) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "a\u202fb.mp4").write_bytes(b"secret")
    (folder / "linked").symlink_to(outside)
    (folder / "c\u202fd.mp4").symlink_to(outside / "a\u202fb.mp4")
    for path in ("linked/a b.mp4", str(outside / "a b.mp4"), "c d.mp4"):
        error = refused(path, folder)
        assert error.code in {"path_not_allowed", "file_not_found"}
        assert "u202fb" not in f"{error.what} {error.help} {error.facts}"


def test_nothing_outside_is_looked_at_where_another_folder_may_have_it(folder: Path) -> None:
    outside, other = folder.parent / "outside", folder.parent / "other"
    for place in (outside, other):
        place.mkdir()
    (outside / "a\u202fb.mp4").write_bytes(b"secret")
    (folder / "linked").symlink_to(outside)
    error = refused("linked/a b.mp4", folder, other)
    assert (error.code, "near" in error.facts) == ("file_not_found", False)


def test_did_you_mean_does_not_mind_upper_and_lower_case(folder: Path) -> None:
    error = refused("CALL.MP4", folder)
    assert error.facts["near"] == ["call.mp4"]
    assert error.help == "Did you mean call.mp4?"


def test_a_file_uri_is_taken(folder: Path) -> None:
    (folder / "a b#1.mp4").write_bytes(b"media")
    for uri in (f"file://{folder}/a%20b%231.mp4", f"file://localhost{folder}/a b#1.mp4"):
        assert admit(uri, allowed=[folder]) == folder / "a b#1.mp4"
    assert refused("file:///etc/passwd", folder).code == "path_not_allowed"
    assert refused(f"file://{folder}/%2e%2e/x.mp4", folder).code == "path_not_allowed"
    assert refused(f"file://{folder}/a%00.mp4", folder).code == "not_a_file"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("https://example.org/call.mp4", "is a URL"),
        ("rtsp://camera/1", "live stream"),
        ("'call.mp4'", "Did you mean call.mp4?"),
        ("call.mp4 ", "Did you mean call.mp4?"),
        ("call.mp4\n", "Did you mean call.mp4?"),
        ("C:\\Users\\me\\call.mp4", "path of Windows"),
        ("-", "standard input"),
        ("~nobody-here/call.mp4", "no user's name"),
    ],
)
def test_what_is_no_path_is_told_for_what_it_is(
    path: str, words: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    for allowed in ([folder], None):
        with pytest.raises(PathError) as caught:
            admit(path, allowed=allowed)
        assert caught.value.code == "file_not_found"
        assert words in f"{caught.value.what}. {caught.value.help}"


@pytest.mark.parametrize("name", ['"call".mp4', "~call.mp4", "call ", "-", "https:", "C:\\a.mp4"])
def test_a_file_that_is_really_called_so_is_taken(name: str, folder: Path) -> None:
    (folder / name).write_bytes(b"media")
    assert admit(name, allowed=[folder]) == folder / name


def test_a_folder_is_called_one_and_what_is_in_it_is_named(folder: Path) -> None:
    error = refused(folder, folder)
    assert error.what == f"{str(folder)!r} is a folder, not a file"
    assert error.help == "Give the path of one media file in it, such as 'call.mp4'."
    (folder / "README.md").write_bytes(b"what is here")
    assert refused(folder, folder).help == error.help
    assert refused(folder, folder).facts["files"] == ["call.mp4", "README.md"]


def test_home_is_what_the_tilde_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert admit("~/call.mp4", allowed=[folder]) == folder / "call.mp4"
    assert refused("~/call.mp4", folder.parent / "other").code == "path_not_allowed"
    assert refused("~/absent.mp4", folder.parent / "other").code == "path_not_allowed"


# --- by letters, before the disk -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "rest"),
    [
        ("a.mp4", "a.mp4"),
        ("sub\\..\\a.mp4", "a.mp4"),
        ("C:\\Videos\\a.mp4", "a.mp4"),
        ("c:/videos/A.mp4", "A.mp4"),
        ("C:a.mp4", "a.mp4"),
        ("..\\a.mp4", None),
        ("C:\\Videos-not\\a.mp4", None),
        ("D:\\Videos\\a.mp4", None),
        ("D:a.mp4", None),
        ("\\a.mp4", None),
        ("\\\\evil.example\\share\\a.mp4", None),
        ("//evil.example/share/a.mp4", None),
        ("\\\\?\\UNC\\evil.example\\share\\a.mp4", None),
        ("\\\\?\\C:\\Videos\\a.mp4", None),
        ("\\\\.\\pipe\\x", None),
        ("\\\\.\\C:\\Videos\\a.mp4", None),
    ],
)
def test_on_windows_drive_share_and_device_have_to_be_the_folders(
    path: str, rest: str | None
) -> None:
    found = beneath(PureWindowsPath(path), PureWindowsPath("C:\\Videos"))
    assert found == (None if rest is None else PureWindowsPath(rest))


@pytest.fixture
def touched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every path that the disk is asked for."""
    paths: list[str] = []

    def watch(name: str) -> None:
        real = getattr(os, name)

        def call(path: Any, *rest: Any, **named: Any) -> Any:
            paths.append(os.fspath(path) if isinstance(path, str | os.PathLike) else "")
            return real(path, *rest, **named)

        monkeypatch.setattr(os, name, call)

    for name in ("stat", "lstat", "readlink", "open", "scandir", "access"):
        watch(name)
    return paths


@pytest.mark.parametrize(
    "path",
    [
        "/net/evil.example/share/x.mp4",
        "//net/evil.example/share/x.mp4",
        "file:///net/evil.example/share/x.mp4",
        "../../../../../../../../net/evil.example/x.mp4",
        "{folder}/../../../../../../../net/evil.example/x.mp4",
        "x/../../../../../../../../net/evil.example/../../tmp/none.mp4",
        "~/../../../net/evil.example/x.mp4",
    ],
)
def test_a_path_outside_is_refused_before_the_disk_is_touched(
    path: str, folder: Path, touched: list[str]
) -> None:
    assert refused(path.format(folder=folder), folder).code == "path_not_allowed"
    assert [found for found in touched if "/net" in found] == []


def test_a_way_out_and_back_does_not_touch_what_is_outside(
    folder: Path, touched: list[str]
) -> None:
    up = "../" * len(folder.parts)
    path = f"{up}net/evil.example/../..{folder}/call.mp4"
    assert admit(path, allowed=[folder]) == folder / "call.mp4"
    assert [found for found in touched if "/net" in found] == []


def test_a_way_back_over_a_link_is_refused(folder: Path) -> None:
    """By its letters it would be another file than by the system."""
    (folder / "in" / "deep").mkdir(parents=True)
    (folder / "in" / "call.mp4").write_bytes(b"other")
    (folder / "link").symlink_to(folder / "in" / "deep")
    assert refused("link/../call.mp4", folder).code == "path_not_allowed"
    assert admit("in/../call.mp4", allowed=[folder]) == folder / "call.mp4"


def test_an_allowed_folder_goes_by_every_name_it_has(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = folder.parent / "home"
    link.symlink_to(folder.parent)
    monkeypatch.setenv("HOME", str(link))
    monkeypatch.delenv("PWD", raising=False)
    for allowed in (folder, link / folder.name):
        for name in (folder, link / folder.name):
            assert admit(str(name / "call.mp4"), allowed=[allowed]) == folder / "call.mp4"


# --- the open file -------------------------------------------------------------------------------


async def test_an_open_file_is_closed_in_the_end(folder: Path) -> None:
    for _ in range(20):
        async with opened(folder / "call.mp4"):
            assert opened_within(folder) == [folder / "call.mp4"]
    for _ in range(20):
        with pytest.raises(LookupError):
            async with opened(folder / "call.mp4"):
                raise LookupError
    assert opened_within(folder.parent) == []


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
    assert refused("circle.mp4/call.mp4", folder).code == "not_a_file"


def test_a_near_miss_is_named_from_the_same_folder(folder: Path) -> None:
    error = refused("cal.mp4", folder)
    assert error.code == "file_not_found"
    assert error.facts["near"] == ["call.mp4"]
    assert "call.mp4" in error.help


def test_without_anything_like_it_or_a_folder_the_name_is_to_be_checked(folder: Path) -> None:
    for path in ("zzz.webm", "no-folder/call.mp4"):
        error = refused(path, folder)
        assert (error.code, "near" in error.facts) == ("file_not_found", False)
        assert error.help == "Check the name and its folder."


def test_what_is_outside_is_not_told_to_exist_or_not(folder: Path) -> None:
    exists, missing = refused("/etc/passwd", folder), refused("/etc/passwd-not", folder)
    assert exists.code == missing.code == "path_not_allowed"


def test_an_empty_file_is_refused(folder: Path) -> None:
    (folder / "empty.mp4").touch()
    assert refused("empty.mp4", folder).code == "empty_file"


@pytest.mark.parametrize("path", ["", " ", "a\0b", "x" * 300, "x" * 5_000, "a\ud800"])
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
    assert read_admitted(folder / "call.mp4", max_bytes=5) == b"media"


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
    assert read_admitted(growing, max_bytes=10) == b"media+more"


def test_a_file_that_grows_too_large_for_a_segment_is_refused(growing: Path) -> None:
    with pytest.raises(MediaError, match="has 6 bytes; a segment may have 5"):
        read_admitted(growing, max_bytes=5)


def test_a_file_that_is_too_large_for_a_segment_is_refused_with_its_size(folder: Path) -> None:
    with pytest.raises(MediaError) as caught:
        read_admitted(folder / "call.mp4", max_bytes=4)
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
        read_admitted(path, max_bytes=100)


def test_a_text_is_no_segment() -> None:
    require_no_text("tone.pcm", bytes(100))
    with pytest.raises(MediaError, match=r"'\.env' is a text, not a segment") as caught:
        require_no_text(".env", b"API_KEY=x" * 9)
    assert caught.value.code == "not_media"
