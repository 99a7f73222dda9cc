"""Forks the workers of a run of pytest: `python -m tests.forked.workers SOCKET ARGUMENT ...`.

Three quarters of what a worker does before its first test is to import what it collects. Here that
is done once for all of them.
"""

from __future__ import annotations

import sys
from functools import partial

import pytest

from .server import main


class _Modules:
    """A plugin that makes no test of what a module holds: to import it is enough."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makeitem(self) -> list[pytest.Item]:
        return []


def import_tests(arguments: list[str]) -> None:
    """Import what is collected for these arguments; what cannot be, a worker will tell.

    Nothing is captured: what a module takes to be standard error has to stay that.
    """
    silent = ["-o", "addopts=", "-p", "no:terminal", "--capture=no"]
    pytest.main(["--collect-only", *silent, *arguments], plugins=[_Modules()])


if __name__ == "__main__":
    main(sys.argv[1], partial(import_tests, sys.argv[2:]))
