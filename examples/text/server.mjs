// The backend of a text that several people write at once. It merges what the pages send, and publishes it as the row
// Doc/notes: each update at once, and a snapshot with all of them soon after, for whoever comes later.
//
//   node server.mjs [address:port [Busbar's API [its data directory [its WebSocket, as the page sees it]]]]
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { LoroDoc } from "loro-crdt";

const [listen = "127.0.0.1:8000", api = "http://127.0.0.1:4321", data = "busbar-data", websocket] = process.argv.slice(2);
const admin = readFileSync(`${data}/admin-token`, "utf8").trim();

async function call(method, path, body, type = "application/octet-stream") {
  const headers = { Authorization: `Bearer ${admin}`, "Content-Type": type };
  const answer = await fetch(api + path, { method, headers, body });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer;
}

// An application keeps the document in its database.
const doc = new LoroDoc();
let last = Promise.resolve(); // what is published goes out in the order in which it was merged
function publish(query, bytes) {
  const published = last.then(() => call("PUT", `/v1/rows/Doc/notes${query}`, bytes));
  last = published.catch(() => {}); // whoever waits for it is told
  return published;
}
const publishSnapshot = () => publish("", doc.export({ mode: "snapshot" })).catch(console.error);
await publishSnapshot();

let soon;
async function update(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  const bytes = Buffer.concat(parts);
  doc.import(bytes);
  clearTimeout(soon);
  soon = setTimeout(publishSnapshot, 500);
  await publish("?update=1", bytes);
}

async function signIn({ headers }) {
  const body = JSON.stringify({ user_id: "writer", ttl_seconds: 3600 });
  const { token } = await (await call("POST", "/v1/sessions", body, "application/json")).json();
  return JSON.stringify({ url: websocket ?? `ws://${new URL(`http://${headers.host}`).hostname}:4322`, token });
}

const file = (name) => readFileSync(new URL(name, import.meta.url));
const loro = "node_modules/loro-crdt/web/";
const routes = {
  "GET /": () => [file("index.html"), "text/html"],
  "GET /busbar.js": () => [file("../../clients/js/dist/busbar.js"), "text/javascript"],
  "POST /sign-in": async (request) => [await signIn(request), "application/json"],
  "POST /update": async (request) => [await update(request) ?? "", "text/plain"],
};

createServer(async (request, response) => {
  const { pathname } = new URL(request.url, "http://here");
  try {
    const route = routes[`${request.method} ${pathname}`];
    const part = /^\/loro\/([a-z0-9/_-]+\.(js|wasm))$/.exec(pathname);
    const types = { js: "text/javascript", wasm: "application/wasm" };
    const [body, type] = route ? await route(request) : part ? [file(loro + part[1]), types[part[2]]] : [];
    response.writeHead(body === undefined ? 404 : 200, { "Content-Type": type ?? "text/plain" }).end(body);
  } catch (error) {
    console.error(error);
    response.writeHead(500).end();
  }
}).listen(listen.split(":")[1], listen.split(":")[0], function () {
  const { address, port } = this.address();
  console.log(`open http://${address}:${port}/ in two tabs`);
});
