"""The manifests of Kubernetes against its published schemas."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.road.host import REPOSITORY

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not os.environ.get("IH_MCP_TEST_PACKAGES"), reason="slow; `make packages` runs it"
    ),
]


def test_the_manifests_are_what_kubernetes_reads(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path], check=True)
    python = tmp_path / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "kubernetes-validate"], check=True)
    manifests = REPOSITORY / "examples" / "team" / "kubernetes.yaml"
    done = subprocess.run(
        [tmp_path / "bin" / "kubernetes-validate", "--strict", manifests],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("passed") == 3
