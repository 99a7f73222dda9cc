"""Which process owns a stream, and whether it still lives.

Each process holds a lock on a file of its own for as long as it runs; the system lets go of
the lock when the process dies, however it dies. So a stream whose owner's lock can be taken
was left behind.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock, Timeout


class Owner:
    """This process, as the journal knows it. `close()` when the process is done."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.name = secrets.token_hex(8)
        self._lock = FileLock(self._path(self.name), mode=0o600)
        self._lock.acquire(blocking=False)

    def close(self) -> None:
        self._lock.release()
        self._path(self.name).unlink(missing_ok=True)

    def dead(self, names: Iterable[str]) -> set[str]:
        """Those of `names` whose process is gone."""
        return {name for name in set(names) - {self.name} if self._is_dead(name)}

    def _is_dead(self, name: str) -> bool:
        path = self._path(name)
        if not path.exists():
            return True
        lock = FileLock(path, mode=0o600)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        lock.release()
        path.unlink(missing_ok=True)
        return True

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.lock"
