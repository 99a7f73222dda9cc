"""Standard output as the wire, and nothing else on it."""

from __future__ import annotations

import os

import pytest

from ih_mcp.mcp_server import stdout_writer


def test_without_a_standard_error_what_others_print_goes_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copied: list[tuple[int, int]] = []
    nothing = os.open(os.devnull, os.O_WRONLY)

    def copy(source: int, target: int) -> int:
        if source == 2:
            raise OSError("bad file descriptor")
        copied.append((source, target))
        return target

    monkeypatch.setattr(os, "dup", lambda _: nothing)
    monkeypatch.setattr(os, "open", lambda *_: nothing)
    monkeypatch.setattr(os, "close", copied.append)
    monkeypatch.setattr(os, "dup2", copy)
    with stdout_writer.open_stdout():
        monkeypatch.undo()
    os.close(nothing)
    assert copied == [(nothing, 1), nothing]
