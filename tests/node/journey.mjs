// `node journey.mjs URL KEY CLIENT`: a whole live job by the TypeScript SDK; prints what it read as JSON.
// CLIENT is the package: of 2026-07-28 (`client`), the same in the older era (`client-legacy`), or v1 (`sdk`).
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { readFileSync } from "node:fs";

const [url, key, which, segments] = process.argv.slice(2);
const find = createRequire(`${process.env.IH_MCP_NODE}/package.json`);
const load = (name) => import(pathToFileURL(find.resolve(name)));
const [{ Client }, { StreamableHTTPClientTransport }] =
  which === "sdk"
    ? await Promise.all([
        load("@modelcontextprotocol/sdk/client/index.js"),
        load("@modelcontextprotocol/sdk/client/streamableHttp.js"),
      ])
    : Array(2).fill(await load("@modelcontextprotocol/client"));

const headers = { Authorization: `Bearer ${key}` };
const client = new Client(
  { name: "journey", version: "1" },
  which === "client" ? { versionNegotiation: { mode: "auto" } } : {},
);
await client.connect(new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { requestInit: { headers } }));

async function call(name, args = {}) {
  const { content, isError } = await client.callTool({ name, arguments: args });
  const texts = content.map((block) => block.text);
  if (isError) throw new Error(`${name}: ${texts.join("\n")}`);
  return [JSON.parse(texts[0]).ih_mcp, texts.slice(1)];
}

const { tools } = await client.listTools();
const [{ stream_id }] = await call("start_stream", { include: [] });
for (const [index, data_base64] of JSON.parse(readFileSync(segments)).entries())
  await call("push_segment", { stream_id, seq: index + 1, data_base64 });
await call("end_stream", { stream_id });
const messages = [];
for (let cursor = 0, ended = false; !ended; ) {
  const [now, read] = await call("poll_events", { stream_id, cursor, wait_s: 20 });
  messages.push(...read);
  ({ next_cursor: cursor, ended } = now);
}
const { contents } = await client.readResource({ uri: `ih://streams/${stream_id}/messages` });
console.log(JSON.stringify({ tools: tools.length, messages, resource: contents[0].text.trim().split("\n") }));
await client.close();
