"""A plugin of pytest that has coverage measure what tests start, each process under its test."""

from __future__ import annotations

import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):  # coverage is at work in this process; those to come read it
        os.environ["COVERAGE_PROCESS_START"] = config.option.cov_config
