// Busbar's demo page. What a browser test may rely on:
//
// #token, #name, #connect, #disconnect   sign in and out ("/demo#token=…" signs in by itself)
// #state            connection state in words; data-state is idle, connecting, open, waiting,
//                   unauthorised or closed; data-code is the last close code
// #notice           a line of warning, hidden when there is none
// #seq, #event-count, #row-count, #message-count   numbers
// #address          the WebSocket's address; #frames raw frames, newest first: li[data-sent]
// #page-snippet, #publish-snippet   the same for one's own page and backend
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
import * as address from "./address.js";
import { pullChanges, websocketPort } from "./api.js";
import { ChangeFeed } from "./changes.js";
import { bearerProtocol, forgetToken, keepToken, takeToken } from "./credentials.js";
import { decodeRowFrame } from "./frames.js";
import { Presence } from "./presence.js";
import { changeOfForm, publishAs, wirePublishing } from "./publish.js";
import { Row } from "./row.js";
import { pageSnippet, publishSnippet } from "./snippet.js";
import { Socket } from "./socket.js";
import * as view from "./view.js";

const { element } = view;
let token = "";

const socket = new Socket({
  onState, onText, onBinary,
  onSent: (text) => view.showFrame(true, text),
  address: () => address.socketURL(element("address").value, feed.highest),
});
const send = (message) => socket.send(message);
const feed = new ChangeFeed(view.showChange, (since) => pullChanges(token, since));
const presence = new Presence(send, view.showPeople, () => element("name").value.trim());
const row = new Row(send);

function onState(state) {
  view.showState(state);
  if (state.name === "open") {
    presence.join();
    row.resume();
  } else if (state.name !== "connecting") {
    presence.lost();
    row.lost();
  }
}

function onText(text) {
  view.showFrame(false, text);
  const message = parseObject(text);
  if (message === null) return;
  if (message.type === "presence") {
    presence.take(message);
    if (message.event !== "here") view.showPresence(message); // or heartbeats would fill the log
  } else if (message.type === "topic") {
    view.showTopic(message);
  } else if (message.type === "resync") {
    resync(message);
  } else if (Number.isSafeInteger(message.seq)) {
    feed.live(message);
  }
}

function onBinary(buffer) {
  view.showFrame(false, buffer);
  const frame = decodeRowFrame(buffer);
  if (frame === null) view.showBinary(buffer.byteLength);
  else {
    view.showRowFrame(frame);
    row.took(frame);
  }
}

async function resync(message) {
  view.showNotice("The server no longer has some of the changes that this page missed. Pulling what it has…");
  try {
    await feed.resync(message);
    view.showNotice(`Some changes before ${message.oldest_seq} may be missing here. Caught up with ${feed.highest}.`);
  } catch (error) {
    view.showNotice(`Could not pull the changes that were missed: ${error.message}`);
  }
}

async function signIn(newToken) {
  try {
    bearerProtocol(newToken);
    if (element("address").value.trim() === "") await fillAddress();
    address.socketURL(element("address").value, 0);
  } catch (error) {
    view.showNotice(`Could not connect: ${error.message}`);
    return;
  }
  view.showNotice("");
  if (newToken !== token) feed.highest = 0; // another user may see other changes
  token = newToken;
  keepToken(token);
  socket.open(token);
  publishAs(token);
}

async function fillAddress() {
  element("address").value = address.kept() || address.guess(location, await websocketPort());
  showSnippets();
}

function showSnippets() {
  element("page-snippet").textContent = pageSnippet(element("address").value);
  try {
    element("publish-snippet").textContent = publishSnippet(location.origin, changeOfForm());
  } catch {
    // the form's data is being typed
  }
}

function signOut() {
  presence.leave();
  socket.close();
  forgetToken();
  element("token").value = "";
  publishAs("");
}

function parseObject(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" ? value : null;
  } catch {
    return null;
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
on("topic-form", "submit", () => {
  send({ type: "topic", topic: element("topic").value, data: topicData(element("topic-data").value) });
});
wirePublishing((entity, rowId) => row.published(entity, rowId));
addEventListener("hashchange", signInFromPage);
addEventListener("pagehide", () => presence.leave());

element("address").addEventListener("change", () => {
  address.keep(element("address").value.trim());
  if (address.kept() === "") fillAddress(); // the guess again
  else showSnippets();
});
element("change-form").addEventListener("input", showSnippets);

element("name").value = `visitor-${Math.floor(Math.random() * 10_000)}`;
view.showState({ name: "idle" });
fillAddress()
  .then(signInFromPage)
  .catch((error) => view.showNotice(`Could not ask for the WebSocket's address: ${error.message}`));
