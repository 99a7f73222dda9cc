// `node team_load.mjs` with a JSON object on standard input: `{replicas, keys, requests, callers, seconds}`.
// A balancer that gives each request to the next replica, and callers by autocannon that compare every answer. Later lines on
// standard input are the replicas from then on. Prints `{"url"}`, then what came of it.
import { createRequire } from "node:module";
import { Agent, createServer, request } from "node:http";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { createInterface } from "node:readline";

const autocannon = createRequire(`${process.env.IH_MCP_NODE}/package.json`)("autocannon");
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const read = async () => JSON.parse((await lines.next()).value ?? "null");
const { keys, requests, callers, seconds, ...told } = await read();
let { replicas } = told;
let turn = 0;
let caller = 0;
const agent = new Agent({ keepAlive: true });
const failed = []; // when, at which replica, and how
let cut = 0; // of these, in the middle of an answer
let answers = 0;

// A replica that refuses the connection is passed over; an answer that breaks off is an error for its caller.
function pass(asked, body, answer, left) {
  const url = replicas[turn++ % replicas.length];
  const { host, connection, "content-length": _, ...headers } = asked.headers;
  asked.socket.key ??= keys[caller++ % keys.length]; // each connection is a caller with a key of its own
  headers.authorization = `Bearer ${asked.socket.key}`;
  const sent = request(url + asked.url, { method: asked.method, headers, agent }, (found) => {
    const { connection, "transfer-encoding": _, ...kept } = found.headers;
    answer.writeHead(found.statusCode, kept);
    found.pipe(answer);
    found.on("error", break_off);
  });
  function break_off(error) {
    failed.push([Date.now(), url, error.code]);
    if (answer.headersSent) {
      cut += 1;
      return answer.destroy(); // its caller sees what came of the answer, or nothing
    }
    answer.writeHead(502).end(`balancer: ${error.code}`);
  }
  sent.on("error", (error) => {
    if (error.code === "ECONNREFUSED" && left > 0) return pass(asked, body, answer, left - 1);
    break_off(error);
  });
  sent.end(body);
}
const server = createServer((asked, answer) => {
  const parts = [];
  asked.on("data", (part) => parts.push(part));
  asked.on("end", () => pass(asked, Buffer.concat(parts), answer, replicas.length));
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const url = `http://127.0.0.1:${server.address().port}`;
console.log(JSON.stringify({ url }));
(async () => { for (let next; (next = await read()); ) replicas = next; })();

// An answer is the message alone, or a stream of events; one that is slow becomes a stream with pings, which keep it open.
const message = (text) => text.match(/^data: (.*)$/m)?.[1].trimEnd() ?? text;
const breaksOff = (found, expected) => expected.startsWith(found) || (/^(:|event:)/.test(found) && !/^data: .*\r?\n/m.test(found));
const turns = monitorEventLoopDelay(); // of this program, which sees failures so much later at most
turns.enable();
let errors = 0;
let torn = 0;
const example = [];
const runs = requests.map(({ headers, body, expected }) => {
  const run = autocannon({
    url: `${url}/mcp`, method: "POST", connections: callers / requests.length, duration: seconds, timeout: 60,
    headers, body,
    verifyBody: (found) => {
      if (found.startsWith("balancer:")) return true; // it is in `failed`
      answers += 1;
      const right = message(found) === message(expected);
      if (!right && torn < cut && breaksOff(found, expected)) {
        torn += 1; // it is in `failed` too
        answers -= 1;
        return true;
      }
      if (!right && example.length < 3) example.push(found.slice(0, 300));
      return right;
    },
  });
  run.on("reqError", () => (errors += 1));
  return run;
});
const results = await Promise.all(runs);
const wrong = results.reduce((sum, each) => sum + each.mismatches, 0);
const latency = results.map(({ latency: { p50, p99, max } }) => ({ p50, p99, max }));
console.log(JSON.stringify({ answers, wrong, failed, others: errors, latency, example, late_ms: turns.max / 1e6 }));
process.exit(0);
