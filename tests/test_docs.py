"""Every command in the docs runs, and every example prints what it says."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import grimp
import pytest

from ih_mcp import __version__
from ih_mcp.cli import _EXAMPLES
from tests.forked import forked, forked_python

from .road.host import REPOSITORY, environment

pytestmark = pytest.mark.timeout(90)
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGES = {page.name: page.read_text(encoding="utf-8") for page in REPOSITORY.glob("docs/*.md")}
_OURS = re.compile(r"^\s*(ih-mcp\b[^#\n]*?)(?:\s{2,}.*|\s*#.*)?$", re.MULTILINE)
_NOT_RUN = {"ih-mcp"}  # the server itself: tests/road drives it


def commands() -> list[str]:
    """Each `ih-mcp …` line of the shell blocks in README and docs, and of `--help`."""
    pages = "\n".join([README, *PAGES.values()])
    blocks = re.findall(r"```sh\n(.*?)```", pages, re.DOTALL)
    found = [match.strip() for text in (*blocks, _EXAMPLES) for match in _OURS.findall(text)]
    return sorted(set(found) - _NOT_RUN)


def test_the_commands_are_found() -> None:
    assert "ih-mcp stream talk.mp4 --local" in commands()
    assert "ih-mcp check" in commands()
    assert "ih-mcp install claude-code --local --dry-run" in commands()
    assert len(commands()) >= 12


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, short_clip: Path) -> Path:
    """A data folder that holds one stream, which has ended."""
    data = tmp_path_factory.mktemp("kept") / "data"
    command = [*forked(), "stream", str(short_clip), "--pace", "fast"]
    subprocess.run(command, env=environment(data), check=True, capture_output=True)
    return data


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_docs_runs(
    command: str, tmp_path: Path, short_clip: Path, request: pytest.FixtureRequest
) -> None:
    shutil.copy(short_clip, tmp_path / "talk.mp4")
    (tmp_path / "videos").mkdir()
    shutil.copy(short_clip, tmp_path / "videos")
    clone = tmp_path / "examples" / "media"  # some commands are run in a clone
    clone.mkdir(parents=True)
    shutil.copy(short_clip, clone / "dialogue.mp4")
    env = environment(
        tmp_path / "data", IH_MCP_MEDIA_DIRS=str(tmp_path), IH_MCP_LISTEN="127.0.0.1:0"
    )
    if "install" in command:  # into nobody's real home
        env |= {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    words, _, rest = command.partition("|")  # the reader after a pipe is not ours
    arguments = shlex.split(words.partition(">")[0])[1:]
    if arguments[0] == "standin":
        arguments[-1] = "0"  # any free port
    if arguments[0] in {"messages", "watch", "timeline", "review", "export"}:  # of a kept one
        shutil.copytree(request.getfixturevalue("kept"), tmp_path / "data")
    with subprocess.Popen(
        [*forked(), *arguments],
        env=env,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        first = process.stdout.readline()
        if arguments[0] in {
            "standin",
            "capture",
            "serve",
            "review",
        }:  # they go on until they are ended
            process.terminate()
            said_first = b"session.ready" if arguments[0] == "capture" else b"http://127.0.0.1:"
            assert said_first in first
            return
        process.stdout.read()
        assert process.wait(60) == 0
    assert first
    assert not rest or json.loads(first)["type"] == "session.ready"


def test_the_host_snippet_is_json_that_starts_this_package() -> None:
    snippets = map(json.loads, re.findall(r"```json\n(.*?)```", README, re.DOTALL))
    (servers,) = (snippet["mcpServers"] for snippet in snippets if "mcpServers" in snippet)
    (entry,) = servers.values()
    assert (entry["command"], entry["args"]) == ("uvx", [f"ih-mcp=={__version__}"])
    assert set(entry["env"]) == {"INTERHUMAN_API_KEY", "IH_MCP_MEDIA_DIRS"}


def test_the_demo_runs_the_main_job_and_sums_it_up(tmp_path: Path) -> None:
    demo = str(REPOSITORY / "examples" / "demo.py")
    done = subprocess.run(
        [*forked_python(), "-c", f"import runpy; runpy.run_path({demo!r}, run_name='__main__')"],
        env=environment(tmp_path, INTERHUMAN_API_KEY=""),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    messages, _, summary = done.stdout.partition("\n\n")
    kinds = [json.loads(line)["type"] for line in messages.splitlines()]
    assert (kinds[0], kinds[-1]) == ("session.ready", "session.ended")
    assert f"messages   {len(kinds)}" in summary
    assert "24.667 s of media" in summary
    assert "not from Interhuman" in summary
    assert "agreement, hesitation, interest, skepticism" in summary
    page = Path(re.findall(r"^timeline +(.+)$", summary, re.MULTILINE)[0])
    assert page == tmp_path / "demo-timeline.html"
    assert "scripted, not an analysis" in page.read_text(encoding="utf-8")


def test_every_page_is_linked_from_the_readme_and_every_link_leads_somewhere() -> None:
    linked = set(re.findall(r"\]\(docs/([\w-]+\.md)\)", README))
    assert linked == set(PAGES)
    for name, page in PAGES.items():
        for link in re.findall(r"\]\((?!https?:|cursor:|vscode:)([^)#]+)", page):
            assert (REPOSITORY / "docs" / link).is_file(), (name, link)


def test_every_code_in_the_troubleshooting_page_is_one_of_ours() -> None:
    source = "\n".join(
        path.read_text(encoding="utf-8") for path in (REPOSITORY / "ih_mcp").rglob("*.py")
    )
    rows = [line for line in PAGES["troubleshooting.md"].splitlines() if line.startswith("| `")]
    codes = {code for row in rows for code in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert len(codes) > 25
    for code in codes - {"mirror_problem", "gaps", "lost"}:
        assert re.search(rf'["\']{code}["\']', source), code


def test_the_drawing_of_the_architecture_has_every_room() -> None:
    page = PAGES["architecture.md"]
    rooms = {path.parent.name for path in (REPOSITORY / "ih_mcp").glob("*/__init__.py")}
    assert rooms == set(re.findall(r'(\w+)\["\1: ', page))


def test_the_readme_stays_within_three_hundred_lines() -> None:
    assert len(README.splitlines()) < 300


@pytest.mark.parametrize("name", ["README.md", *sorted(PAGES)])
def test_each_row_of_a_table_has_the_cells_of_its_head(name: str) -> None:
    page = PAGES.get(name, README)
    prose = re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE)
    for table in re.findall(r"(?:^\|.*\n)+", prose, re.MULTILINE):
        head, *rows = (re.split(r"(?<!\\)\|", line) for line in table.splitlines())
        for row in rows:
            assert len(row) == len(head), row


# --- what the pages say of the code is so ---------------------------------------------------------


def test_every_file_that_a_page_names_exists() -> None:
    pages = {
        "CONTRIBUTING.md": (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        **PAGES,
    }
    named = {
        (page, path)
        for page, text in pages.items()
        for path in re.findall(r"`((?:ih_mcp|tests|docs|examples|bench)/[\w./*-]+)`", text)
    }
    assert len(named) > 80
    assert sorted(f"{page}: {path}" for page, path in named if not any(REPOSITORY.glob(path))) == []


def test_a_task_is_found_in_one_row_of_where() -> None:
    rows = [line for line in PAGES["where.md"].splitlines() if re.match(r"\| (?!task|-)", line)]
    assert len(rows) >= 30
    assert len({row.split("|")[1] for row in rows}) == len(rows)


def test_every_class_of_the_glossary_exists() -> None:
    sources = "\n".join(path.read_text("utf-8") for path in REPOSITORY.glob("ih_mcp/**/*.py"))
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| ([^|]*)\|$", PAGES["glossary.md"], re.MULTILINE)
    named = [name for _, cell in rows for name in re.findall(r"`(\w+)`", cell)]
    assert len(named) > 15
    assert [
        name for name in named if not re.search(rf"^class {name}\b", sources, re.MULTILINE)
    ] == []
    words = [word for word, _ in rows]
    assert len(set(words)) == len(words)


def test_the_diagram_has_the_imports_between_packages() -> None:
    packages = {path.parent.name for path in REPOSITORY.glob("ih_mcp/*/__init__.py")}
    drawn = {
        (importer, imported)
        for importer, several in re.findall(
            r"^ +(\w+) --> (.+)$", PAGES["architecture.md"], re.MULTILINE
        )
        for imported in several.split(" & ")
    }
    graph = grimp.build_graph("ih_mcp", cache_dir=None)
    imports = {
        (parts[1], other[1])
        for module in graph.modules
        for found in graph.find_modules_directly_imported_by(module)
        if len(parts := module.split(".")) > 1 and len(other := found.split(".")) > 1
    }
    between = {(a, b) for a, b in imports if a != b and {a, b} <= packages}
    assert drawn == between
