"""Tests of the local cue engine; skipped where its packages are missing."""

import os

import pytest

from ih_mcp.standin.cues import missing_packages

if missing := missing_packages():
    pytest.skip(
        f"the local cue engine is not installed (pip install 'ih-mcp[local]'): {missing}",
        allow_module_level=True,
    )

long = pytest.mark.skipif(
    "IH_MCP_LONG_TESTS" not in os.environ, reason="takes long; `make test-cues` runs it"
)
