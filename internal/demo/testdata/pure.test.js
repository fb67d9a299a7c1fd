// What the page's modules do without a browser. Run by TestScripts, beside a copy of the modules.
import assert from "node:assert/strict";
import test from "node:test";
import { guess, socketURL } from "./address.js";
import { retryDelay, suggestedDelay } from "./backoff.js";
import { ChangeFeed, ResyncRequired } from "./changes.js";
import { bearerProtocol, tokenFromFragment } from "./credentials.js";
import { decodeRowFrame, describePayload } from "./frames.js";
import { People } from "./people.js";
import { pageSnippet, publishSnippet } from "./snippet.js";
import { stateInWords } from "./words.js";

const bytes = (...parts) => new Uint8Array(parts.flatMap((p) => typeof p === "string" ? [...new TextEncoder().encode(p)] : p)).buffer;

test("docs/protocol.md section 3: row frames", () => {
  const frame = decodeRowFrame(bytes(0x10, 0, 5, "Tödo", 0, 2, "t1", "milk"));
  assert.deepEqual([frame.kind, frame.entity, frame.rowId], ["snapshot", "Tödo", "t1"]);
  assert.deepEqual(describePayload(frame.payload), { form: "text", shown: "milk", cut: false });

  const long = "x".repeat(0x0102);
  const update = decodeRowFrame(bytes(0x11, 1, 2, long, 0, 1, "r", 0xff, 0x00));
  assert.deepEqual([update.kind, update.entity, update.rowId], ["update", long, "r"]);
  assert.deepEqual(describePayload(update.payload), { form: "hex", shown: "ff 00", cut: false });
});

test("what is no row frame", () => {
  const whole = [0x10, 0, 1, "a", 0, 1, "b"];
  assert.equal(decodeRowFrame(bytes(...whole)).payload.length, 0);
  assert.equal(decodeRowFrame(bytes()), null);
  assert.equal(decodeRowFrame(bytes(0x12, 0, 1, "a", 0, 1, "b")), null);
  for (let n = 1; n < 7; n += 1) assert.equal(decodeRowFrame(bytes(...whole).slice(0, n)), null, `${n} bytes`);
  assert.equal(decodeRowFrame(bytes(0x10, 0, 1, 0xff, 0, 1, "b")), null);
});

test("a long payload is shown in part", () => {
  const text = describePayload(new Uint8Array(5000).fill(0x61));
  assert.deepEqual([text.form, text.shown.length, text.cut], ["text", 4096, true]);
  const hex = describePayload(new Uint8Array(5000).fill(0xff));
  assert.deepEqual([hex.form, hex.shown.length, hex.cut], ["hex", 4096 * 3 - 1, true]);
});

test("docs/protocol.md section 1: the token in the subprotocol", () => {
  assert.equal(bearerProtocol("a b+c/%(é)"), "bearer.a%20b%2Bc%2F%25%28%C3%A9%29");
  assert.match(bearerProtocol("!#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"), /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/);
});

test("the token in the fragment", () => {
  assert.equal(tokenFromFragment("#token=a%2Fb+c"), "a/b+c");
  assert.equal(tokenFromFragment("#x=1&token=t=="), "t==");
  assert.equal(tokenFromFragment("#token=100%"), "100%");
  assert.equal(tokenFromFragment("#nottoken=t"), "");
  assert.equal(tokenFromFragment(""), "");
});

test("docs/protocol.md section 1: the socket's address, with ?since", () => {
  assert.equal(guess(new URL("http://127.0.0.1:4321/demo"), 4322), "ws://127.0.0.1:4322/");
  assert.equal(guess(new URL("http://[::1]:4321/demo"), 9), "ws://[::1]:9/");
  assert.equal(guess(new URL("https://push.test/demo"), 4322), "wss://push.test/"); // docs/proxies.md, one name for both
  assert.equal(guess(new URL("https://push.test:8443/demo"), 4322), "wss://push.test:8443/");
  assert.equal(socketURL("ws://127.0.0.1:4322/", 0), "ws://127.0.0.1:4322/?since=0");
  assert.equal(socketURL(" wss://push.test/socket?x=1#y ", 42), "wss://push.test/socket?x=1&since=42");
  for (const wrong of ["", "push.test", "https://push.test/", "javascript:alert(1)"]) {
    assert.throws(() => socketURL(wrong, 0), TypeError, wrong);
  }
});

test("docs/protocol.md section 3: a draining server says when to come back", () => {
  assert.equal(suggestedDelay(1012, "reconnect-after=2.4s"), 2400);
  assert.equal(suggestedDelay(1012, "reconnect-after=99999s"), 600_000);
  for (const reason of ["", "reconnect-after=2.4", "reconnect-after=2.4s, please", "reconnect-after=-1s"]) {
    assert.equal(suggestedDelay(1012, reason), null, reason);
  }
  assert.equal(suggestedDelay(1013, "reconnect-after=2.4s"), null);
});

test("snippets hold no token, and quote what they are given", () => {
  new Function(pageSnippet('ws://x"/')); // it can be parsed
  assert.match(pageSnippet("ws://x/"), /const url = "ws:\/\/x\/" \+/);
  assert.match(publishSnippet("http://x", { data: "it's" }), /-d '\{"data":"it'\\''s"\}'$/);
});

test("backoff doubles up to its limit and is spread", () => {
  assert.deepEqual([0, 1, 2].map((n) => retryDelay(n, 0)), [250, 500, 1000]);
  assert.equal(retryDelay(1000, 0), 15_000);
  assert.ok(retryDelay(1000, 0.999999) <= 30_000);
  assert.notEqual(retryDelay(3, 0.1), retryDelay(3, 0.9));
});

test("states in words name the close code and the reason", () => {
  assert.match(stateInWords({ name: "unauthorised", code: 1008, reason: "bearer token required" }), /Unauthorised.*1008.*bearer token required/);
  assert.match(stateInWords({ name: "waiting", code: 1013, reason: "", retryIn: 1500 }), /1013.*over capacity.*1\.5 s/);
});

test("who is here: joins, leaves, silence, and no more than 200", () => {
  const people = new People();
  assert.equal(people.take({ event: "join", from: "alice", name: "Al", page: "1" }, 0), true);
  assert.equal(people.take({ event: "here", from: "bob" }, 100_000), false);
  people.take({ event: "disconnect", clientId: 7 }, 100_000);
  assert.deepEqual(people.list(), [{ from: "alice", name: "Al" }, { from: "bob", name: "bob" }]);
  people.expire(200_000);
  assert.deepEqual(people.list(), [{ from: "bob", name: "bob" }]);
  people.take({ event: "leave", from: "bob" }, 200_000);
  assert.deepEqual(people.list(), []);
  for (let i = 0; i < 300; i += 1) people.take({ event: "join", from: `u${i}` }, i);
  assert.equal(people.list().length, 200);
});

// feedOver gives a feed over a server's log, where pull answers two changes at a time.
function feedOver(log, during = () => {}) {
  const applied = [];
  const feed = new ChangeFeed((c) => applied.push(c.seq), async (since) => {
    if (since > 0 && (since < log[0] - 1 || since > log.at(-1))) throw new ResyncRequired("gone");
    const rest = log.filter((seq) => seq > since);
    const changes = rest.slice(0, 2).map((seq) => ({ seq }));
    during(feed);
    return { changes, last: changes.at(-1)?.seq ?? since, more: rest.length > 2 };
  });
  return { feed, applied };
}

test("live changes are applied once", () => {
  const { feed, applied } = feedOver([]);
  [3, 4, 4, 3, 9].forEach((seq) => feed.live({ seq }));
  assert.deepEqual(applied, [3, 4, 9]);
});

test("docs/protocol.md section 1: after a resync the page pulls, and live changes wait their turn", async () => {
  let told = false;
  const { feed, applied } = feedOver([5, 6, 7, 8, 9], (f) => {
    if (!told) [9, 10].forEach((seq) => f.live({ seq }));
    told = true;
  });
  feed.live({ seq: 2 });
  await feed.resync({ oldest_seq: 5, seq: 9 }); // since=2 is answered 410, since=0 isn't
  feed.live({ seq: 11 });
  assert.deepEqual(applied, [2, 5, 6, 7, 8, 9, 10, 11]);
});

test("docs/protocol.md section 1: a cursor from the future starts over", async () => {
  const { feed, applied } = feedOver([1, 2, 3]);
  feed.live({ seq: 900 });
  await feed.resync({ oldest_seq: 1, seq: 3 });
  assert.deepEqual(applied, [900, 1, 2, 3]);
});

test("a server that lost its log starts over, even if it has passed the cursor again", async () => {
  const { feed, applied } = feedOver([1, 2, 901]);
  feed.live({ seq: 900 });
  await feed.resync({ oldest_seq: 1, seq: 2 });
  assert.deepEqual(applied, [900, 1, 2, 901]);
});

test("a server that lost its log after it said resync starts over", async () => {
  const { feed, applied } = feedOver([1, 2, 3]);
  feed.live({ seq: 900 });
  await feed.resync({ oldest_seq: 800, seq: 1000 });
  assert.deepEqual(applied, [900, 1, 2, 3]);
});

test("more live changes than are held during a pull are pulled", async () => {
  const log = [1];
  const { feed, applied } = feedOver(log, (f) => {
    if (log.length > 1) return;
    for (let seq = 2; seq <= 1500; seq += 1) { log.push(seq); f.live({ seq }); }
  });
  await feed.resync({ oldest_seq: 1, seq: 1 });
  assert.deepEqual(applied, log);
});

test("a failing pull leaves the feed live", async () => {
  const applied = [];
  const feed = new ChangeFeed((c) => applied.push(c.seq), async () => {
    feed.live({ seq: 1 });
    throw new Error("no network");
  });
  await assert.rejects(feed.resync({ oldest_seq: 1, seq: 1 }), /no network/);
  feed.live({ seq: 2 });
  assert.deepEqual(applied, [1, 2]);
});
