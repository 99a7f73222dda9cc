"""`ih-mcp standin` as a process: its settings, its address, its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import httpx2
import pytest

from tests.forked import REAL, forked

COMMAND = [*forked(), "standin"]


def test_it_says_where_it_is_and_how_it_is_set_up() -> None:
    command = [*COMMAND, "--strict", "--analysis-speed", "2.5", "--analyst", "placeholder"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        told = httpx2.get(url, timeout=30).json()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert (told["strict"], told["analysis_speed"]) == (True, 2.5)
    assert "speaks the API of Interhuman, and is not it" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("speed", ["0", "nan"])
def test_a_speed_that_is_none_is_refused(speed: str) -> None:
    done = subprocess.run(
        [*COMMAND, f"--analysis-speed={speed}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--analysis-speed" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)]
)
def test_a_script_that_started_it_in_the_background_can_end_it(number: int, code: int) -> None:
    """A shell without job control starts `command &` with SIGINT ignored."""
    with subprocess.Popen(
        ["/bin/sh", "-c", 'exec "$@" & echo $!; wait $!', "sh", *REAL, "standin"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as shell:
        assert shell.stdout
        pid = int(shell.stdout.readline())
        assert shell.stdout.readline().startswith("http://127.0.0.1:")
        os.kill(pid, number)
        assert shell.wait(10) == (code if code > 0 else 128 - code)
