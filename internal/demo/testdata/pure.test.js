// What the page's modules do without a browser. Run by TestPage, beside a copy of the modules.
import assert from "node:assert/strict";
import test from "node:test";
import { checked, guess } from "./address.js";
import { tokenFromFragment } from "./credentials.js";
import { describePayload } from "./payload.js";
import { People } from "./people.js";
import { pageSnippet, publishSnippet, socketSnippet } from "./snippet.js";
import { stateInWords } from "./words.js";

test("a payload is text if it is UTF-8", () => {
  const described = (bytes) => describePayload(new Uint8Array(bytes));
  assert.deepEqual(described([...new TextEncoder().encode("mülk")]), { form: "text", shown: "mülk", cut: false });
  assert.deepEqual(described([0xff, 0]), { form: "hex", shown: "ff 00", cut: false });
});

test("a long payload is shown in part", () => {
  const text = describePayload(new Uint8Array(5000).fill(0x61));
  assert.deepEqual([text.form, text.shown.length, text.cut], ["text", 4096, true]);
  const hex = describePayload(new Uint8Array(5000).fill(0xff));
  assert.deepEqual([hex.form, hex.shown.length, hex.cut], ["hex", 4096 * 3 - 1, true]);
});

test("the token in the fragment", () => {
  assert.equal(tokenFromFragment("#token=a%2Fb+c"), "a/b+c");
  assert.equal(tokenFromFragment("#x=1&token=t=="), "t==");
  assert.equal(tokenFromFragment("#token=100%"), "100%");
  assert.equal(tokenFromFragment("#nottoken=t"), "");
  assert.equal(tokenFromFragment(""), "");
});

test("docs/protocol.md section 1: the socket's address", () => {
  assert.equal(guess(new URL("http://127.0.0.1:4321/demo"), 4322), "ws://127.0.0.1:4322/");
  assert.equal(guess(new URL("http://[::1]:4321/demo"), 9), "ws://[::1]:9/");
  assert.equal(guess(new URL("https://push.test/demo"), 4322), "wss://push.test/"); // docs/proxies.md, one name for both
  assert.equal(guess(new URL("https://push.test:8443/demo"), 4322), "wss://push.test:8443/");
  assert.equal(checked(" wss://push.test/socket?x=1 ").href, "wss://push.test/socket?x=1");
  for (const wrong of ["", "push.test", "https://push.test/", "ws://", "javascript:alert(1)"]) {
    assert.throws(() => checked(wrong), TypeError, wrong);
  }
});

test("snippets quote what they are given", () => {
  new Function(socketSnippet('ws://x"/')); // it can be parsed
  assert.match(pageSnippet("http://x", "ws://x/"), /from "http:\/\/x\/busbar\.js";[^]* url: "ws:\/\/x\/",/);
  assert.match(publishSnippet("http://x", { data: "it's" }), /-d '\{"data":"it'\\''s"\}'$/);
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
  for (const event of ["here", "leave"]) people.take({ event, from: "mallory", name: "Al", page: "1" }, 100_000);
  assert.deepEqual(people.list(), [{ from: "alice", name: "Al" }, { from: "bob", name: "bob" }]); // as from says who it is
  people.expire(200_000);
  assert.deepEqual(people.list(), [{ from: "bob", name: "bob" }]);
  people.take({ event: "leave", from: "bob" }, 200_000);
  assert.deepEqual(people.list(), []);
  for (let i = 0; i < 300; i += 1) people.take({ event: "join", from: `u${i}` }, i);
  assert.equal(people.list().length, 200);
});
