"""A timeline as one file that can be mailed: no server, no network, nothing fetched.

The same script draws it that draws the live page. Without scripts a table says the same.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable
from importlib.resources import files

from .bounds import bounded
from .model import Drawing, as_text
from .rows import clock, make_rows
from .summary import head, lines

APP_URI = "ui://ih-mcp/timeline.html"


def file_page(drawing: Drawing, source: str = "", file_name: str = "") -> str:
    """The file of a drawing; blocks while it reads the package.

    Args:
        file_name: Of the file at `source`; the page warns where the timeline is of another.
        source: Where the page finds its video, for a page that is served beside it. Else the person
            opens the video, which stays in the browser.
    """
    drawing = bounded(drawing)
    about = drawing["about"]
    assert isinstance(about, list)
    said = lines(drawing)[len(about) :]  # the script writes what comes before
    return _file_page(
        head(drawing),
        who=str(about[0]),
        data=as_text(drawing),
        before=_paragraphs(said),
        without_script=_paragraphs(map(str, about[1:])) + _table(drawing),
        command=f"ih-mcp review {drawing['stream_id']} FILE",
        source=source,
        file_name=file_name,
    )


def empty_page() -> str:
    """The file without values, for a page that puts its own into it; blocks like `file_page`."""
    return _file_page("", data="{}")


def _file_page(
    title: str,
    *,
    data: str,
    who: str = "",
    before: str = "",
    without_script: str = "",
    command: str = "",
    source: str = "",
    file_name: str = "",
) -> str:
    named = f' data-source="{html.escape(source)}" data-name="{html.escape(file_name)}"'
    video = named if source else ""
    escaped = data.replace("<", "\\u003c")
    body = f"""<header><h1>Timeline</h1><p>{html.escape(title)}</p>
<p id="who">{html.escape(who)}</p></header>
<main>{before}<div id="review" data-command="{html.escape(command)}"{video}></div>
<div id="timeline"></div></main>
<noscript>{without_script}{_NOTES}</noscript>
<script type="application/json" id="data">{escaped}</script>
<script type="application/json" id="notes">[]</script>"""
    return _page(title, body, _FILE, is_strict=True)


def app_page() -> str:
    """The page that a host of MCP Apps shows beside `poll_events`; blocks like `file_page`.

    Its policy is the host's to set.
    """
    body = """<main><p id="said" role="status">Waiting for the stream.</p>
<div id="timeline"></div></main>"""
    return _page("Timeline", body, _APP, is_strict=False)


_SHARED = ("timeline.css", "file.css", "zoom.js", "timeline.js")
_FILE = (*_SHARED, "review.css", "review.js", "save.js", "file.js")
_APP = (*_SHARED, "app.js")
_NOTES = '<table><tbody id="noted"></tbody></table>'
"""Where a page that is saved with notes has them for a browser without scripts."""
_IMPORT = re.compile(r"^import .*;\n", re.MULTILINE)


def _page(title: str, body: str, parts: Iterable[str], *, is_strict: bool) -> str:
    style = "".join(_read_static(part) for part in parts if part.endswith(".css"))
    # The scripts stand in one, so nothing is to be imported.
    code = _IMPORT.sub("", "".join(_read_static(part) for part in parts if part.endswith(".js")))
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(code)}; "
        "media-src blob: 'self'; base-uri 'none'; form-action 'none'"
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
    """All marks by time, as the page's own table has them; what was sent comes last."""
    marks = [(row, mark) for row in make_rows(drawing) for mark in row.marks]
    marks.sort(key=lambda pair: (pair[0].look == "segment", pair[1].start_seconds))
    lines = [
        f"<tr><td>{html.escape(row.name)}</td><td>{clock(mark.start_seconds)}</td>"
        f"<td>{'now' if mark.is_open else clock(mark.end_seconds)}</td>"
        f"<td>{html.escape(row.label(mark))}</td><td>{html.escape(mark.more)}</td></tr>"
        for row, mark in marks
    ]
    head = "<tr><th>what</th><th>from</th><th>to</th><th></th><th>why</th></tr>"
    return f"<table>{head}{''.join(lines)}</table>"
