// The page that shows how a server is. What a browser test may rely on:
//
// #token, #show, #sign-out    the admin token; this tab's session storage keeps it
// #state            data-state is idle, serving, degraded, draining or away
// #notice           a line of warning, hidden when there is none
// body[data-at]     the "at" of the answer of GET /v1/stats that all figures are of
// [data-stat]       a figure of that answer, by its path there; data-value is what it is exactly
// [data-rate]       the same for how much one grows a second, by the last two answers
// #loops, #laggards, #closes, #causes, #losses    tables; rows of the last two have data-name
import { Chart } from "./charts.js";
import { History, quantile, rate } from "./history.js";
import { Poll, Refused } from "./poll.js";
import * as show from "./show.js";

const { element } = show;
const storageKey = "busbar-admin-token";

const charts = {
  connections: new Chart(element("chart-connections"), "count"),
  deliveries: new Chart(element("chart-deliveries"), "count"),
  last: new Chart(element("chart-last"), "seconds"),
  lost: new Chart(element("chart-lost"), "count"),
};
const poll = new Poll(took, failed);
let history = new History();

function took({ stats, laggards, closes }) {
  element("numbers").hidden = false;
  show.showNotice("");
  history.add(stats);
  show.showServer(stats);
  show.showFigures(history);
  show.showLoops(history);
  show.showCounts("causes", history, (a) => a.closed);
  show.showCounts("losses", history, show.lostOf);
  show.showLaggards(laggards, stats.at);
  show.showCloses(closes, stats.at);
  drawCharts();
}

function drawCharts() {
  charts.connections.show(["connections"], history.curves([({ answer }) => answer.connections]));
  charts.deliveries.show(["deliveries a second"], history.curves([
    (entry, previous) => rate(previous, entry, (a) => a.frames_delivered)]));
  const within = (p) => (entry, previous) => (previous
    ? quantile(p, show.lastSubscriber(previous.answer), show.lastSubscriber(entry.answer)) : NaN);
  charts.last.show(["half within", "99 % within"], history.curves([within(0.5), within(0.99)]));
  const [names, curves] = show.lostByCause(history);
  charts.lost.show(names, curves);
}

function failed(error) {
  if (error instanceof Refused) {
    signOut();
    show.showNotice(error.message);
    return;
  }
  show.showState("away", "No answer");
  show.showNotice(`The server can't be asked: ${error.message}. Trying again.`);
}

function signIn(token) {
  sessionStorage.setItem(storageKey, token);
  element("signin-card").hidden = true;
  element("sign-out").hidden = false;
  show.showNotice("");
  show.showState("idle", "Asking…");
  poll.start(token);
}

function signOut() {
  poll.stop();
  sessionStorage.removeItem(storageKey);
  history = new History();
  element("token").value = "";
  element("numbers").hidden = true;
  element("signin-card").hidden = false;
  element("sign-out").hidden = true;
  show.showState("idle", "Not signed in");
}

element("signin").addEventListener("submit", (event) => {
  event.preventDefault();
  signIn(element("token").value.trim());
});
element("sign-out").addEventListener("click", () => {
  show.showNotice("");
  signOut();
});

const kept = sessionStorage.getItem(storageKey);
if (kept) signIn(kept);
else element("signin-card").hidden = false;

// A program that embeds the API may have no demo page.
fetch("/demo", { method: "HEAD" }).then(({ ok }) => { element("demo").hidden = !ok; }, () => {});
