// What the page shows. Everything that comes from outside goes in as text, never as markup.
import { describePayload, hex } from "./payload.js";
import { NewestFirst } from "./list.js";
import { stateInWords } from "./words.js";

const maxShown = 500;

// element finds an element of the page by its id.
export const element = (id) => document.getElementById(id);

const events = new NewestFirst(element("events"), element("events-empty"));
const presenceLog = new NewestFirst(element("presence-log"));
const frames = new NewestFirst(element("frames"), element("frames-empty"));
const messages = new NewestFirst(element("messages"), element("messages-empty"));

// showState shows the connection's state in words and switches the buttons that depend on it.
export function showState(state) {
  const line = element("state");
  line.dataset.state = state.name;
  line.dataset.code = state.code ?? "";
  line.textContent = stateInWords(state);
  document.body.dataset.state = state.name; // which says what button is the loud one
  const off = ["idle", "closed", "unauthorised"].includes(state.name);
  element("connect").hidden = !off;
  element("disconnect").hidden = off;
  element("disconnect").textContent = state.name === "open" ? "Disconnect" : "Stop trying";
  element("topic-send").disabled = state.name !== "open";
}

// showFrame adds a raw frame; sent is whether this page has sent it. data is a string or an ArrayBuffer.
export function showFrame(sent, data) {
  const binary = typeof data !== "string";
  const size = binary ? data.byteLength : new TextEncoder().encode(data).length;
  const row = document.createElement("li");
  row.dataset.sent = sent;
  row.append(span("way", sent ? "sent" : "received"), span("meta", `${binary ? "binary" : "text"}, ${size} bytes`),
    span("wide", binary ? bytesInHex(data) : short(data)));
  frames.add(row);
}

// bytesInHex is the beginning of a binary frame.
function bytesInHex(data) {
  const shown = new Uint8Array(data).subarray(0, 64);
  return hex(shown) + (data.byteLength > shown.length ? " …" : "");
}

// showNotice shows one line above the page; "" hides it.
export function showNotice(words) {
  element("notice").textContent = words;
  element("notice").hidden = words === "";
}

// showChange adds one change event.
export function showChange(change) {
  const row = document.createElement("li");
  row.dataset.seq = change.seq;
  const kind = span("kind", change.kind);
  kind.dataset.kind = change.kind;
  row.append(span("meta", `#${change.seq}`), kind, bold(`${change.entity}/${change.row_id}`),
    span("meta end", clock(change.timestamp)));
  if (change.data !== undefined) row.append(span("wide", short(change.data)));
  events.add(row);
  element("seq").textContent = change.seq;
  count("event-count");
}

// showPresence adds one presence message to the log, whatever it says of itself.
export function showPresence(message) {
  logPresence(message.event, bold(short(message.name ?? message.from)), span("meta", short(message.event)),
    span("meta end", `from ${short(message.from)}`));
}

// showLeft adds who has left, which only the server says.
export function showLeft(ids) {
  logPresence("disconnect", bold(ids.length > 1 ? `${ids.length} clients` : `client ${short(ids[0])}`), span("meta", "disconnected"));
}

function logPresence(event, ...parts) {
  const row = document.createElement("li");
  row.append(...parts);
  row.dataset.event = short(event);
  presenceLog.add(row);
}

// showPeople shows who is here, a list of {from, name}.
export function showPeople(people) {
  element("presence").replaceChildren(...people.map(({ from, name }) => {
    const chip = document.createElement("li");
    chip.dataset.from = from;
    chip.append(span("", name));
    if (name !== from) chip.append(" ", span("meta", from));
    return chip;
  }));
  element("presence-count").textContent = people.length;
  element("presence-empty").hidden = people.length > 0;
}

// showTopic adds one topic message.
export function showTopic(message) {
  addMessage(short(message.topic), short(message.data), message.from === undefined ? "from the API" : `from ${short(message.from)}`);
}

// showBinary adds a binary message that is no row frame.
export function showBinary(length) {
  addMessage("binary", `${length} bytes`, "");
}

// showRowFrame shows the last row frame in place of the one before.
export function showRowFrame({ kind, entity, rowId, payload }) {
  const { form, shown, cut } = describePayload(payload);
  const frame = element("row-frame");
  frame.hidden = false;
  frame.dataset.kind = kind;
  frame.dataset.count = Number(frame.dataset.count) + 1;
  element("row-frame-type").textContent = kind;
  element("row-frame-row").textContent = `${entity}/${rowId}`;
  element("row-frame-size").textContent = `${payload.length} bytes`;
  element("row-frame-form").textContent = `As ${form}${cut ? ", its beginning" : ""}`;
  element("row-frame-payload").textContent = shown;
  count("row-count");
}

// showResult shows how a call that publishes ended.
export function showResult(ok, words) {
  element("publish-result").dataset.ok = ok;
  element("publish-result").textContent = words;
}

function addMessage(title, body, end) {
  const row = document.createElement("li");
  row.append(bold(title), span("", body), span("meta end", end));
  messages.add(row);
  count("message-count");
}

function count(id) {
  element(id).textContent = Number(element(id).textContent) + 1;
}

function span(className, words) {
  const node = document.createElement("span");
  node.className = className;
  node.textContent = words;
  return node;
}

function bold(words) {
  const node = document.createElement("b");
  node.textContent = words;
  return node;
}

function short(value) {
  const words = typeof value === "string" ? value : JSON.stringify(value) ?? "";
  return words.length > maxShown ? words.slice(0, maxShown) + "…" : words;
}

// A change's timestamp is Unix seconds with a "Z" behind them.
function clock(timestamp) {
  const seconds = Number.parseInt(timestamp, 10);
  return Number.isFinite(seconds) ? new Date(seconds * 1000).toLocaleTimeString() : "";
}
