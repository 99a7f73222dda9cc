"""A host's file is edited: what is not our entry stays, byte for byte, and goes back as it was."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ih_mcp.app.hosts import HOSTS, NAME, Host, Launch
from ih_mcp.cli import jsonc, main
from ih_mcp.cli.host_entry import changed, without

from .test_install import JSON_HOSTS, SECRET, file_of, home

__all__ = ["home"]  # a fixture

# --- JSON with comments, by chance ---------------------------------------------------------------

BLANK = st.sampled_from(["", " ", "\n", "\n  ", "\r\n\t", "\t"])
COMMENT = st.sampled_from(
    ["", "", "", '// a, "b": {\n', "/* , } */", "/* \n ] */", "// \u2028 \r\n"]
)
PLAIN = st.sampled_from(
    [
        '"x"',
        "1",
        "1.50",
        "1e3",
        "-0.0",
        "true",
        "null",
        '"// no comment"',
        '"\\ud800"',
        '"\u2028,}"',
    ]
)


@st.composite
def gap(draw: st.DrawFn) -> str:
    return draw(BLANK) + draw(COMMENT) + draw(BLANK)


@st.composite
def container(draw: st.DrawFn, depth: int = 0, names: tuple[str, ...] = ()) -> str:
    """An object or a list, written somehow."""
    is_object = bool(names) or draw(st.booleans())
    known = st.sampled_from(names or ("a", "b", ",", "c\\n"))
    keys = draw(st.lists(known, unique=True, max_size=3))
    items = []
    for key in keys:
        inner = container(depth + 1) if depth < 2 else PLAIN
        value = draw(inner if key in NAMES else PLAIN | inner)
        if key in NAMES and not value.startswith("{"):
            value = "{" + draw(gap()) + "}"
        label = f'"{key}"{draw(gap())}:{draw(gap())}' if is_object else ""
        items.append(draw(gap()) + label + value + draw(gap()))
    body = ",".join(items) if items else draw(gap())
    trailing = draw(st.booleans())
    if items and trailing:
        body += "," + draw(gap())
    return ("{" + body + "}") if is_object else ("[" + body + "]")


NAMES = ("mcpServers", "servers", "context_servers")
DOCUMENT = st.builds(
    lambda before, body, after: before + body + after,
    gap(),
    container(names=("a", "theme", *NAMES)),
    gap(),
)


def is_within(old: str, new: str) -> bool:
    """Whether all of the old text is in the new one, in its order."""
    rest = iter(new)
    return all(char in rest for char in old)


@settings(max_examples=400, deadline=None)
@given(DOCUMENT, st.sampled_from(JSON_HOSTS), st.booleans())
def test_only_our_entry_is_added_to_any_json(old: str, host: Host, local: bool) -> None:
    launch = Launch(command=["uvx", "ih-mcp", "--local"] if local else ["uvx", "ih-mcp"])
    new = changed(old, host, launch, NAME, file="f")
    before, after = jsonc.parse(old), jsonc.parse(new)
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert after[host.key].pop(NAME) == host.entry(launch)
    asked = after.pop("inputs", [])
    assert after == {**before, host.key: before.get(host.key, {})}
    assert is_within(old, new)
    added = Counter(new) - Counter(old)
    ours = json.dumps({host.key: {NAME: host.entry(launch)}, "inputs": asked})
    assert set(added) <= set(ours) | set("\r\n\t ,")
    assert changed(new, host, launch, NAME, file="f") == new
    back = without(new, host, NAME, file="f")
    assert jsonc.parse(back) == {**before, host.key: before.get(host.key, {})}
    if host.key in before and not asked:
        assert "".join(back.split()) == "".join(old.split()), "only blanks may differ"


@settings(max_examples=200, deadline=None)
@given(DOCUMENT)
def test_an_entry_that_changes_keeps_what_stands_around_it(old: str) -> None:
    host = HOSTS["zed"]
    first = changed(old, host, Launch(command=["mark"]), NAME, file="f")
    second = changed(first, host, Launch(command=["kram"]), NAME, file="f")
    assert second == first.replace('"mark"', '"kram"')


# --- TOML, by chance -----------------------------------------------------------------------------

TABLES = st.lists(
    st.sampled_from(
        [
            '[mcp_servers.other] # stays\ncommand = "x" # too\nnumber = 0x10\n',
            "[profiles.fast]\nwhen = 1979-05-27T07:32:00Z\n\n\n# alone\n",
            "[mcp_servers.\"a.b\".env]\nTOKEN = '''[mcp_servers.interhuman]\n'''\n",
            "[[many]]\nx = 1_000\n[[many]]\n\tx = 2\n",
            "[z]\nlist = [ # one\n  1,\n  2, # two\n]\n",
        ]
    ),
    unique=True,
)
TOP = st.sampled_from(["", "# mine\n", 'model = "o9"   # mine\n', "\n\na.b = 1\n", "x = {y = 1}"])


@settings(max_examples=200, deadline=None)
@given(TOP, TABLES, st.booleans(), st.booleans())
def test_only_our_table_is_added_to_any_toml(
    top: str, tables: list[str], dos: bool, ends: bool
) -> None:
    old = (top.rstrip("\n") + "\n" if tables else top) + "\n".join(tables)
    old = old if ends else old.rstrip("\n")
    old = old.replace("\n", "\r\n") if dos else old
    host = HOSTS["codex"]
    new = changed(old, host, Launch(), NAME, file="f")
    assert new.startswith(old)
    assert ("\n" in new.replace("\r\n", "")) is not ("\r\n" in old)
    later = changed(new, host, Launch(command=["x"], env={"A": "b"}), NAME, file="f")
    assert is_within(old, later)
    back = without(later, host, NAME, file="f")
    assert back.rstrip() == old.rstrip()
    assert tomllib.loads(back) == tomllib.loads(old)


# --- there and back, by the commands -------------------------------------------------------------

FILES: Mapping[str, list[str]] = {
    "json": [
        "",
        "{}",
        "{ }\n",
        '\ufeff{\r\n\t"theme": "One",\r\n}\r\n',
        '// Zed settings\n//\n{\n  "theme": "One", // mine\n}\n',
        '{"compact":{"a":1}}',
        '{\n    "KEY": {\n        "other": {"command": "x", "n": 1.50, "s": "\u2028"}\n    }\n}',
        '{\n  "KEY": {}\n}\n',
        '{\n\t"KEY": {\n\t\t"other": 1, /* c */\n\t},\n\t"x": "\\ud800",\n}',
        '{"KEY": {"other": {"env": {"T": "t"}} // c\n}, "big": 123456789012345678901234567890}',
        "// only this\r\n// and this",
        " \r\n\t",
    ],
    "toml": [
        "",
        "# mine\r\nmodel = 'o9'\r\n",
        '\ufeff[mcp_servers.other] # c\ncommand = "x"\n\n\n[profiles.fast]\nn = 0x10',
        "mcp_servers = { other = { command = 'x' } } # c\n",
        "a = 1\r\nb = 2\n[mcp_servers.other]\ncommand = 'x'\r\n",
        "x = [nan, -inf, 0x10, 1979-05-27, 07:32:00]\n",
    ],
}


@pytest.mark.parametrize("number", range(12))
@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_uninstall_gives_the_file_back_byte_for_byte(host: Host, number: int, home: Path) -> None:
    files = FILES[host.format]
    data = files[number % len(files)].replace("KEY", host.key).encode()
    path = file_of(host, home)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    assert main(["install", host.name]) == 0
    first = path.read_bytes()
    assert first.startswith(data[:3]) or not data.startswith("\ufeff".encode())
    assert is_within(data.decode(), first.decode())
    assert main(["install", host.name, "--local", "--key", SECRET]) == 0
    assert SECRET.encode() in path.read_bytes()
    assert main(["uninstall", host.name, "--dry-run"]) == 0
    assert SECRET.encode() in path.read_bytes()
    assert main(["uninstall", host.name]) == 0
    assert path.read_bytes() == data
    assert main(["uninstall", host.name]) == 0, "once more changes nothing"


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_an_entry_in_several_places_is_left_to_its_user(
    command: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(HOSTS["codex"], home)
    path.parent.mkdir(parents=True)
    text = "[mcp_servers.interhuman]\ncommand = 'x'\n[z]\n[mcp_servers.interhuman.env]\nA = 'b'\n"
    path.write_text(text)
    assert main([command, "codex"]) == 2
    assert path.read_text() == text
    told = capsys.readouterr().err
    assert "config.toml was not touched: interhuman is written in several places of it" in told
    assert "by hand" in told


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_uninstall_removes_a_file_that_install_made(host: Host, home: Path) -> None:
    assert main(["uninstall", host.name]) == 0
    main(["install", host.name])
    assert main(["uninstall", host.name]) == 0
    assert not file_of(host, home).exists()


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_uninstall_keeps_what_was_changed_meanwhile(host: Host, home: Path) -> None:
    path = file_of(host, home)
    path.parent.mkdir(parents=True, exist_ok=True)
    comment = "#" if host.format == "toml" else "//"
    start = "" if host.format == "toml" else "{}\n"
    path.write_text(start)
    main(["install", host.name])
    path.write_text(f"{comment} mine, later\n{path.read_text()}")
    assert main(["uninstall", host.name]) == 0
    left = path.read_text()
    assert left.startswith(f"{comment} mine, later\n")
    assert NAME not in left


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('{"m": {}}', '{"m": {"x": 1}}'),
        ('{\n  "m": {}\n}', '{\n  "m": {\n    "x": 1\n  }\n}'),
        ('{\n\t"m": {\n\t\t"y": 2\n\t}\n}', '{\n\t"m": {\n\t\t"y": 2,\n\t\t"x": 1\n\t}\n}'),
        ('{\n "m": {\n  "y": 2, // c\n }\n}', '{\n "m": {\n  "y": 2, // c\n  "x": 1,\n }\n}'),
        ('{"m": {"y": 2 // c\n}}', '{"m": {"y": 2, "x": 1 // c\n}}'),
        ('{\r\n  "m": {} // c\r\n}', '{\r\n  "m": {\r\n    "x": 1\r\n  } // c\r\n}'),
        ("// only a comment", '// only a comment\n{\n  "m": {\n    "x": 1\n  }\n}\n'),
    ],
)
def test_a_member_is_written_as_its_neighbours_are(old: str, new: str) -> None:
    assert jsonc.put(old, ["m", "x"], 1) == new
