"""A process that started by a fork ends as any process of Python."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from . import Watched, forked_python, kill, process_id


@pytest.mark.parametrize(
    "code",
    [
        "print('said')",
        "raise SystemExit(3)",
        "raise SystemExit('words')",
        "raise SystemExit(-1)",
        "import atexit; atexit.register(print, 'last')",
        "import threading; threading.Timer(0.01, print, ['later']).start()",
        "async def work(): pass\nwork()",
        "import sys; sys.stdout = open('/dev/full', 'w'); print('said')",
        "import sys; sys.stdout.close()",
    ],
)
def test_what_is_said_and_the_status_are_those_of_python(code: str) -> None:
    here, there = (
        subprocess.run([*command, "-c", code], capture_output=True, text=True, check=False)
        for command in (forked_python(), [sys.executable])
    )
    assert (here.returncode, here.stdout) == (there.returncode, there.stdout)
    assert bool(here.stderr) == bool(there.stderr)


@pytest.mark.parametrize("said", [b"", b"\0\0\0\x09", b"\0\0\0\x02{}"[:5]])
def test_a_launcher_that_was_killed_at_its_start_ends_nothing_else(said: bytes) -> None:
    *_, path = command = forked_python()
    if path == sys.executable:
        pytest.skip("nothing starts by a fork here")
    with socket.socket(socket.AF_UNIX) as launcher:
        launcher.connect(path)
        launcher.sendall(said)
    assert subprocess.run([*command, "-c", "raise SystemExit(3)"], check=False).returncode == 3


def test_what_is_killed_is_gone_before_its_launcher() -> None:
    code = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
    with subprocess.Popen([*forked_python(), "-c", code], stdout=subprocess.PIPE) as started:
        assert started.stdout
        pid = int(started.stdout.readline())
        kill(started)
        assert started.wait() == -signal.SIGKILL
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="nothing starts by a fork here")
def test_no_process_outlives_the_server_that_forked_it(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    serves = "import sys; from tests.forked.server import main; main(sys.argv[1], lambda: None)"
    with subprocess.Popen(
        [sys.executable, "-c", serves, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as server:
        assert server.stdin
        assert server.stdout
        assert server.stdout.readline() == b"listening\n"
        code = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
        launcher = [sys.executable, "-I", "-S", str(Path(__file__).with_name("launcher.py")), path]
        with subprocess.Popen([*launcher, "-c", code], stdout=subprocess.PIPE) as started:
            assert started.stdout
            child = os.pidfd_open(int(started.stdout.readline()))
            server.stdin.close()
            assert select.select([child], [], [], 30)[0]
            os.close(child)
        assert started.returncode == 255  # nobody said how the process ended


def test_what_is_watched_is_the_process_itself_and_not_its_launcher() -> None:
    code = "import os; print(os.getpid(), flush=True); sum(range(10**7)); input(); os._exit(3)"
    command, pipe = [*forked_python(), "-c", code], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as started:
        assert started.stdin
        assert started.stdout
        pid = int(started.stdout.readline())
        with Watched(started) as watched:
            assert watched.pid == process_id(started) == pid
            started.stdin.write(b"\n")
            started.stdin.flush()
            watched.wait()
            counts = watched.last_counts()
        assert started.wait() == 3
    if Path("/proc/self/schedstat").exists():
        ran, waited, _ = map(int, counts.split())
        assert ran > 50_000_000
        assert waited >= 0
