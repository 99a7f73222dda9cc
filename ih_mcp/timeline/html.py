"""A timeline as one file that can be mailed: no server, no network, nothing fetched.

The same script draws it that draws the live page. Without scripts a table says the same.
"""

from __future__ import annotations

import base64
import hashlib
import html
from importlib.resources import files

from ih_mcp.printable import escape_unprintable

from .bounds import bounded, left_out
from .model import Drawing, as_text
from .rows import clock, make_rows

APP_URI = "ui://ih-mcp/timeline.html"


def file_page(drawing: Drawing) -> str:
    """The file of a drawing; blocks while it reads the package."""
    drawing = bounded(drawing)
    data = as_text(drawing).replace("<", "\\u003c")
    body = f"""<header><h1>Timeline</h1><p>{html.escape(_title(drawing))}</p></header>
<main>{_notes(drawing)}<div id="timeline"></div></main>
<noscript>{_table(drawing)}</noscript>
<script type="application/json" id="data">{data}</script>"""
    return _page(_title(drawing), body, "file.js", is_strict=True)


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


def _title(drawing: Drawing) -> str:
    source = drawing["source"] or drawing["label"]
    return f"{escape_unprintable(str(source or drawing['stream_id']))}: {drawing['state']}"


def _notes(drawing: Drawing) -> str:
    notes = drawing["notes"]
    assert isinstance(notes, list)
    stand_in = [drawing["stand_in"]] if drawing["stand_in"] else []
    lines = [*map(str, [*stand_in, *notes]), *left_out(drawing)]
    return "".join(f"<p>{html.escape(escape_unprintable(line))}</p>" for line in lines)


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
