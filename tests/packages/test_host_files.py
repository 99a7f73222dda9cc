"""A host's file is edited: what is not our entry stays, byte for byte, and goes back as it was."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ih_mcp.app.hosts import HOSTS, NAME, Host, Launch
from ih_mcp.cli import jsonc, main
from ih_mcp.cli.host_entry import changed, parsed, without
from tests.reliability.budget import often

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


@settings(max_examples=often(60, nightly=1000), deadline=None)
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


@settings(max_examples=often(40, nightly=1000), deadline=None)
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


@settings(max_examples=often(40, nightly=1000), deadline=None)
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


# --- an entry that its user wrote, however it is written -----------------------------------------

MARK = Launch(command=["mark", "--local"], env={"A": "b \"'# ="})
KRAM = Launch(command=["kram", "--local"], env=MARK.env)
MORE = Launch(command=["kram", "--local"], env={**MARK.env, "C": "d"})
Lines = list[tuple[str, bool]]
"""Each line of a file, and whether it is of our entry."""


def name_in_toml(name: str) -> st.SearchStrategy[str]:
    escaped = f'"\\u{ord(name[0]):04x}{name[1:]}"'
    return st.sampled_from([name, name, f'"{name}"', f"'{name}'", escaped])


@st.composite
def dotted(draw: st.DrawFn, *names: str) -> str:
    dot = draw(st.sampled_from([".", " . ", "\t."]))
    return dot.join(draw(name_in_toml(name)) for name in names)


@st.composite
def value_in_toml(draw: st.DrawFn, value: object) -> str:
    if isinstance(value, list) and draw(st.booleans()):
        items = [json.dumps(item) + draw(st.sampled_from([",", " , # [", ",\n"])) for item in value]
        return "[ # {\n" + "\n".join(items) + "\n]"
    if isinstance(value, str) and "'" not in value and draw(st.booleans()):
        return f"'{value}'" if value != "mark" else '"mark"'
    return json.dumps(value)


@st.composite
def lines_of_toml(draw: st.DrawFn, entry: Mapping[str, Any], *named: str) -> list[str]:
    """The members of a table, a line or more each; `named` is what their names begin with."""
    lines = []
    for name, value in draw(st.permutations(list(entry.items()))):
        blanks = draw(st.sampled_from(["", " ", "\t"]))
        comment = draw(st.sampled_from(["", " # ]", ' # "x" = {']))
        if not isinstance(value, Mapping):
            written = draw(value_in_toml(value))
            lines.append(f"{blanks}{draw(dotted(*named, name))}={blanks}{written}{comment}\n")
        elif draw(st.booleans()):
            lines += draw(lines_of_toml(value, *named, name))
        else:
            braces = draw(braces_of_toml(value))
            lines.append(f"{blanks}{draw(dotted(*named, name))} = {braces}{comment}\n")
    return lines


@st.composite
def braces_of_toml(draw: st.DrawFn, entry: Mapping[str, Any], *named: str) -> str:
    """A table in braces, or with `named` the members alone."""
    members = []
    for name, value in draw(st.permutations(list(entry.items()))):
        if not isinstance(value, Mapping):
            members.append(f"{draw(dotted(*named, name))} ={draw(value_in_toml(value))}")
        elif draw(st.booleans()):
            members.append(draw(braces_of_toml(value, *named, name)))
        else:
            members.append(f"{draw(dotted(*named, name))}={draw(braces_of_toml(value))}")
    joined = draw(st.sampled_from([",", " , "])).join(members)
    return joined if named else f"{{{joined}}}"


OF_OTHERS = (
    "# mine\n",
    "\n",
    'other.command = "mark"\n',
    "'o.p' = { x = [1] } # }\n",
    "t = 07:32:00\n",
)


@st.composite
def with_names(draw: st.DrawFn, entry: Mapping[str, Any]) -> Lines:
    """Dotted names, or braces, between the lines of others, under a header or above them all."""
    has_header = draw(st.booleans())
    named = (NAME,) if has_header else ("mcp_servers", NAME)
    if draw(st.booleans()):
        ours = draw(lines_of_toml(entry, *named))
    else:
        ours = [f"{draw(dotted(*named))} = {draw(braces_of_toml(entry))}\n"]
    theirs = draw(st.lists(st.sampled_from(OF_OTHERS), unique=True))
    lines = draw(st.permutations([(line, True) for line in ours] + [(x, False) for x in theirs]))
    header = f"[{draw(dotted('mcp_servers'))}] # [x]\n"
    end = ("[mcp_servers.z.env]\nT = 't'\n", False)
    return [("x = 1\n", False), *([(header, False)] if has_header else []), *lines, end]


@st.composite
def with_headers(draw: st.DrawFn, entry: Mapping[str, Any]) -> Lines:
    """A table, and perhaps tables in it, in any order, between tables of others."""
    path = ("mcp_servers", NAME)
    apart = {
        name: value
        for name, value in entry.items()
        if isinstance(value, Mapping) and draw(st.booleans())
    }
    rest = {name: value for name, value in entry.items() if name not in apart}
    tables = [((), rest), *(((name,), value) for name, value in apart.items())]
    blocks: list[Lines] = [
        [("[[many]]\nx = 1 # mine\n\n# alone\n", False)],
        [('[mcp_servers.other]\ncommand = "mark"\n', False)],
    ]
    for names, table in tables:
        lines = draw(lines_of_toml(table))
        header = f"[ {draw(dotted(*path, *names))}] # ]\n"
        blocks.append([(line, True) for line in (header, *lines)])
    return [line for block in draw(st.permutations(blocks)) for line in block]


@st.composite
def within_braces(draw: st.DrawFn, entry: Mapping[str, Any]) -> tuple[str, str, str]:
    """All servers in one pair of braces; what is before our members, these, and what is behind."""
    named = draw(st.booleans())
    ours = draw(
        braces_of_toml(entry, NAME)
        if named
        else st.builds(" ".join, st.tuples(dotted(NAME), st.just("="), braces_of_toml(entry)))
    )
    start = f"# mine\n{draw(dotted('mcp_servers'))} = {{ "
    theirs = 'other={command="mark"}'
    if draw(st.booleans()):
        return f"{start}{theirs} , ", ours, " } # too\n[z]\n"
    return start, ours, f", {theirs}}}\n[z]\n"


CODEX = HOSTS["codex"]
ENTRY = CODEX.entry(MARK)


@settings(max_examples=often(40, nightly=500), deadline=None)
@given(with_names(ENTRY) | with_headers(ENTRY), st.booleans(), st.booleans())
def test_an_entry_of_any_toml_is_changed_where_it_stands(
    lines: Lines, dos: bool, ends: bool
) -> None:
    def text(parts: list[str]) -> str:
        joined = "".join(parts) if ends else "".join(parts).rstrip("\n")
        return joined.replace("\n", "\r\n") if dos else joined

    old = text([line for line, _ in lines])
    assert changed(old, CODEX, MARK, NAME, file="f") == old
    new = changed(old, CODEX, KRAM, NAME, file="f")
    ours, kept = '"mark"', '"mark"' in "".join(line for line, is_ours in lines if not is_ours)
    assert new.count(ours) == kept
    assert len(new) == len(old)
    more = changed(old, CODEX, MORE, NAME, file="f")
    assert tomllib.loads(more)["mcp_servers"][NAME] == CODEX.entry(MORE)
    assert is_within(new, more)
    theirs = text([line for line, is_ours in lines if not is_ours])
    for written in (old, new, more):
        back = without(written, CODEX, NAME, file="f")
        assert back.rstrip("\r\n") == theirs.rstrip("\r\n")


@settings(max_examples=often(25, nightly=500), deadline=None)
@given(within_braces(ENTRY))
def test_an_entry_within_braces_is_changed_where_it_stands(parts: tuple[str, str, str]) -> None:
    before, ours, after = parts
    old = before + ours + after
    assert changed(old, CODEX, MARK, NAME, file="f") == old
    assert (
        changed(old, CODEX, KRAM, NAME, file="f") == before + ours.replace("mark", "kram") + after
    )
    more = changed(old, CODEX, MORE, NAME, file="f")
    assert more.startswith(before)
    assert more.endswith(after)
    back = without(more, CODEX, NAME, file="f")
    assert tomllib.loads(back) == {
        **tomllib.loads(old),
        "mcp_servers": {"other": {"command": "mark"}},
    }
    assert is_within(back, old)


@st.composite
def written_as_json(draw: st.DrawFn, value: object) -> str:
    """An object with comments, commas at its end, blanks and escapes anywhere."""
    if not isinstance(value, Mapping):
        return json.dumps(value)
    members = []
    for name, item in draw(st.permutations(list(value.items()))):
        escaped = f'"\\u{ord(name[0]):04x}{name[1:]}"'
        label = draw(st.sampled_from([json.dumps(name), json.dumps(name), escaped]))
        written = draw(written_as_json(item))
        members.append(f"{draw(gap())}{label}{draw(gap())}:{draw(gap())}{written}{draw(gap())}")
    comma = draw(st.sampled_from(["", ",", ",// }\n"])) if members else draw(gap())
    return "{" + ",".join(members) + comma + "}"


@settings(max_examples=often(30, nightly=500), deadline=None)
@given(st.data(), st.sampled_from(JSON_HOSTS))
def test_an_entry_of_any_json_is_changed_where_it_stands(data: st.DataObject, host: Host) -> None:
    entry = host.entry(MARK)
    ours = data.draw(written_as_json(entry))
    around = data.draw(written_as_json({"x": "mark", host.key: {"other": {}, NAME: "HERE"}}))
    before, after = around.split('"HERE"')
    old = before + ours + after
    assert changed(old, host, MARK, NAME, file="f") == old
    assert changed(old, host, KRAM, NAME, file="f") == before + ours.replace("mark", "kram") + after
    more = changed(old, host, MORE, NAME, file="f")
    assert more.startswith(before)
    assert more.endswith(after)
    assert is_within(ours.replace("mark", "kram"), more[len(before) : len(more) - len(after)])
    assert jsonc.parse(more) == {"x": "mark", host.key: {"other": {}, NAME: host.entry(MORE)}}
    back = without(more, host, NAME, file="f")
    assert jsonc.parse(back) == {"x": "mark", host.key: {"other": {}}}
    assert is_within(back, old)


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


@pytest.mark.one_for_each("text")
@pytest.mark.parametrize(
    ("host", "text"),
    [
        pytest.param(host, text, id=f"{host.name}-{number}")
        for host in HOSTS.values()
        for number, text in enumerate(FILES[host.format])
    ],
)
def test_uninstall_gives_the_file_back_byte_for_byte(host: Host, text: str, home: Path) -> None:
    data = text.replace("KEY", host.key).encode()
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


@pytest.mark.parametrize("name", ["a.b", "\U0001f600", "\x7f", 'q"', "ü", "", "[x]"])
@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_any_name_is_written_and_taken_out(host: Host, name: str) -> None:
    new = changed("", host, MARK, name, file="f")
    assert parsed(new, host, "f")[host.key][name] == host.entry(MARK)
    assert changed(new, host, KRAM, name, file="f") == new.replace("mark", "kram")
    assert not parsed(without(new, host, name, file="f"), host, "f").get(host.key)
    assert parsed(host.snippet(MARK, name), host, "f")[host.key][name] == host.entry(MARK)


UNLIKE: Mapping[str, list[tuple[str, str]]] = {
    "toml": [
        ("[[mcp_servers.interhuman]]\ncommand = 'x'\n", "interhuman is a list"),
        ("[[mcp_servers]]\n[mcp_servers.interhuman]\n", "mcp_servers is a list"),
        ("mcp_servers.interhuman = 'x'\n", "interhuman is text"),
        ("mcp_servers.interhuman.env = 1\n", "env is a number"),
        ("mcp_servers.interhuman.env = 1979-05-27\n", "env is a date or a time"),
        ("[mcp_servers.interhuman]\n[mcp_servers.interhuman]\n", "it is not TOML"),
    ],
    "json": [
        ('{"KEY": {"interhuman": ["x"]}}', "interhuman is a list"),
        ('{"KEY": null}', "KEY is null"),
        ('{"KEY": {"interhuman": {"env": false}}}', "env is true or false"),
        ('["KEY"]', "it is a list"),
        (
            '{"KEY": {"interhuman": {}, "interhuman": {}}}',
            'it is not JSON ("interhuman" stands twice',
        ),
        ("{'KEY': {}}", "it is not JSON"),
    ],
}


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_what_is_no_entry_is_named_and_left_as_it_is(
    host: Host, number: int, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, why = (part.replace("KEY", host.key) for part in UNLIKE[host.format][number])
    path = file_of(host, home)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert main(["install", host.name, "--key", SECRET]) == 2
    assert path.read_text() == text
    told = capsys.readouterr().err
    assert f"{path.name} was not touched: {why}" in told
    assert "`ih-mcp install HOST --print` shows the entry" in told


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


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('{"o": 1, /* c */ "x": 1}', '{"o": 1 /* c */}'),
        ('{"o": 1, // c\n"x": 1}', '{"o": 1 // c\n}'),
        ('{"o": 1, // c\n"x": 1\r\n}', '{"o": 1 // c\r\n}'),
        ('{"o": 1, // /* c */\r"x": 1}', '{"o": 1 // /* c */\r}'),
        ('{"x": 1, /* c */ "o": 1}', '{ /* c */ "o": 1}'),
        ('{ // c\n"x": 1, "o": 1}', '{ // c\n "o": 1}'),
        ('{"x": 1,}', "{}"),
        ('{"x": 1, // c\n}', "{ // c\n}"),
    ],
)
def test_a_member_goes_with_its_comma_and_comments_stay(old: str, new: str) -> None:
    assert jsonc.remove(old, ["x"]) == new
