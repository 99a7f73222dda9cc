"""`ih-mcp standin` as a process: its settings, its address, its end."""

from __future__ import annotations

import signal
import subprocess

import httpx2
import pytest

from tests.forked import forked

COMMAND = [*forked(), "standin"]


def test_it_says_where_it_is_and_how_it_is_set_up() -> None:
    command = [*COMMAND, "--strict", "--analysis-speed", "2.5", "--analyst", "placeholder"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        told = httpx2.get(url, timeout=5).json()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=5)
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
