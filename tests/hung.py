"""A test that its own time limit could not end ends its process, and so fails by name.

The limit raises once, in whatever runs at that moment. Raised in a task that nobody awaits it is
lost; and once a test has failed, nothing bounds what it does afterwards. So each test has a second
limit, by which the process prints what its threads are doing and is gone. The others go on:
pytest-xdist says which test it was, and starts another process.
"""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Iterator

import pytest

GRACE_SECONDS = 60
"""How long after its limit a test may take to fail by it, on a busy machine."""


class Hung:
    """The plugin; `tests/conftest.py` registers it."""

    def __init__(self) -> None:
        self._stderr = os.dup(2)  # captured from a test, this would not be seen

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._bound(item)
        try:
            return (yield)
        finally:
            faulthandler.cancel_dump_traceback_later()

    @pytest.hookimpl(trylast=True)
    def pytest_exception_interact(self, node: pytest.Item | pytest.Collector) -> None:
        if isinstance(node, pytest.Item):  # for a debugger, pytest has just taken the limit away
            self._bound(node)

    def _bound(self, item: pytest.Item) -> None:
        marker = item.get_closest_marker("timeout")
        seconds = float(marker.args[0] if marker else item.config.getini("timeout"))
        faulthandler.dump_traceback_later(seconds + GRACE_SECONDS, file=self._stderr, exit=True)
