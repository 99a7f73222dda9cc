
// In a host's app (MCP Apps, 2026-01-26): JSON-RPC with the host by postMessage. Each answer of
// poll_events names a stream; its drawing is read from the server as a resource.
const said = document.getElementById("said");
const view = new TimelineView(document.getElementById("timeline"));
const waiting = new Map();
let lastId = 0;

function send(message) { window.parent.postMessage({ jsonrpc: "2.0", ...message }, "*"); }

function ask(method, params) {
  const id = ++lastId;
  send({ id, method, params });
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

async function show(result) {
  const text = result?.content?.find(({ type }) => type === "text")?.text ?? "";
  let status;
  try { status = JSON.parse(text).ih_mcp; } catch { status = undefined; }
  if (!status?.stream_id) { said.textContent = text || "There is no stream in this answer."; return; }
  try {
    const { contents } = await ask("resources/read", { uri: `ih://streams/${status.stream_id}/timeline` });
    const drawing = JSON.parse(contents[0].text);
    view.draw(drawing);
    said.textContent = `${status.stream_id}: ${status.state ?? ""}${drawing.stand_in ? `. ${drawing.stand_in}` : ""}`;
  } catch (error) {
    said.textContent = `The host did not give the timeline (${error.message}); the answer has the messages.`;
  }
  const { scrollWidth: width, scrollHeight: height } = document.documentElement;
  send({ method: "ui/notifications/size-changed", params: { width, height } });
}

const notifications = {
  "ui/notifications/tool-result": show,
  "ui/notifications/host-context-changed": ({ theme }) => { if (theme) document.documentElement.style.colorScheme = theme; },
};

window.addEventListener("message", ({ source, data }) => {
  if (source !== window.parent || data?.jsonrpc !== "2.0") return;
  if (data.method) {
    notifications[data.method]?.(data.params ?? {});
    if (data.id !== undefined) send({ id: data.id, result: {} }); // ping, teardown: nothing to do
  } else if (waiting.has(data.id)) {
    const { resolve, reject } = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.error) reject(new Error(data.error.message));
    else resolve(data.result);
  }
});

const { hostContext } = await ask("ui/initialize", {
  protocolVersion: "2026-01-26",
  appInfo: { name: "ih-mcp timeline", version: "1" },
  appCapabilities: {},
});
notifications["ui/notifications/host-context-changed"](hostContext ?? {});
send({ method: "ui/notifications/initialized", params: {} });
