"""Whose folder the journal may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ih_mcp.errors import ConfigurationError
from ih_mcp.journal.disk import make_private

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


def test_no_other_user_may(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: ANOTHER)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        make_private(journal)
    assert not journal.exists()
