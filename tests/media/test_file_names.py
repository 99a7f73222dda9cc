"""What people and hosts write for a file, by letters alone."""

from __future__ import annotations

import os
import socket
import unicodedata

import pytest

from ih_mcp.errors import PathError
from ih_mcp.media.file_names import MAX_PATH_BYTES, alike, explained, near_misses, path_of, shown


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("file:///v/a.mp4", "/v/a.mp4"),
        ("file://localhost/v/a.mp4", "/v/a.mp4"),
        ("FILE://LOCALHOST/v/a.mp4", "/v/a.mp4"),
        (f"file://{socket.gethostname()}/v/a.mp4", "/v/a.mp4"),
        ("file:/v/a.mp4", "/v/a.mp4"),
        ("file:///v/a%20b.mp4", "/v/a b.mp4"),
        ("file:///v/J%C3%B6rg.mp4", "/v/Jörg.mp4"),
        ("file:///v/50%25.mp4", "/v/50%.mp4"),
        ("file:///v/50% off.mp4", "/v/50% off.mp4"),
        ("file:///v/#1 talk?.mp4", "/v/#1 talk?.mp4"),
        ("file:///v/%FF.mp4", "/v/\udcff.mp4"),
        ("/v/a%20b.mp4", "/v/a%20b.mp4"),
        ("file:x.mp4", "file:x.mp4"),
        ("50% off: a.mp4", "50% off: a.mp4"),
    ],
)
def test_a_file_uri_of_this_machine_is_a_path_and_a_path_stays(written: str, path: str) -> None:
    assert path_of(written, is_windows=False) == path


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("file:///C:/v/a.mp4", "C:/v/a.mp4"),
        ("file:///c%3A/v/a%20b.mp4", "c:/v/a b.mp4"),
        ("file://C:/v/a.mp4", "C:/v/a.mp4"),
        ("file://C:\\v\\a.mp4", "C:\\v\\a.mp4"),
        ("file://localhost/C:/a.mp4", "C:/a.mp4"),
        ("C:\\v\\a.mp4", "C:\\v\\a.mp4"),
    ],
)
def test_a_file_uri_of_windows_has_a_drive(written: str, path: str) -> None:
    assert path_of(written, is_windows=True) == path


def test_a_file_uri_of_another_machine_is_refused_with_its_name() -> None:
    with pytest.raises(PathError, match="another machine, 'nas'") as caught:
        path_of("file://nas/v/a.mp4", is_windows=False)
    assert "Copy the file to this machine" in caught.value.help


@pytest.mark.parametrize("written", ["", " ", "\n"])
def test_what_is_empty_is_no_path(written: str) -> None:
    with pytest.raises(PathError) as caught:
        path_of(written)
    assert caught.value.code == "not_a_file"
    assert caught.value.help == "Give the path of a file."


@pytest.mark.parametrize("written", ["a/" * 2_049, "../" * 130_000, "é" * 2_049, "x" * 4_097])
def test_a_path_longer_than_any_system_takes_is_refused(written: str) -> None:
    with pytest.raises(PathError, match=r"bytes; a path has 4_096 at most") as caught:
        path_of(written)
    assert caught.value.code == "not_a_file"
    assert len(caught.value.what) < 1_500


def test_the_longest_path_is_one() -> None:
    assert path_of("x" * MAX_PATH_BYTES) == "x" * MAX_PATH_BYTES


@pytest.mark.parametrize(
    ("written", "is_so", "helps"),
    [
        ("https://example.org/a.mp4", "is a URL", "Download it first"),
        ("HTTP://example.org/a.mp4", "is a URL", "Download it first"),
        ("s3://bucket/a.mp4", "is a URL", "Download it first"),
        ("rtsp://camera/1", "address of a live stream", "ih-mcp capture"),
        ("srt://camera:9000", "address of a live stream", "ih-mcp capture"),
        ("data:video/mp4;base64,AAAA", "is a data URI", "Write its bytes into a file"),
        ("file://", "without the whole path", "file:///"),
        ('"/v/a.mp4"', "quotation mark", "without quotation marks"),
        ("'a.mp4'", "quotation mark", "without quotation marks"),
        ("`a.mp4`", "quotation mark", "without quotation marks"),
        ("“a.mp4”", "quotation mark", "without quotation marks"),
        ("/v/a.mp4 ", "ends with a space or a line break", "without it"),
        ("/v/a.mp4\n", "ends with a space or a line break", "without it"),
        (" /v/a.mp4", "begins or ends with a space", "without it"),
        ("-", "stands for standard input", "Save it into a file"),
        ("C:\\Users\\a.mp4", "path of Windows", "on the system where ih-mcp runs"),
        ("C:/Users/a.mp4", "path of Windows", "on the system where ih-mcp runs"),
        ("\\\\nas\\share\\a.mp4", "network path of Windows", "mounted"),
        ("sub\\a.mp4", "has backslashes", "Separate folders by /"),
    ],
)
def test_what_is_no_path_is_called_what_it_is(written: str, is_so: str, helps: str) -> None:
    told = explained(written, is_windows=False)
    assert told
    assert is_so in told[0]
    assert helps in told[1]


@pytest.mark.parametrize("written", ["a.mp4", "/v/a b.mp4", "~/a.mp4", "-lead.mp4", "a:b.mp4"])
def test_a_path_is_a_path(written: str) -> None:
    assert explained(written, is_windows=False) is None


def test_a_path_of_windows_is_one_there() -> None:
    for written in ("C:\\Users\\a.mp4", "\\\\nas\\share\\a.mp4", "sub\\a.mp4"):
        assert explained(written, is_windows=True) is None


def test_names_are_alike_in_other_letter_forms_and_other_spaces_only() -> None:
    names = ["at 8.55\u202fPM.mp4", "Jo\u0308rg.mp4", "call.mp4", "CALL.mp4"]
    assert alike("at 8.55 PM.mp4", names) == [names[0]]
    assert alike("at 8.55\u00a0PM.mp4", names) == [names[0]]
    assert alike(unicodedata.normalize("NFC", "Jo\u0308rg.mp4"), names) == [names[1]]
    assert alike("Call.mp4", names) == []
    assert alike("at 8.55PM.mp4", names) == []


def test_near_names_are_found_in_upper_and_lower_case_and_without_quotes() -> None:
    assert near_misses("BASE.MP4", ["base.mp4", "zzz.webm"]) == ["base.mp4"]
    assert near_misses('"base.mp4"', ["base.mp4"]) == ["base.mp4"]
    assert near_misses("base.mp4 ", ["base.mp4"]) == ["base.mp4"]


def test_a_difference_that_nobody_sees_is_shown_as_escapes() -> None:
    assert shown("a\u202fb.mp4", "a b.mp4") == "'a\\u202fb.mp4'"
    assert shown("Jörg.mp4", "Jorg.mp4") == "Jörg.mp4"
    assert shown("Jo\u0308rg.mp4", "Jörg.mp4") == "'Jo\\u0308rg.mp4'"  # each can be printed
    assert shown("a\u200bb.mp4", "other.mp4") == "'a\\u200bb.mp4'"


def test_a_path_is_read_as_this_system_writes_them() -> None:
    written = "file:///C:/v/a.mp4"
    assert path_of(written) == path_of(written, is_windows=os.name == "nt")
    assert path_of(written, is_windows=True) != path_of(written, is_windows=False)
