"""A file that a person names on the command line, as shells let them name it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ih_mcp.app.runtime import open_runtime
from ih_mcp.errors import PathError
from ih_mcp.settings import read_settings


@pytest.mark.parametrize(
    ("named", "real"),
    [
        ("clip.mp4", "here/clip.mp4"),
        ("./sub/clip.mp4", "here/sub/clip.mp4"),
        ("sub/clip.mp4", "here/sub/clip.mp4"),
        ("../other/clip.mp4", "other/clip.mp4"),
        pytest.param(
            "link.mp4",
            "other/clip.mp4",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="links need a right there"),
        ),
    ],
)
async def test_a_file_is_found_from_where_the_person_stands(
    named: str, real: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("here/sub", "other"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("here/clip.mp4", "here/sub/clip.mp4", "other/clip.mp4"):
        (tmp_path / name).write_bytes(b"x")
    if sys.platform != "win32":
        (tmp_path / "here/link.mp4").symlink_to("../other/clip.mp4")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("IH_MCP_MEDIA_DIRS", raising=False)
    monkeypatch.delenv("CLAUDE_PROJECT_DIR", raising=False)
    settings = read_settings(data_dir=tmp_path / "data")
    async with open_runtime(settings, trusted=True) as runtime:
        assert (await runtime.find_file(named)).path == (tmp_path / real).resolve()
        with pytest.raises(PathError, match="there is no file"):
            await runtime.find_file("sub/none.mp4")
