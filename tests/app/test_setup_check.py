"""What is looked at before anything is sent."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ih_mcp.app.setup_check import _folders, _is_writable, _minutes
from ih_mcp.errors import ConfigurationError, PathError


def test_a_folder_can_be_written_to_where_it_is_or_can_be_made(tmp_path: Path) -> None:
    folder = tmp_path / "mirror" / "of today"
    assert _is_writable(folder)
    assert _is_writable(folder)  # it is there now
    assert not list(folder.iterdir())
    (tmp_path / "file").touch()
    assert not _is_writable(tmp_path / "file")


async def test_folders_are_listed_and_asked_for_where_not_all_may_be_read(tmp_path: Path) -> None:
    def runtime(*folders: Path, is_trusted: bool) -> Any:
        return SimpleNamespace(settings=SimpleNamespace(folders=folders), is_trusted=is_trusted)

    for is_trusted in (False, True):
        found = await _folders(runtime(tmp_path, tmp_path.parent, is_trusted=is_trusted))
        assert found == [str(tmp_path), str(tmp_path.parent)]
        with pytest.raises(ConfigurationError, match="missing is no folder"):
            await _folders(runtime(tmp_path, tmp_path / "missing", is_trusted=is_trusted))
    assert "an agent needs IH_MCP_MEDIA_DIRS" in await _folders(runtime(is_trusted=True))
    with pytest.raises(PathError, match="no folder is allowed"):
        await _folders(runtime(is_trusted=False))


@pytest.mark.parametrize(
    ("used", "promised", "left", "told"),
    [
        (0.0, 0.0, None, "0 used today, no limit"),
        (180.0, 0.0, 60.0, "3 used today, 1 left"),
        (180.0, 120.0, 0.0, "1 used today, 2 reserved for files that are being sent, 0 left"),
        (60.0, 120.0, None, "0 used today, 2 reserved for files that are being sent, no limit"),
    ],
)
async def test_minutes_that_are_reserved_are_not_told_as_used(
    used: float, promised: float, left: float | None, told: str
) -> None:
    async def answer(value: float | None) -> float | None:
        return value

    minutes = SimpleNamespace(
        used=lambda: answer(used), promised=lambda: answer(promised), left=lambda: answer(left)
    )
    runtime: Any = SimpleNamespace(minutes=minutes)
    assert await _minutes(runtime) == told
