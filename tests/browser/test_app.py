"""The timeline as an app in a host: a sandboxed frame, and JSON-RPC by postMessage."""

from __future__ import annotations

import json

from ih_mcp.timeline.html import app_page
from tests.timeline.known import drawing

from .conftest import OpenBrowser, open_tab

# What a host does (MCP Apps, 2026-01-26): answers, hands results over, reads resources.
_HOST = """
const frame = document.createElement("iframe");
window.asked = [];
frame.sandbox = "allow-scripts";
addEventListener("message", ({source, data}) => {
  if (source !== frame.contentWindow) return;
  window.asked.push(data.method);
  const reply = (word) => frame.contentWindow.postMessage({jsonrpc: "2.0", ...word}, "*");
  const answer = (result) => reply({id: data.id, result});
  if (data.method === "ui/initialize") {
    answer({protocolVersion: data.params.protocolVersion, hostInfo: {name: "t", version: "1"},
            hostCapabilities: {}, hostContext: {theme: "dark"}});
  } else if (data.method === "ui/notifications/initialized") {
    reply({method: "ui/notifications/tool-result",
           params: {content: [{type: "text", text: STATUS}]}});
  } else if (data.method === "resources/read" && TIMELINE) {
    answer({contents: [{uri: data.params.uri, text: TIMELINE}]});
  } else if (data.method === "resources/read") {
    reply({id: data.id, error: {code: -32601, message: "not here"}});
  }
});
frame.srcdoc = PAGE;
document.body.append(frame);
"""

_PAGE = app_page()


def host(timeline: str | None) -> str:
    status = json.dumps({"ih_mcp": {"stream_id": "st_1", "state": "ended"}})
    values = {"STATUS": status, "TIMELINE": timeline, "PAGE": _PAGE}
    return (
        "".join(f"const {name} = {json.dumps(value)};\n" for name, value in values.items()) + _HOST
    )


async def test_a_host_shows_the_timeline_of_the_stream_that_was_polled(
    open_browser: OpenBrowser,
) -> None:
    async with open_browser() as context:
        tab = await open_tab(context, "about:blank")
        await tab.page.evaluate(host(json.dumps(drawing())))
        frame = tab.page.frame_locator("iframe")
        await frame.get_by_text("st_1: ended").wait_for()
        assert await frame.locator(".timeline-item").count() == 4 + 2 + 2 + 2 + 4
        asked = await tab.page.evaluate("window.asked")
        assert asked[:3] == ["ui/initialize", "ui/notifications/initialized", "resources/read"]
        await tab.page.wait_for_function("window.asked.includes('ui/notifications/size-changed')")
        await tab.went_well()


async def test_a_host_that_gives_no_resources_leaves_words(open_browser: OpenBrowser) -> None:
    async with open_browser() as context:
        tab = await open_tab(context, "about:blank")
        await tab.page.evaluate(host(None))
        frame = tab.page.frame_locator("iframe")
        await frame.get_by_text("The host did not give the timeline (not here)").wait_for()
