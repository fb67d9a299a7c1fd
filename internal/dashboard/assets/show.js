// What the page shows of the answers. Everything that comes from outside goes in as text, never as markup.
import { cause, count, formats, seconds, span } from "./format.js";
import { at, quantile, rate, sum } from "./history.js";

const minute = 60;
const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

// element finds an element of the page by its id.
export const element = (id) => document.getElementById(id);

// lastSubscriber is the histogram of the time from publishing to having handed a broadcast to a loop's last subscriber.
export const lastSubscriber = (answer) => answer.durations.broadcast_last_send;

// lostOf is how many messages clients were owed and not sent, by cause.
export const lostOf = ({ lost }) => Object.fromEntries(Object.entries(lost).map(([name, kinds]) => [name, sum(kinds)]));

// set shows a figure. Exactly what it is stands in data-value.
function set(node, value, as) {
  node.dataset.value = value;
  node.textContent = formats[as](value);
}

// showFigures fills in all elements that name their figure themselves.
export function showFigures(history) {
  const { answer } = history.last;
  document.body.dataset.at = answer.at;
  for (const node of document.querySelectorAll("[data-stat]")) set(node, at(answer, node.dataset.stat), node.dataset.as);
  for (const node of document.querySelectorAll("[data-rate]")) {
    set(node, history.rate((a) => at(a, node.dataset.rate)), node.dataset.as);
  }
  const within = (p, read) => quantile(p, ...[history.before(minute), history.last].map((entry) => entry && read(entry.answer)));
  set(element("last-p99"), within(0.99, lastSubscriber), "seconds");
  element("last-p50").textContent = seconds(within(0.5, lastSubscriber));
  set(element("append-p99"), within(0.99, (a) => a.durations.log_append), "seconds");
  set(element("lost"), sum(lostOf(answer)), "count");
  element("lost-minute").textContent = count(history.grown(minute, (a) => sum(lostOf(a))));
  set(element("buffered"), sum(answer.buffered), "bytes");
  set(element("per-connection"), answer.connections > 0 ? answer.process.resident_bytes / answer.connections : NaN, "bytes");
}

// showServer shows what the server says of itself.
export function showServer({ at: now, server, clients }) {
  const state = server.draining ? "draining" : server.ready ? "serving" : "degraded";
  showState(state, { draining: "Draining", serving: "Serving", degraded: `Degraded: ${server.not_ready}` }[state]);
  document.title = `${count(clients)} clients – Busbar`;
  element("version").textContent = server.version ?? "";
  element("log-state").textContent = `${server.change_log ?? "memory"}, ${server.ready ? "ready" : server.not_ready}`;
  element("nats-fact").hidden = !server.nats;
  if (server.nats) {
    const { state: connection, server: where, reconnects } = server.nats;
    element("nats-state").textContent = `${connection}${where ? ` to ${where}` : ""}, ${count(reconnects)} reconnects`;
  }
  element("started").textContent = `${day.format(new Date(server.started_at))}, for ${since(server.started_at, now)}`;
}

// showState shows the state in the page's head: idle, serving, degraded, draining or away.
export function showState(state, words) {
  element("state").dataset.state = state;
  element("state").textContent = words;
}

// showNotice shows one line above the page; "" hides it.
export function showNotice(words) {
  element("notice").textContent = words;
  element("notice").hidden = words === "";
}

// showLoops shows how evenly clients and deliveries are spread over the loops.
export function showLoops(history) {
  const { loops } = history.last.answer;
  const rates = loops.map((_, i) => history.rate((a) => a.loops[i]?.frames_out));
  const most = { clients: Math.max(...loops.map((l) => l.clients)), rate: Math.max(...rates) };
  fill("loops", loops.map((loop, i) => [
    String(i), figure(loop.clients), share(loop.clients, most.clients), figure(rates[i]), share(rates[i], most.rate),
    figure(loop.queue_frames),
  ]));
}

// showCounts shows a counter for each of several causes, those that are more than none; most first.
export function showCounts(id, history, read) {
  const causes = Object.entries(read(history.last.answer)).filter(([, n]) => n > 0).sort(([, a], [, b]) => b - a);
  fill(id, causes.map(([name, n]) => {
    const row = [cause(name), figure(history.grown(minute, (a) => read(a)[name])), figure(n)];
    row.name = name;
    return row;
  }));
}

// showLaggards shows the answer of GET /v1/laggards, which may be null.
export function showLaggards(answer, now) {
  fill("laggards", (answer?.laggards ?? []).map((c) => [
    String(c.id), c.is_admin ? "admin" : c.user_id, c.tenant ?? "", c.address, figure(c.bytes, "bytes"), figure(c.messages),
    since(c.behind_since, now), cause(c.state),
  ]));
}

// showCloses shows the answer of GET /v1/closes, which may be null.
export function showCloses(answer, now) {
  fill("closes", (answer?.closes ?? []).map((c) => [
    `${since(c.closed_at, now)} ago`, cause(c.cause), String(c.id), c.user_id ?? "", c.tenant ?? "", c.address,
    since(c.connected_at, c.closed_at), figure(c.lost_messages ?? 0),
  ]));
}

// lostByCause are the names of the causes of losses and a curve for each.
export function lostByCause(history) {
  const causes = Object.entries(lostOf(history.last.answer)).filter(([, n]) => n > 0).map(([name]) => name);
  const reads = causes.map((name) => (entry, previous) => rate(previous, entry, (a) => lostOf(a)[name]));
  return [causes.map(cause), history.curves(reads)];
}

const since = (from, to) => span((Date.parse(to) - Date.parse(from)) / 1000);

function figure(value, as = "count") {
  const node = document.createElement("td");
  node.className = "n";
  set(node, value, as);
  return node;
}

function share(value, most) {
  const node = document.createElement("td");
  node.className = "share";
  const bar = document.createElement("span");
  bar.style.width = `${most > 0 ? 100 * value / most : 0}%`;
  node.append(bar);
  return node;
}

// fill writes a table's rows, lists of cells: nodes, or texts. Without rows what stands behind the table is shown.
function fill(id, rows) {
  const table = element(id);
  table.tBodies[0].replaceChildren(...rows.map((cells) => {
    const row = document.createElement("tr");
    if (cells.name) row.dataset.name = cells.name;
    row.append(...cells.map((cell) => {
      if (typeof cell !== "string") return cell;
      const node = document.createElement("td");
      node.textContent = cell;
      return node;
    }));
    return row;
  }));
  table.parentElement.hidden = rows.length === 0;
  const empty = table.parentElement.nextElementSibling;
  if (empty) empty.hidden = rows.length > 0;
}
