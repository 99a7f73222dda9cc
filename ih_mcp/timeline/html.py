"""A timeline as one file that can be mailed: no server, no network, nothing fetched.

The same script draws it that draws the live page. Without scripts a table says the same.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable
from importlib.resources import files

from .bounds import bounded
from .model import Drawing, as_text
from .rows import clock, make_rows
from .summary import head, lines

APP_URI = "ui://ih-mcp/timeline.html"


def file_page(drawing: Drawing) -> str:
    """The file of a drawing; blocks while it reads the package."""
    drawing = bounded(drawing)
    data = as_text(drawing).replace("<", "\\u003c")
    about = drawing["about"]
    assert isinstance(about, list)
    said = lines(drawing)[len(about) :]  # the script writes what comes before
    body = f"""<header><h1>Timeline</h1><p>{html.escape(head(drawing))}</p></header>
<main>{_paragraphs(said)}<div id="timeline"></div></main>
<noscript>{_paragraphs(about)}{_table(drawing)}</noscript>
<script type="application/json" id="data">{data}</script>"""
    return _page(head(drawing), body, "file.js", is_strict=True)


def app_page() -> str:
    """The page that a host of MCP Apps shows beside `poll_events`; blocks like `file_page`.

    Its policy is the host's to set.
    """
    body = """<main><p id="said" role="status">Waiting for the stream.</p>
<div id="timeline"></div></main>"""
    return _page("Timeline", body, "app.js", is_strict=False)


def _page(title: str, body: str, script: str, *, is_strict: bool) -> str:
    style = _read_static("timeline.css") + _read_static("file.css")
    code = _read_static("timeline.js") + _read_static(script)
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(code)}; "
        "base-uri 'none'; form-action 'none'"
    )
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n' if is_strict else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{meta}<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{style}</style>
</head>
<body>
{body}
<script type="module">{code}</script>
</body>
</html>
"""


def _read_static(name: str) -> str:
    return files("ih_mcp").joinpath("timeline", "static", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _paragraphs(texts: Iterable[str]) -> str:
    return "".join(f"<p>{html.escape(text)}</p>" for text in texts)


def _table(drawing: Drawing) -> str:
    lines = [
        f"<tr><td>{html.escape(row.name)}</td><td>{clock(mark.start_seconds)}</td>"
        f"<td>{'now' if mark.is_open else clock(mark.end_seconds)}</td>"
        f"<td>{html.escape(mark.text)}</td><td>{html.escape(mark.more)}</td></tr>"
        for row in make_rows(drawing)
        for mark in row.marks
    ]
    head = "<tr><th>what</th><th>from</th><th>to</th><th></th><th>why</th></tr>"
    return f"<table>{head}{''.join(lines)}</table>"
