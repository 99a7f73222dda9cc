"""A process that started by a fork ends as any process of Python."""

from __future__ import annotations

import subprocess
import sys

import pytest

from . import forked_python


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
