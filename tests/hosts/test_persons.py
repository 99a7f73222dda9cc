"""What a person sees of our tools in a host: the question for permission, progress, and a cancel.

Each host runs in a terminal, with a model of ours and without a login. What is found stands in
docs/host_calls.json, from which docs/hosts.md is drawn; a host that does otherwise fails here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.node import needs_node, node, program, run

from .driven import HOSTS, clean, compare, find_stream, read_lines, server_command
from .model import Call, Json, Model, open_model
from .test_hosts import env, home

if TYPE_CHECKING:
    from .terminal import Terminal

__all__ = ["env", "home"]  # fixtures
pytestmark = [
    needs_node,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.name == "nt", reason="a terminal of POSIX"),
]
_LIMIT = {"IH_MCP_ASK_OVER_MINUTES": "0.1"}
_FORM = "Send this media"
_SEND: Call = ("stream_file", {"path": "dialogue.mp4", "pace": "realtime"})
_PROGRESS = " s of media, "
_DOWN, _ENTER, _ESCAPE = "\x1b[B", "\r", "\x1b"
_ACCEPT = {"claude-code": (" ", _DOWN, _ENTER), "codex": (_ENTER,)}
"""The keys that answer our form with yes."""


def _wait_to_the_end(results: list[Json]) -> Json:
    return {"stream_id": find_stream(results), "wait_s": 25, "until": ["session.ended"]}


def _permission(lines: list[Json]) -> str:
    """What a host answers to our question, in either era."""
    answers = [line.get("result", {}) for line in lines]
    answers += [
        line.get("params", {}).get("inputResponses", {}).get("permission", {}) for line in lines
    ]
    found = [answer["action"] for answer in answers if "action" in answer]
    return found[0] if found else "not asked"


def _messages(stream_id: str, env: Mapping[str, str]) -> list[str]:
    command = [sys.executable, "-m", "ih_mcp", "messages", stream_id]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", HOSTS)
def test_a_host_without_a_person_permits_nothing(
    name: str, home: Path, env: dict[str, str]
) -> None:
    host = HOSTS[name]
    env = clean(env) | _LIMIT
    with open_model(host.wire, [_SEND]) as model:
        words = host.configure(model, server_command(home), env, home)
        run(host.which, *host.once, *words, env=env, cwd=home / "project")
    (refused,) = model.results
    assert "Nothing was sent" in "".join(host.texts(refused))
    assert "st_" not in "".join(host.texts(refused))
    compare(name, {"without a person": _permission(read_lines(home / "heard.jsonl"))})


class Session:
    """A host in a terminal, with a person who lets a model call our tools."""

    def __init__(self, terminal: Terminal, model: Model, home: Path) -> None:
        self._terminal = terminal
        self._model = model
        self._home = home

    def heard(self, method: str) -> Callable[[], bool]:
        """A condition: the host sent this."""
        return lambda: any(
            line.get("method") == method for line in read_lines(self._home / "heard.jsonl")
        )

    def reported(self) -> bool:
        """Whether the server sent a report of its progress while a call waits."""
        lines = read_lines(self._home / "said.jsonl")
        notes = [line["params"] for line in lines if "progress" in line.get("method", "")]
        return any(_PROGRESS in note["message"] for note in notes)

    def press(self, keys: Sequence[str]) -> None:
        for key in keys:  # one by one, as a person does: several at once are a paste
            self._terminal.wait(lambda: False, seconds=1)
            self._terminal.press(key)

    def give_turn(self, is_done: Callable[[], bool]) -> None:
        """Let the model answer until that is so; a host that has no tools yet gets more turns."""
        for _ in range(5):
            answered = len(self._model.others)

            def is_over(answered: int = answered) -> bool:
                return is_done() or len(self._model.others) > answered

            self.press(["go", _ENTER])
            assert self._terminal.wait(is_over, seconds=60), self._terminal.text
            if is_done():
                return
        raise AssertionError(self._model.others)


@pytest.mark.parametrize("name", HOSTS)
def test_what_a_person_sees_in_a_terminal(name: str, home: Path, env: dict[str, str]) -> None:
    from .terminal import end_daemons, open_terminal  # noqa: PLC0415 - of POSIX

    host = HOSTS[name]
    asks = name in _ACCEPT
    env = clean(env) | (_LIMIT if asks else {})
    env["PATH"] = os.pathsep.join([str(node().parent), env["PATH"]])
    calls: list[Call] = [_SEND, *[("poll_events", _wait_to_the_end)] * 2]
    with ExitStack() as stack:
        stack.callback(end_daemons, home / ".codex" / "app-server-daemon")
        model = stack.enter_context(open_model(host.wire, calls))
        words = host.configure(model, server_command(home), env, home)
        command = [*program(*host.which), *words]
        terminal = stack.enter_context(open_terminal(command, env, home / "project"))
        session = Session(terminal, model, home)
        assert terminal.wait(session.heard("tools/list"), seconds=60), terminal.text
        session.give_turn(lambda: bool(model.requests))
        if asks:
            assert terminal.wait(terminal.has_shown(_FORM), seconds=60), terminal.text
            assert terminal.has_shown("need your permission. Send it?")()
            session.press(_ACCEPT[name])
        assert terminal.wait(session.reported, seconds=60), terminal.text
        shows = terminal.wait(terminal.has_shown(_PROGRESS), seconds=5)
        terminal.press(_ESCAPE)
        tells = terminal.wait(session.heard("notifications/cancelled"), seconds=5)
        session.give_turn(lambda: len(model.results) == len(calls))
    assert _permission(read_lines(home / "heard.jsonl")) == ("accept" if asks else "not asked")
    read = host.texts(model.results[-1])[1:]
    assert read == _messages(find_stream(model.results), env)
    assert "session.ended" in read[-1], "the stream went on to the end of its file"
    found = {"asks a person": asks, "shows progress": shows, "tells of a cancel": tells}
    compare(name, found)
