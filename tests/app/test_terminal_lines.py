"""Lines for a person's terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ih_mcp.app.terminal_lines import terminal_line
from ih_mcp.settings import read_settings


@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_a_folder_of_its_own_is_named(
    platform: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    line = terminal_line(read_settings(data_dir=tmp_path), "list")
    if platform == "win32":
        assert line.endswith(f" list (with IH_MCP_DATA_DIR={tmp_path} set)")
    else:
        assert line.startswith(f"env IH_MCP_DATA_DIR={tmp_path} ")
        assert line.endswith(" list")
