"""The page behind an upload's address, for a person: choose a file, and it is sent."""

from __future__ import annotations

import base64
import hashlib
import html

from starlette.responses import HTMLResponse, Response

_SCRIPT = r"""
const say = document.querySelector("output");
/** What happened and what helps, as sentences; a name at the start keeps its case. */
function sentences({ what, help }) {
  if (!what) return help;
  const begun = what.replace(/^\p{L}(?=[\p{L}']*(\s|$))/u, (letter) => letter.toUpperCase());
  return `${begun.replace(/\.$/, "")}. ${help}`;
}
document.querySelector("input").addEventListener("change", async ({ target }) => {
  const file = target.files[0];
  if (!file) return;
  say.textContent = "Sending " + file.name + " ...";
  const answer = await fetch(location.href, { method: "PUT", body: file }).catch(() => null);
  if (answer?.ok) {
    say.textContent = "Sent. You can close this page.";
    target.disabled = true;
    return;
  }
  const error = (await answer?.json().catch(() => null))?.ih_mcp?.error;
  const other = answer ? `The answer was ${answer.status}.` : "No answer came.";
  say.textContent = error ? sentences(error) : `${other} The file was not sent. Try again.`;
  target.value = ""; // so that the same file can be chosen again
});
"""
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Send a video</title>
<style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem;
color-scheme:light dark}}</style>
<h1>Send a video</h1>
<p><label>The video that was asked for as <strong>{name}</strong>: <input type="file"></label></p>
<p><output>It is sent as soon as you choose it, and removed after a day.</output></p>
<script>{script}</script></html>
"""
_HASH = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; script-src 'sha256-{_HASH}'; style-src 'unsafe-inline'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def upload_page(file_name: str) -> Response:
    page = _PAGE.format(name=html.escape(file_name), script=_SCRIPT)
    return HTMLResponse(
        page, headers={"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
    )
