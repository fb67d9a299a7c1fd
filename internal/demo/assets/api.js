// The HTTP calls of docs/protocol.md section 5 that this page makes. All go to the page's own origin.

const timeout = 10_000;

// config asks the server on which port its WebSocket is, and by what clients sign in.
export async function config() {
  const { ws_port: port, auth } = await call("GET", "/demo/config.json");
  return { port, auth };
}

// mayPublish asks whether a token opens the calls that publish.
export async function mayPublish(token) {
  const { is_admin: admin, roles } = await call("GET", "/api/auth/me", token);
  return admin || roles.includes("publisher");
}

// publishChange gives the new event's seq.
export async function publishChange(adminToken, change) {
  const answer = await call("POST", "/v1/changes", adminToken, JSON.stringify(change), "application/json");
  return answer.seq;
}

// publishRow publishes payload, a string, as the row's snapshot, or as an update that isn't stored.
export async function publishRow(adminToken, { entity, rowId, payload, update }) {
  const path = `/v1/rows/${encodeURIComponent(entity)}/${encodeURIComponent(rowId)}${update ? "?update=1" : ""}`;
  await call("PUT", path, adminToken, payload, "application/octet-stream");
}

async function call(method, path, token, body, contentType) {
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (contentType) headers["Content-Type"] = contentType;
  const signal = AbortSignal.timeout(timeout);
  const response = await fetch(path, { method, headers, body, signal, credentials: "omit", cache: "no-store" });
  const answer = parse(await response.text());
  if (response.ok) return answer;
  const message = answer.error?.message ?? response.statusText;
  throw new Error(`${method} ${path.split("?")[0]}: ${response.status} ${message}`);
}

// Some successes have no body, and a proxy in front may answer in HTML.
function parse(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}
