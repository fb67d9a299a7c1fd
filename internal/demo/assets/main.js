// Busbar's demo page, with the client that the server has for everybody's pages. What a browser test may rely on:
//
// #token, #name, #connect, #disconnect   sign in and out ("/demo#token=…" signs in by itself)
// #state            connection state in words; data-state is idle, connecting, open, waiting,
//                   unauthorised or closed; data-code is the last close code
// #notice           a line of warning, hidden when there is none
// #seq, #event-count, #row-count, #message-count   numbers
// #address          the WebSocket's address; #frames raw frames, newest first: li[data-sent]
// #page-snippet, #socket-snippet, #publish-snippet   the same for one's own page and backend
// #events           change events, newest first, at most 200: li[data-seq]
// #presence         who is here: li[data-from]; #presence-count; #presence-log: li[data-event],
//                   without the pages' "here" heartbeats
// #row-entity, #row-id, #row-subscribe, #row-unsubscribe, #row-state   the subscription
// #row-frame        last row frame (data-kind snapshot or update, data-count frames so far), in it
//                   #row-frame-type, #row-frame-row, #row-frame-size, #row-frame-form, #row-frame-payload
// #topic, #topic-data, #topic-send, #messages      topic messages
// #admin-token, #publish-result (data-ok true or false), and
// #change-entity, #change-row-id, #change-kind, #change-data, #change-send,
// #put-entity, #put-row-id, #put-mode, #put-payload, #put-send   publishing over HTTP
import { Client } from "/busbar.js";
import * as address from "./address.js";
import { config } from "./api.js";
import { forgetToken, keepToken, takeToken } from "./credentials.js";
import { Presence } from "./presence.js";
import { changeOfForm, publishAs, wirePublishing } from "./publish.js";
import { Row } from "./row.js";
import { pageSnippet, publishSnippet, socketSnippet } from "./snippet.js";
import * as view from "./view.js";

const { element } = view;
const policyViolation = 1008;
let client = null;

const presence = new Presence((message) => client?.send(message), view.showPeople, () => element("name").value.trim());
const row = new Row();

// Watched is the browser's WebSocket, and shows each message that goes over it.
class Watched extends WebSocket {
  constructor(...where) {
    super(...where);
    this.addEventListener("message", ({ data }) => view.showFrame(false, data));
  }

  send(data) {
    super.send(data);
    view.showFrame(true, data);
  }
}

// connect replaces the connection, if there is one, and shows all that there is.
function connect(token) {
  client?.close();
  const url = address.checked(element("address").value);
  const mine = client = new Client({ url, token, since: 0, api: location.origin, WebSocket: Watched });
  const handlers = {
    state: onState,
    change: view.showChange,
    row: onRow,
    topic: view.showTopic,
    presence: onPresence,
    left: view.showLeft,
    binary: (bytes) => view.showBinary(bytes.length),
    lost: ({ from, to }) => view.showNotice(`Changes behind ${from} up to ${to} were lost on the way. What the server has of them is fetched.`),
    error: (error) => view.showNotice(error.message),
  };
  for (const [type, handle] of Object.entries(handlers)) client.on(type, (event) => client === mine && handle(event));
  row.on(client);
  client.connect();
}

function onState({ name, code, reason, delay }) {
  if (name === "closed" && code === policyViolation) name = "unauthorised";
  view.showState({ name, code, reason, retryIn: delay });
  if (name === "open") presence.join();
  else if (name !== "connecting") {
    presence.lost();
    row.lost();
  }
}

function onRow(frame) {
  view.showRowFrame(frame);
  row.took(frame);
}

function onPresence(message) {
  presence.take(message);
  if (message.event !== "here") view.showPresence(message); // or heartbeats would fill the log
}

function signIn(token) {
  try {
    connect(token);
  } catch (error) {
    view.showNotice(`Could not connect: ${error.message}`);
    return;
  }
  view.showNotice("");
  keepToken(token);
  publishAs(token);
}

function signOut() {
  presence.leave();
  client?.close();
  forgetToken();
  element("token").value = "";
  publishAs("");
}

// fillAddress fills in the address that this tab has kept, or else the page's guess, and says where tokens are from.
async function fillAddress() {
  const { port, auth } = await config();
  for (const words of document.querySelectorAll("[data-auth]")) words.hidden = words.dataset.auth !== auth;
  element("address").value = address.kept() || address.guess(location, port);
  showSnippets();
}

function showSnippets() {
  const where = element("address").value.trim();
  element("page-snippet").textContent = pageSnippet(location.origin, where);
  element("socket-snippet").textContent = socketSnippet(where);
  try {
    element("publish-snippet").textContent = publishSnippet(location.origin, changeOfForm());
  } catch {
    // the form's data is being typed
  }
}

function topicData(words) {
  try {
    return JSON.parse(words);
  } catch {
    return words;
  }
}

function on(id, type, act) {
  element(id).addEventListener(type, (event) => {
    event.preventDefault();
    act();
  });
}

function signInFromPage() {
  const found = takeToken();
  if (found === "") return;
  element("token").value = found;
  signIn(found);
}

on("signin", "submit", () => signIn(element("token").value.trim()));
on("disconnect", "click", signOut);
on("row-form", "submit", () => row.watch(element("row-entity").value, element("row-id").value));
on("row-unsubscribe", "click", () => row.unwatch());
on("topic-form", "submit", () => client?.sendTopic(element("topic").value, topicData(element("topic-data").value)));
on("address", "change", () => {
  address.keep(element("address").value.trim());
  if (address.kept() === "") fillAddress(); // the guess again
  else showSnippets();
});
element("change-form").addEventListener("input", showSnippets);
wirePublishing();
addEventListener("hashchange", signInFromPage);
addEventListener("pagehide", () => presence.leave());

element("name").value = `visitor-${Math.floor(Math.random() * 10_000)}`;
view.showState({ name: "idle" });
fillAddress()
  .then(signInFromPage)
  .catch((error) => view.showNotice(`Could not ask for the WebSocket's address: ${error.message}`));
