"""S8: the scan for the planted key can fail, and debug logs of every library hold no key."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import pytest

from tests.forked import forked_python
from tests.road.host import KEY, REPOSITORY, environment

from . import leaks

pytestmark = pytest.mark.timeout(120)

CASES = {
    "clean": ("nothing", 0),
    "plain in a file": ("(tmp_path / 'x.log').write_text(f'Bearer {KEY}')", 1),
    "half of it": ("(tmp_path / 'x').write_text(KEY[len(KEY) // 2:])", 1),
    "URL-coded": ("(tmp_path / 'x').write_text(quote(KEY, safe=''))", 1),
    "in JSON": ("(tmp_path / 'x').write_text(KEY.replace('+', '\\\\u002b'))", 1),
    "in hex": ("(tmp_path / 'x').write_text(KEY.encode().hex())", 1),
    "printed": ("print(KEY)", 1),
    "in an answer": ("look('an answer', KEY)", 1),
    "in a command line": (
        "until_seen([sys.executable, '-ISc', WAITS, KEY])",
        1,
    ),
    "in the environment of ffmpeg": (
        "until_seen(['ffmpeg', '-ISc', WAITS], executable=sys.executable, env={'KEY': KEY})",
        1,
    ),
}
BASE64 = {
    f"base64 after {before} bytes": (
        f"(tmp_path / 'x').write_bytes(base64.b64encode(b'x' * {before} + KEY.encode() + b'yz'))",
        1,
    )
    for before in range(4)
}
TEST = """
import base64, subprocess, sys, time
from urllib.parse import quote
from tests import leaks
from tests.leaks import KEY, Leaks, look

WAITS = "import sys; sys.stdin.read()"

def until_seen(command, **options):
    with subprocess.Popen(command, stdin=subprocess.PIPE, **options):
        while not leaks._SEEN:
            time.sleep(0.01)

def test_one(tmp_path):
    {act}
"""


@pytest.mark.parametrize("name", CASES | BASE64)
def test_a_key_that_leaks_fails_the_run(name: str, tmp_path: Path) -> None:
    act, code = (CASES | BASE64)[name]
    act = "pass" if act == "nothing" else act
    (tmp_path / "test_made.py").write_text(TEST.format(act=act), encoding="utf-8")
    (tmp_path / "conftest.py").write_text(
        "from tests.leaks import Leaks\n\n"
        "def pytest_configure(config):\n    config.pluginmanager.register(Leaks())\n",
        encoding="utf-8",
    )
    with TemporaryDirectory() as outside:  # of this run's own folder, which is scanned too
        done = _pytest(tmp_path, "-p", "no:cacheprovider", f"--basetemp={outside}/made")
    assert done.returncode == code, done.stdout + done.stderr
    assert ("S8: the planted key was found" in done.stdout) == bool(code)


def _pytest(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [*forked_python(), "-m", "pytest", "-q", "-c", os.devnull, f"--rootdir={folder}"]
    return subprocess.run(
        [*command, *more, str(folder)],
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "IH_MCP_PLANTED_KEY": "ih_test_0ther+K3y~for.this9Run4Alone",
        },
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_form_of_the_key_is_found_wherever_it_stands() -> None:
    for before in range(5):
        text = base64.b64encode(b"x" * before + f"Bearer {KEY}, and more".encode())
        assert leaks._PATTERN.search(text), before
    assert leaks._PATTERN.search(quote(KEY, safe="").encode())
    assert not leaks._PATTERN.search(b"ih_test_other and ih_test_ of another kind" * 100)


WAYS: dict[str, Callable[[str], str]] = {
    "plain": lambda key: key,
    "repr": repr,
    "repr of bytes": lambda key: repr(key.encode(errors="surrogateescape")),
    "URL": lambda key: quote(key.encode(errors="surrogateescape"), safe=""),
    "JSON": json.dumps,
    "JSON in JSON": lambda key: json.dumps(json.dumps(key)),
    "base64": lambda key: base64.b64encode(key.encode(errors="surrogateescape")).decode(),
    "hex": lambda key: key.encode(errors="surrogateescape").hex(),
    "cut before its middle": lambda key: key[: len(key) // 2 - 2],
    "cut after its middle": lambda key: key[len(key) // 2 + 2 :],
    "without its odd character": lambda key: "".join(c for c in key if "!" <= c <= "~"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", leaks.ODD_KEYS)
def test_every_odd_key_is_found_however_it_is_written(name: str, way: str) -> None:
    text = f"invalid header: Bearer {WAYS[way](leaks.ODD_KEYS[name])} (see above)"
    assert leaks._PATTERN.search(text.encode(errors="surrogateescape"))


LOUD = """
import logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
logging.getLogger("ih_mcp").setLevel(logging.DEBUG)
from ih_mcp.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("auth", ["header", "subprotocol"])
@pytest.mark.parametrize(
    "arguments", [["stream", "{clip}", "--pace", "fast"], ["analyze", "{clip}"], ["token"]]
)
def test_debug_logs_of_every_library_hold_no_key(
    arguments: list[str], auth: str, dialogue: Path, tmp_path: Path
) -> None:
    """Against nobody, so that every call fails and is told of: errors like to quote."""
    env = environment(tmp_path, endpoint="http://127.0.0.1:9", IH_MCP_LOG="debug")
    env |= {"IH_MCP_AUTH": auth, "IH_MCP_RECONNECT": "false", "PYTHONASYNCIODEBUG": "1"}
    words = [word.format(clip=dialogue) for word in arguments]
    done = subprocess.run(
        [*forked_python(), "-c", LOUD, *words], env=env, capture_output=True, check=False
    )
    assert done.returncode != 0
    assert b"DEBUG" in done.stderr
    assert not leaks._PATTERN.search(done.stdout + done.stderr)
