"""What is looked at before anything is sent."""

from __future__ import annotations

from pathlib import Path

from ih_mcp.app.setup_check import _is_writable


def test_a_folder_can_be_written_to_where_it_is_or_can_be_made(tmp_path: Path) -> None:
    folder = tmp_path / "mirror" / "of today"
    assert _is_writable(folder)
    assert _is_writable(folder)  # it is there now
    assert not list(folder.iterdir())
    (tmp_path / "file").touch()
    assert not _is_writable(tmp_path / "file")
