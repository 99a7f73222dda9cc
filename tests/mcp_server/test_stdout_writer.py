"""Standard output as the wire, and nothing else on it."""

from __future__ import annotations

import os

import pytest

from ih_mcp.mcp_server import stdout_writer


def test_what_others_print_goes_to_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[tuple[int, int]] = []
    wire = os.open(os.devnull, os.O_WRONLY)
    monkeypatch.setattr(os, "dup", {1: wire}.__getitem__)
    monkeypatch.setattr(os, "dup2", lambda source, target: copied.append((source, target)))
    with stdout_writer.open_stdout() as opened:
        monkeypatch.undo()
        assert opened.fileno() == wire
    assert copied == [(2, 1)]


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
