"""Write the pages that are drawn from the code: `python docs/generate.py`. A test compares them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from mcp.server.mcpserver.tools import Tool
from pydantic.fields import FieldInfo

from ih_mcp.app.hosts import COMMAND, HOSTS, NAME, Host, Launch, json_text
from ih_mcp.mcp_server.server import INSTRUCTIONS, make_tools
from ih_mcp.mcp_server.tool import StrictTool
from ih_mcp.media.clock_jumps import MAX_PAUSE_SECONDS
from ih_mcp.media.ffmpeg.commands import FORMATS
from ih_mcp.media.ffmpeg.decoders import DECODERS
from ih_mcp.media.ffmpeg.recipes import AUDIO, ENCODERS, MAX_ENCODED_SIDE, UNTIMED, VIDEO, CodecRow
from ih_mcp.media.segment_bounds import MAX_WHOLE_SECONDS
from ih_mcp.settings import Settings

sys.path.append(str(Path(__file__).parents[1]))
from docs.codebook_page import codebook_page
from docs.error_page import errors_page

_FOLDER = Path(__file__).parent
_REPOSITORY = _FOLDER.parent
_TOP_SKILL = _REPOSITORY / "SKILL.md"
BUNDLE = _REPOSITORY / "mcpb" / "manifest.json"
BUNDLE_PROJECT = _REPOSITORY / "mcpb" / "pyproject.toml"
SKILL = _REPOSITORY / "skills" / "interhuman" / "SKILL.md"
HOST_CALLS: Mapping[str, Any] = json.loads(
    (_FOLDER / "host_calls.json").read_text(encoding="utf-8")
)
"""What `make hosts` saw; its test compares."""
_INTERNAL = "metadata:\n  internal: true\n"
_NOTE = "<!-- Drawn from the code by docs/generate.py; edit that, not this. -->"


def hosts_page() -> str:
    """Each host's configuration, from the table of hosts."""
    intro = f"""# Hosts

`ih-mcp install HOST` puts the server into a host's configuration. It shows the entry first, changes nothing else in the file (comments,
order, indentation and spelling stay), leaves the old file beside the new one, and does not touch a file it does not understand.
`--dry-run` only shows; `--print` prints the entry. `ih-mcp uninstall HOST` takes it out again.

- Without a key, `--local` uses the stand-in.
- The entry names the key's variable and does not contain the key, unless you give it: `--key -` reads it from standard input, and then file
  and backup are private to you. A key in the arguments (`--key VALUE`) can be read by other users of the machine while the command runs.
- If the file is read-only, the command asks first. Owner, mode and hard links of a file stay.
- `--media-dir DIR` names a folder whose files may be read; it may be repeated.
- The entry starts `{" ".join(COMMAND)}`, this version and no other. An installation that does not come from the package index
  (a clone, a wheel, a repository) is started by its full path instead, since the index may have something else under this name; `--this` and
  `--no-this` choose. Use `--this` also for hosts that do not find `uvx`.

**ih-mcp is not on the package index yet.** Until it is, install it from a clone and use `ih-mcp install`; the entries and links below
work from the first release on.

Any other host: start `{" ".join(COMMAND)}` over stdio as the server `{NAME}`.
"""
    hosts = [*map(_host, HOSTS.values()), _over_http(), _keys()]
    return "\n".join([intro, *hosts, _host_calls(), _host_persons(), _frameworks()])


OVER_HTTP = {
    "claude-code": (
        ".mcp.json",
        "json",
        """{
  "mcpServers": {
    "interhuman": {
      "type": "http",
      "url": "https://ih.example.org/mcp",
      "headers": {"Authorization": "Bearer ${IH_MCP_CALLER_KEY}"}
    }
  }
}""",
        (
            "claude mcp add --transport http interhuman https://ih.example.org/mcp "
            "--header 'Authorization: Bearer ${IH_MCP_CALLER_KEY}'"
        ),
    ),
    "codex": (
        "~/.codex/config.toml",
        "toml",
        """[mcp_servers.interhuman]
url = "https://ih.example.org/mcp"
bearer_token_env_var = "IH_MCP_CALLER_KEY\"""",
        (
            "codex mcp add interhuman --url https://ih.example.org/mcp "
            "--bearer-token-env-var IH_MCP_CALLER_KEY"
        ),
    ),
    "gemini": (
        "~/.gemini/settings.json",
        "json",
        """{
  "mcpServers": {
    "interhuman": {
      "httpUrl": "https://ih.example.org/mcp",
      "headers": {"Authorization": "Bearer $IH_MCP_CALLER_KEY"}
    }
  }
}""",
        (
            "gemini mcp add --scope user --transport http interhuman https://ih.example.org/mcp "
            "--header 'Authorization: Bearer $IH_MCP_CALLER_KEY'"
        ),
    ),
}
"""For each host that `tests/hosts` drives over HTTP: its file, language, entry, and command."""


def _over_http() -> str:
    """How a host is told of a team's server; the tests use these very entries."""
    parts = [
        """## Over HTTP

[A team's server](team.md) runs elsewhere: a host gets its address and the key of a caller, and starts nothing. `IH_MCP_CALLER_KEY` is an
environment variable with that key, so that no file contains it. Tests start each of these hosts with its entry, through a balancer that sends each
request to another server while servers are replaced.
"""
    ]
    for name, (file, language, entry, command) in OVER_HTTP.items():
        parts.append(
            f"{HOSTS[name].title}, in {file}; or `{command}`:\n\n```{language}\n{entry}\n```\n"
        )
    return "\n".join(parts)


def _keys() -> str:
    """How it was shown that the key arrives, for each host and way."""
    rows = "".join(
        f"| {host.title} | {', '.join(_ways(host))} | "
        f"{f'[its page]({host.page})' if host.page else 'the program itself'} |\n"
        for host in HOSTS.values()
    )
    return f"""## Whether the key arrives

For each way, `tests/hosts/test_key_arrives.py` starts a server that writes its environment down, and checks that the key is in it. If the
host's program runs without a screen and a login, it starts that server itself; for the other hosts the test does what their pages say.

| host | ways | shown by |
|---|---|---|
{rows}"""


def _ways(host: Host) -> list[str]:
    """Each way that our pages name to give a host its server with the key."""
    ways = {
        "`install`": host.name != "claude-desktop",  # it knows no reference, and hands on nothing
        "`install --key`": True,
        "its own command": host.by_command,
        "the link": host.link,
        host.also: host.also,
    }
    return [way for way, has in ways.items() if has]


def _host_calls() -> str:
    """What hosts do with the answers of tools, as `make hosts` saw it."""
    rows = "".join(
        f"| {HOSTS[name].title} {row['version']} | {row['protocol']} | {row['hands on']} "
        f"| {', '.join(row['asks for']) or 'nothing'} | {'yes' if row['asks for progress'] else 'no'} |\n"
        for name, row in HOST_CALLS.items()
    )
    return f"""## What hosts do with answers

`make hosts` runs these hosts without a login: a local substitute for their model calls `check_setup`, `stream_file` and
`poll_events`. Each message that reached the model was compared with the journal, byte for byte.

| host | newest protocol | hands to its model | capabilities that it declares | asks for progress |
|---|---|---|---|---|
{rows}
Codex writes `Wall time` and `Output:` before the blocks. Gemini CLI joins them into one text, each between `<untrusted_context>` marks. `codex
exec` begins without our tools if the server is not up at once: `required = true` in its entry makes it wait. Claude Code gives its model only
the names of tools, and loads them when the model searches, unless `ENABLE_TOOL_SEARCH=false` is set.
"""


def _host_persons() -> str:
    """What the person in front of a host sees, as `make hosts` saw it in a terminal."""
    asks = {True: "a form; what the person answers counts", False: "nothing: the call is refused"}
    shows = {True: "our line under the call", False: "nothing of it"}
    tells = {
        True: "cancels the call at the server",
        False: "is not passed on to the server: the call goes on to its end, unheard",
    }
    declines = {
        "cancel": "cancels the question",
        "decline": "declines it",
        "not asked": "is not asked",
    }
    rows = "".join(
        f"| {HOSTS[name].title} {row['version']} | {asks[row['asks a person']]} "
        f"| {declines[row['without a person']]} | {shows[row['shows progress']]} "
        f"| {tells[row['tells of a cancel']]} |\n"
        for name, row in HOST_CALLS.items()
    )
    return f"""## What a person sees

This was seen in a terminal with the same substitute, a file sent in real time, and a call of `poll_events` that waits. Above
`IH_MCP_ASK_OVER_MINUTES` the server asks the person before it sends; every host asks for progress, and the server reports it every 5 s.

| host | shows for a question of the server | without a person (`-p`, `exec`) | shows for progress | Esc |
|---|---|---|---|---|
{rows}
The stream goes on after Esc, and the next `poll_events` with the same cursor reads all its messages; the test compares them with the journal.

- Claude Code shows "MCP server “interhuman” requests your input", our sentence, a box `Allow` and the buttons Accept and Decline. Accept
  without the tick is answered with "This field is required". While a call waits, it shows `sending: 12 of 25 s of media, 2 messages from the
  stand-in` under "Calling interhuman…".
- Codex shows our sentence, and `Allow` with "1. True" and "2. False"; True is marked, Enter sends it, Esc cancels the question. It refuses a
  form whose schema has more than `type`, `properties` and `required`, and accepts an empty one by itself if it has full access; ours is
  neither.
- The terminal of Codex starts a process that goes on when the terminal is closed, and so does the server: a stream runs on there
  until `end_stream`, or until that process ends.
- Gemini CLI declares no elicitation, so a file above `IH_MCP_ASK_OVER_MINUTES` is refused there; the person can raise the setting, or send the
  file with `ih-mcp stream`, which asks on the terminal.
- If a call takes longer than the host allows (`tool_timeout_sec` of Codex, `timeout` of Gemini CLI), both cancel it at the server, and
  their models read an error; the stream goes on. Calls of ih-mcp wait at most 25 s, and a question for a person at most 2 minutes: then the
  server withdraws it, and the call is refused.
- Ctrl+C in a turn without a person ends host and server, and with them the stream: it ends in order, and `ih-mcp list` shows it. What was
  analysed stays.

Hosts with a window (Claude Desktop, Cursor, VS Code, Windsurf, Zed) were not seen: they need an account or a screen, so no test runs them.
"""


def _frameworks() -> str:
    """What `make frameworks` saw."""
    found = json.loads((_FOLDER / "frameworks.json").read_text(encoding="utf-8"))
    rows = "".join(
        f"| `{name}` {row['version']} | {row['mcp']} | {row['result']} |\n"
        for name, row in found.items()
    )
    return f"""## Agent frameworks

`make frameworks` lets each do the main job through its own MCP client and compares what the framework passes on with the journal. It
fails if a result differs from the one recorded here:

| framework | its `mcp` | |
|---|---|---|
{rows}
The server runs in an environment of its own (`uv tool`, `pipx` or a venv), and the framework starts it by its path. Frameworks that need
`mcp` 1 (langchain-mcp-adapters, google-adk, smolagents, crewai-tools) cannot share one with ih-mcp.

smolagents passes on only the first block of an answer, which is the status: its agents read `ih_mcp` and no message. Use the command
line there, or the files of `IH_MCP_MIRROR_DIR`. The client of llama-index starts a server for each call, so a stream ends with the
call that began it; use the command line there too.

A call of `poll_events`, `end_stream` or `get_analysis` waits 4 s unless `wait_s` says more, at most 25 s. openai-agents gives up after
5 s: set `client_session_timeout_seconds=30` there before asking for longer waits.
"""


def _host(host: Host) -> str:
    launch = Launch()
    parts = [
        f"## {host.title}\n",
        f"`ih-mcp install {host.name}`, or by hand in {host.shown}:\n",
        f"```{host.format}\n{host.snippet(launch)}```\n",
    ]
    if host.by_command:
        parts.append(f"Its own command: `{host.by_command}`\n")
    if host.link:
        parts.append(f"[Install in {host.title}]({host.link(NAME, host.entry(launch))})\n")
    return "\n".join([*parts, f"{host.after}\n"])


def tools_page() -> str:
    """Each tool with its arguments, as a client sees them."""
    intro = """# Tools

What an MCP client sees. Answers are text blocks: the first is one JSON object with the key `ih_mcp` (state, cursors, `notes`, and `next`:
what to call now); every further block is a message of the service, byte for byte. `endpoint` says who answered; `stand_in`, if it is there,
says that it was no model of Interhuman. Once all of a stream has been read, `summary` sums it up. A failure is text too: what happened, what helps, and JSON
with a stable `code`. Arguments that are not required may be left out, or be null.

Hints: **reads** changes nothing; **repeatable** may be called again with the same arguments; **outside** talks to the service.
"""
    return "\n".join([intro, *map(_tool, make_tools()), _instructions()])


def _tool(tool: Tool) -> str:
    hints = tool.annotations
    assert hints
    told = [
        word
        for word, holds in (
            ("reads", hints.read_only_hint),
            ("repeatable", hints.idempotent_hint),
            ("outside", hints.open_world_hint),
        )
        if holds
    ]
    lines = [f"## `{tool.name}`\n", f"{tool.description}\n", f"Hints: {', '.join(told)}.\n"]
    required = set(tool.parameters.get("required", ()))
    if properties := tool.parameters.get("properties", {}):
        lines += ["| argument | type | default | |", "|---|---|---|---|"]
        assert isinstance(tool, StrictTool)
        fields = tool.arguments.model_fields
        lines += [
            _argument(name, found, None if name in required else fields[name])
            for name, found in properties.items()
        ]
        lines.append("")
    return "\n".join(lines)


def _argument(name: str, schema: Mapping[str, Any], optional: FieldInfo | None) -> str:
    default = _default(optional) if optional else "required"
    cells = (f"`{name}`", _type(schema), default, schema.get("description", ""))
    return f"| {' | '.join(cells)} |"


def _default(field: FieldInfo) -> str:
    return _code(field.default if isinstance(field.default, str | int | float) else None)


def _code(value: object) -> str:
    return "" if value is None else f"`{value}`"


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema["type"]
    kind = kind[0] if isinstance(kind, list) else kind
    if "enum" in schema:
        return " ".join(f"`{value}`" for value in schema["enum"] if value is not None)
    if kind == "array":
        return f"list of {_type(schema['items'])}"
    bounds = [
        f"{words} {_number(schema[key])}"
        for key, words in (("minimum", "from"), ("maximum", "to"))
        if key in schema
    ]
    return " ".join([kind, *bounds])


def _number(value: float) -> str:
    return str(int(value) if value == int(value) else value)


def _instructions() -> str:
    return f"## What a model is told first\n\n```text\n{INSTRUCTIONS}```\n"


def settings_page() -> str:
    """Each environment variable, from the class that reads them."""
    intro = """# Settings

All settings are environment variables; a host sets them in the `env` of its entry. A value that a host never filled in, such as
`${INTERHUMAN_API_KEY}`, counts as unset. A wrong value is an error that names the variable, never a secret.

| variable | default | bounds | meaning |
|---|---|---|---|"""
    return "\n".join([intro, *_rows(), ""])


def _rows() -> Iterable[str]:
    schemas = Settings.model_json_schema(by_alias=False)["properties"]
    for name, found in Settings.model_fields.items():
        schema = schemas[name]
        bounds = " ".join(
            f"{words} {_number(schema[key])}"
            for key, words in (
                ("minimum", "from"),
                ("exclusiveMinimum", "above"),
                ("maximum", "to"),
            )
            if key in schema
        )
        cells = (f"`{found.validation_alias}`", _default(found), bounds, found.description or "")
        yield f"| {' | '.join(cells)} |"


def hosts_sections() -> str:
    """Of the README: a paragraph for each host."""
    return "\n".join(map(_host_section, HOSTS.values()))


def _host_section(host: Host) -> str:
    ways = [f"`ih-mcp install {host.name}`"]
    if host.by_command:
        ways.append(f"`{host.by_command}`")
    if host.link:
        ways.append(f"[this link]({host.link(NAME, host.entry(Launch()))})")
    return f"#### {host.title}\n\n{', or '.join(ways)}. {host.after}\n"


def media_page() -> str:
    """What happens to a file on its way, with the rows that decide it."""
    intro = f"""# Media

What `stream_file` and `ih-mcp stream` do with a file. Nothing is written to the disk and no more than about one segment is in memory:
one ffmpeg writes the file as fragmented MP4 or WebM to a pipe, and waits while the uplink is slow.

## Segments

On v1 and v2, segments continue each other: the first has the header, and joined they are one playable file. They begin with key frames
wherever possible, because the next session after a lost connection has to begin with one; it takes the first that there is, even within a
segment.
On v0, each segment must decode alone: it begins with a key frame of a closed GOP, and its clock at 0. If no key frame comes within
{MAX_WHOLE_SECONDS:g} s, or within what the API allows, the picture is encoded from there on. A short rest joins the segment before it.

Times in a file are trusted only within bounds. A picture that stays ends with its sound or where the next segment begins; if pictures are
encoded, it is repeated each second, so that a segment can begin in it. If neither picture nor sound comes for more than 10 s, or one
picture stays for 10 minutes in a file without sound, the clock has jumped: the gap is left out, and `clock_jumps` in the status says where
and how much. If a clock was set back, nothing is left out: times go on from there, and a note in `check` and in the status says at which
second and by how much.

One picture track and one sound track are sent, the first of each. Subtitles, chapters, covers and tags such as the place of recording
are left out; rotation is kept.

## What is copied, what is encoded

Copied tracks stay the same, byte for byte. Codecs without a row below become H.264 (`{"`, else `".join(ENCODERS)}`) of at most
{MAX_ENCODED_SIDE} pixels a side, or AAC. Also encoded are tracks that cannot be cut within the limits, tracks of which an edit list hides parts (so
that a trimmed clip stays trimmed), and the picture of files without times ({", ".join(sorted(UNTIMED))}).

A copy has a single header. So a track is encoded if its parameters change in the middle, as around an advert: if the sound of an MPEG-TS, FLV or
AAC file changes its rate, or AAC its channels, or if MP4 names several sets of parameters. To find out, such files are read once before they
are sent (MPEG-TS: about a second for an hour). A picture whose pixel format cannot be determined is encoded too.
If picture or sound begins more than {MAX_PAUSE_SECONDS:g} s after the other, MP4 is written without waiting for it; pictures that are shown in another order
than they are stored (B-frames) are encoded then, and so is the sound of MPEG-TS.

A file that cannot be sent is refused before a session opens, with a code that says why: it is protected (`encrypted`), has no media (`no_media`), is
a photo (`is_picture`), a fragment without its header (`no_header`) or incomplete (`incomplete_file`), or nothing here can decode its codec
(`not_decodable`). Sound that cannot be decoded, or a sound track without sound, is left out, and a note says so.

| track | codec | copied into | pixel formats |
|---|---|---|---|"""
    rows = [
        _codec(track, name, row)
        for track, table in (("picture", VIDEO), ("sound", AUDIO))
        for name, row in table.items()
    ]
    return "\n".join([intro, *rows, "", _MEDIA_END])


def _codec(track: str, name: str, row: CodecRow) -> str:
    names = ("MP4" if container == "mp4" else "WebM" for container in sorted(row.containers))
    formats = ", ".join(f"`{name}`" for name in sorted(row.pixel_formats or ())) or "any"
    return f"| {track} | `{name}` | {', '.join(names)} | {formats if track == 'picture' else ''} |"


CONTAINERS = ", ".join(sorted(FORMATS.split(",")))
_MEDIA_END = f"""## What ffmpeg may do

ffmpeg gets a file as an open descriptor (on Windows by its path), and no shell, no terminal, no key and none of our other variables. It opens
only files, and only a fixed list of real containers, so playlists, scripts, text and pictures are refused; it decodes a fixed list of
{len(DECODERS)} codecs (`ih_mcp/media/ffmpeg/decoders.py`). It reads: {CONTAINERS}. As far as is known, none of these opens other files by
itself except QuickTime, where that is switched off; the list of protocols allows none in any case. A file's tags are not believed: a file whose
tags imitate ffmpeg's output is refused (`imitation`). The size of a picture and the time between two outputs are limited. On Linux its memory,
processor time and open files are limited too, and it can write no file: it may use 256 MiB and an eighth of the file's size to inspect or copy
a file, and `IH_MCP_FFMPEG_MAX_BYTES` to encode one. Elsewhere memory and processor time are not limited. When a stream ends, its ffmpeg ends too.

The ffmpeg of `IH_MCP_FFMPEG` is used, else the one on `PATH` if it is 5.1 or newer, else the one that comes with `imageio-ffmpeg`;
`ih-mcp check` says which. The tests pass with 5.1.9 and 9.0.
"""


PAGES: Mapping[str, Callable[[], str]] = {
    "media.md": media_page,
    "hosts.md": hosts_page,
    "tools.md": tools_page,
    "settings.md": settings_page,
    "errors.md": errors_page,
    "codebook.md": codebook_page,
}


def text(name: str) -> str:
    """A page, as it has to stand in its file."""
    title, _, rest = PAGES[name]().partition("\n")
    return f"{title}\n\n{_NOTE}\n{rest}"


def skill() -> str:
    """The page at the top as one of the skills.

    `npx skills` looks no further where the top has a skill, so the one there is marked as internal,
    which it passes over, and its text stands beside the others once more.
    """
    return _TOP_SKILL.read_text(encoding="utf-8").replace(_INTERNAL, "", 1)


def write(path: Path, content: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(content, encoding="utf-8")
    sys.stdout.write(f"{path.relative_to(_REPOSITORY)}\n")


def bundle() -> str:
    """The manifest of the MCPB bundle, with the tools there are."""
    manifest = json.loads(BUNDLE.read_text(encoding="utf-8"))
    tools = [{"name": tool.name, "description": tool.description} for tool in make_tools()]
    return json_text({**manifest, "tools": tools})


def bundle_project() -> str:
    """The bundle's packages: what `requirements.lock` names, and no other versions."""
    lock = (_REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    locked = re.findall(r"^([\w.-]+==[^\s\\]+(?: ; [^\\]*?)?) \\$", lock, re.MULTILINE)
    constraints = "".join(f"    {json.dumps(requirement)},\n" for requirement in locked)
    head = BUNDLE_PROJECT.read_text(encoding="utf-8").partition("\n[tool.uv]")[0]
    return f"{head}\n[tool.uv] # from requirements.lock, by docs/generate.py\nconstraint-dependencies = [\n{constraints}]\n"


if __name__ == "__main__":
    for page in PAGES:
        write(_FOLDER / page, text(page))
    write(SKILL, skill())
    write(BUNDLE, bundle())
    write(BUNDLE_PROJECT, bundle_project())
