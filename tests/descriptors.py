"""Which descriptors of this process belong to a test, whatever other threads open meanwhile.

A count of all of them would fail now and then: threads of other tests open and close theirs.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest


def opened_within(folder: Path) -> list[Path]:
    """The paths of this process's open descriptors of `folder` and of all below it."""
    opened = (Path(target) for target in _targets("self"))
    return [path for path in opened if path.is_relative_to(folder)]


def pipes_of(pid: int | str) -> set[str]:
    """The pipes and sockets that a process holds open; each is named by a number of its own."""
    return {target for target in _targets(pid) if target.startswith(("pipe:", "socket:"))}


def _targets(pid: int | str) -> list[str]:
    links = Path(f"/proc/{pid}/fd")
    if not links.is_dir():
        pytest.skip("only Linux tells in /proc what a descriptor is of")
    targets = []
    for link in links.iterdir():
        with suppress(FileNotFoundError):  # closed while we looked
            targets.append(str(link.readlink()))
    return targets
