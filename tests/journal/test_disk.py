"""Whose folder the journal may use."""

from __future__ import annotations

import errno
import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from ih_mcp.errors import ConfigurationError
from ih_mcp.journal.disk import is_read_only_journal, make_private, sync_file
from tests.descriptors import opened_within

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has other means")
ANOTHER = 54_321


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """In a folder of another user than root."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(folder, ANOTHER - 1, -1)
    return folder / "journal.db"


def test_root_may_use_the_folder_of_a_user(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    make_private(journal)
    assert journal.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_can_only_be_read_may_be_anybodys(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.touch(mode=0o666)
    monkeypatch.setattr(os, "geteuid", lambda: ANOTHER)
    monkeypatch.setattr(os, "access", lambda *_: False)
    make_private(journal)


def test_a_journal_that_is_a_link_is_refused(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    journal.symlink_to(journal.with_name("elsewhere"))
    with pytest.raises(ConfigurationError, match=r"journal\.db is a link, or no file"):
        make_private(journal)
    assert not journal.exists()


def test_a_folder_that_others_may_write_to_is_refused(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    journal.parent.chmod(0o720)
    with pytest.raises(ConfigurationError, match=r"other users may write to .*\(mode 0720\)"):
        make_private(journal)
    assert not journal.exists()


def test_no_other_user_may(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: ANOTHER)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        make_private(journal)
    assert not journal.exists()


@pytest.mark.parametrize("fails", [False, True])
def test_a_file_that_was_synced_is_left_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    def sync(_: int) -> None:
        synced.extend(opened_within(tmp_path))
        if fails:
            raise OSError(errno.EIO, "the disk is broken")

    file, synced = tmp_path / "journal.db", list[Path]()
    file.touch()
    monkeypatch.setattr("ih_mcp.journal.disk._sync_descriptor", sync)
    with pytest.raises(OSError, match="is broken") if fails else nullcontext():
        sync_file(file)
    assert synced == [file]
    assert opened_within(tmp_path) == []


@pytest.mark.parametrize("may_write", ["", "folder", "file", "folder and file"])
def test_a_journal_is_read_only_unless_its_folder_and_its_file_may_be_written(
    may_write: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite writes other files beside it."""
    path = tmp_path / "journal.db"
    names = {tmp_path: "folder", path: "file"}
    monkeypatch.setattr(os, "access", lambda asked, _: names[asked] in may_write)
    assert not is_read_only_journal(path)  # there is none
    path.touch()
    assert is_read_only_journal(path) is (may_write != "folder and file")
