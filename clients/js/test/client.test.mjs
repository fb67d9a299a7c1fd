// The client as it is shipped, against a real server, and against a scripted one for what a real one does rarely.
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import WebSocket, { WebSocketServer } from "ws";
import { Client } from "../dist/busbar.js";
import { Daemon } from "./support/daemon.mjs";

const shared = new Daemon();
before(() => shared.start());
after(() => shared.remove());

// watched is a client whose events the test can wait for; seqs are those of its changes, in order.
function watched(t, options, begin = () => {}) {
  const client = new Client({ WebSocket, minDelay: 20, maxDelay: 200, ...options });
  const come = new EventEmitter();
  const seen = { client, seqs: [], states: [], errors: [], cursors: [] };
  const waiting = {};
  for (const type of ["state", "change", "row", "topic", "presence", "left", "binary", "lost", "cursor", "error"]) {
    waiting[type] = [];
    client.on(type, (event) => {
      waiting[type].push(event);
      come.emit("any");
    });
  }
  client.on("change", ({ seq }) => void seen.seqs.push(seq));
  client.on("state", (state) => void seen.states.push(state));
  client.on("cursor", (cursor) => void seen.cursors.push(cursor));
  client.on("error", (error) => void seen.errors.push(error));
  // until is the next event of a type that ok accepts; those before it are passed over.
  seen.until = async (type, ok = () => true) => {
    const signal = AbortSignal.timeout(20_000);
    for (;;) {
      while (waiting[type].length > 0) {
        const event = waiting[type].shift();
        if (ok(event)) return event;
      }
      await once(come, "any", { signal });
    }
  };
  seen.becomes = (name) => seen.until("state", (state) => state.name === name);
  seen.caughtUp = (seq) => seen.until("cursor", (cursor) => cursor === seq);
  t.after(() => client.close());
  begin(client);
  client.connect();
  return seen;
}

// scripted is a server whose n-th connection (from 0) runs script.
async function scripted(t, script) {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: ([first]) => first });
  await once(server, "listening");
  let n = 0;
  server.on("connection", (socket, { url }) => script(socket, n++, /since=(\d+)/.exec(url)?.[1]));
  t.after(() => {
    for (const socket of server.clients) socket.terminate();
    server.close();
  });
  return `ws://127.0.0.1:${server.address().port}`;
}

const event = (seq) => JSON.stringify({ seq, entity: "Todo", row_id: "1", kind: "delete" });
const resync = (seq, more) => JSON.stringify({ type: "resync", oldest_seq: 1, seq, ...more });

test("everything there is arrives, typed", async (t) => {
  const alice = watched(t, { url: shared.url, token: await shared.session("alice") });
  alice.client.setPresence({ status: "here" });
  const end = alice.client.subscribeRow("Doc", "d_1");
  await alice.becomes("open");
  assert.deepEqual(await alice.until("presence"), { type: "presence", status: "here", from: "alice" });

  const bob = watched(t, { url: shared.url, token: () => shared.session("bob") });
  await bob.becomes("open");
  assert.ok(bob.client.sendTopic("chat", { text: "hello" }));
  assert.deepEqual(await alice.until("topic"), { type: "topic", topic: "chat", data: { text: "hello" }, from: "bob" });

  await shared.call("PUT", "/v1/rows/Doc/d_1", "milk");
  const { payload, ...name } = await alice.until("row");
  assert.deepEqual(name, { kind: "snapshot", entity: "Doc", rowId: "d_1" });
  assert.equal(new TextDecoder().decode(payload), "milk");
  await shared.call("PUT", "/v1/rows/Doc/d_1?update=1", "eggs");
  assert.equal((await alice.until("row")).kind, "update");

  alice.client.subscribeRow("Doc", "d_1")(); // whoever subscribes later gets its snapshot
  assert.equal((await alice.until("row")).kind, "snapshot");
  end();

  await shared.call("POST", "/v1/broadcast", "free form");
  assert.equal(new TextDecoder().decode(await alice.until("binary")), "free form");

  const [seq] = await shared.publish();
  const { timestamp, ...rest } = await alice.until("change");
  assert.deepEqual(rest, { seq, entity: "Todo", row_id: "t_0", kind: "update", data: { i: 0 } });

  bob.client.close();
  assert.equal((await alice.until("left")).length, 1);
  assert.equal(bob.client.state.name, "closed");
  assert.equal(bob.client.sendTopic("chat", 1), false);
  assert.deepEqual(alice.errors, []);
});

test("kill -9, a drain and a server that hangs cost no event", async (t) => {
  const daemon = await new Daemon().start();
  t.after(() => daemon.remove());
  const token = await daemon.session("alice");
  const seen = watched(t, { url: daemon.url, token, quiet: 300, patience: 300 });
  seen.client.subscribeRow("Doc", "d_1");
  await daemon.call("PUT", "/v1/rows/Doc/d_1", "milk");
  await seen.becomes("open");
  const want = [];
  for (const [i, end] of ["SIGKILL", "SIGTERM", "SIGSTOP"].entries()) {
    if (i !== 1) want.push(...(await daemon.publish(3))); // without having seen an event, too, it has a cursor
    if (end === "SIGSTOP") {
      daemon.signal(end);
      assert.equal((await seen.becomes("waiting")).reason, "the server is silent");
      daemon.signal("SIGCONT");
    } else {
      await daemon.end(end);
      const { code, reason, delay } = await seen.becomes("waiting");
      if (end === "SIGTERM") assert.deepEqual([code, reason], [1012, `reconnect-after=${(delay / 1000).toFixed(1)}s`]);
      await daemon.start();
    }
    want.push(...(await daemon.publish(3)));
    await seen.caughtUp(want.at(-1));
    await seen.becomes("open");
    await seen.until("row"); // subscribed to again
  }
  assert.deepEqual(seen.seqs, want);
  assert.equal(seen.client.cursor, want.at(-1));
});

test("a refused token is asked for anew; the same one again is the end", async (t) => {
  const asked = [];
  const tokens = [await shared.session("alice"), await shared.session("alice")];
  const seen = watched(t, { url: shared.url, token: (refused) => { asked.push(refused); return tokens[0]; } });
  await seen.becomes("open");
  const old = tokens.shift();
  await shared.call("DELETE", `/v1/sessions/${old}`);
  await seen.becomes("open");
  assert.deepEqual(asked, [undefined, "session revoked"]);
  await shared.call("DELETE", `/v1/sessions/${tokens[0]}`);
  assert.deepEqual(await seen.becomes("closed"), { name: "closed", code: 1008, reason: "session revoked" });

  const fixed = watched(t, { url: shared.url, token: "nobody's" });
  await fixed.becomes("closed");
  assert.deepEqual(fixed.states.map(({ name }) => name), ["connecting", "closed"], "a refused token never opens");
  assert.equal(fixed.client.state.reason, "unauthorized: token invalid or expired");
});

test("a log that has begun anew has the application fetch everything", async (t) => {
  const daemon = await new Daemon().start("-log", "memory");
  t.after(() => daemon.remove());
  const token = await daemon.session("alice");
  const refetched = [];
  let fails = 1;
  const refetch = async (seq) => {
    refetched.push(seq);
    if (fails-- > 0) throw new Error("the backend is down");
  };
  const seen = watched(t, { url: daemon.url, api: `http://${daemon.api}`, token, since: 0, refetch });
  await seen.becomes("open");
  const before = await daemon.publish(2);
  await seen.caughtUp(before.at(-1));
  await daemon.end("SIGKILL");
  await daemon.start("-log", "memory");
  await seen.until("cursor"); // it is told, fails once, and is told again
  const behind = await daemon.publish(2);
  await seen.caughtUp(behind.at(-1));
  assert.deepEqual(seen.seqs, [...before, ...behind]);
  assert.equal(refetched.length, 2);
  assert.equal(seen.errors[0].message, "the backend is down");
});

test("events lost on the way are pulled, each comes once, and handlers are waited for", async (t) => {
  const seqs = await shared.publish(8);
  const url = await scripted(t, (socket) => {
    for (const seq of [seqs[0], seqs[1], seqs[1], seqs[0]]) socket.send(event(seq));
    socket.send(JSON.stringify({ type: "gap", from: seqs[2], to: seqs[5] }));
    socket.send(resync(seqs[5]));
    for (const seq of seqs.slice(5)) socket.send(event(seq));
  });
  const seen = watched(t, { url, api: `http://${shared.api}`, token: shared.admin, since: seqs[0] - 1 });
  let busy = 0;
  seen.client.on("change", async () => {
    assert.equal(busy++, 0);
    await new Promise((resolve) => setTimeout(resolve, 2));
    busy--;
  });
  await seen.caughtUp(seqs.at(-1));
  assert.deepEqual(seen.seqs, seqs);
  assert.deepEqual([...new Set(seen.cursors)], seqs);
  assert.deepEqual(seen.states.map(({ name }) => name), ["connecting", "open"]);
  assert.deepEqual(seen.errors, []);
});

test("a client of some entities subscribes before it pulls what it has missed", async (t) => {
  const seqs = await shared.publish(5);
  const url = await scripted(t, (socket, n, since) => {
    assert.equal(since, String(Number.MAX_SAFE_INTEGER));
    socket.send(resync(seqs[1]));
    socket.on("message", (text) => {
      if (JSON.parse(text).type !== "ping") return;
      socket.send(event(seqs[3])); // live, after one that was published before the subscription
      socket.send(JSON.stringify({ type: "pong" }));
      socket.send(event(seqs[4]));
    });
  });
  const options = { url, api: `http://${shared.api}`, token: shared.admin, since: seqs[0] };
  const seen = watched(t, options, (client) => client.subscribeEntity("Todo"));
  await seen.caughtUp(seqs[4]);
  assert.deepEqual(seen.seqs, seqs.slice(1));
});

test("a restart has many clients come back evenly, and costs none of them an event", async (t) => {
  const flags = ["-drain", "2s", "-max-per-ip", "0", "-address-allowance", "0", "-user-allowance", "0"];
  const daemon = await new Daemon().start(...flags);
  t.after(() => daemon.remove());
  const token = await daemon.session("alice");
  const crowd = Array.from({ length: 100 }, () => watched(t, { url: daemon.url, token, minDelay: 500 }));
  await Promise.all(crowd.map((seen) => seen.becomes("open")));
  const want = await daemon.publish(1);
  let publishing = true;
  const published = (async () => { // as a publisher does: what wasn't answered is tried again
    for (let n = 0; publishing; n++) {
      const change = { entity: "Todo", row_id: "t", kind: "update", op_id: `op ${n}` };
      for (let answer; !answer; await new Promise((resolve) => setTimeout(resolve, 20))) {
        answer = await daemon.call("POST", "/v1/changes", JSON.stringify(change)).catch(() => undefined);
        if (answer) want.push(answer.seq);
      }
    }
  })();
  const due = Promise.all(crowd.map(async (seen) => {
    const { code, delay } = await seen.becomes("waiting");
    assert.equal(code, 1012);
    return Date.now() + delay;
  }));
  await daemon.end("SIGTERM");
  await daemon.start(...flags);
  const times = (await due).sort((a, b) => a - b);
  await Promise.all(crowd.map((seen) => seen.becomes("open")));
  publishing = false;
  await published;
  await Promise.all(crowd.map((seen) => seen.caughtUp(want.at(-1))));
  for (const { seqs } of crowd) assert.deepEqual(seqs, want);
  const span = times.at(-1) - times[0];
  const quarters = [0, 0, 0, 0];
  for (const at of times) quarters[Math.min(3, Math.floor((4 * (at - times[0])) / span))]++;
  assert.ok(span > 1000 && quarters.every((n) => n > 10 && n < 50), `${span} ms, ${quarters}`);
});

test("with -routing subscribed, too, kill -9 costs no event", async (t) => {
  const daemon = await new Daemon().start("-routing", "subscribed");
  t.after(() => daemon.remove());
  const options = { url: daemon.url, api: `http://${daemon.api}`, token: await daemon.session("alice") };
  await daemon.call("PUT", "/v1/rows/Doc/d_1", "milk");
  const seen = watched(t, options, (client) => {
    client.subscribeEntity("Todo");
    client.subscribeRow("Doc", "d_1");
  });
  await seen.until("row"); // so the subscription before it has been made
  const want = await daemon.publish(3);
  await daemon.end("SIGKILL");
  await daemon.start("-routing", "subscribed");
  want.push(...(await daemon.publish(3)));
  await seen.caughtUp(want.at(-1));
  want.push(...(await daemon.publish(3)));
  await seen.caughtUp(want.at(-1));
  assert.deepEqual(seen.seqs, want);
});

test("without the API's address lost events come by another connection", async (t) => {
  const since = [];
  const url = await scripted(t, (socket, n, from) => {
    since.push(from);
    socket.send(n === 0 ? resync(7) : event(8)); // the first is where the log is
    if (n === 0) socket.send(resync(9));
  });
  const seen = watched(t, { url, token: "x" });
  await seen.caughtUp(8);
  assert.deepEqual(since, [String(Number.MAX_SAFE_INTEGER), "7"]);
});

test("the server's own wait is kept to, and others grow", async (t) => {
  let now = 0; // added to the clock
  const clock = Date.now;
  t.mock.method(Date, "now", () => clock() + now);
  t.mock.method(Math, "random", () => 1);
  const closes = [
    ...[[1012, "reconnect-after=0.3s"], [1012, "reconnect-after=0.01s"], [1012, "reconnect-after=0.0s"]],
    ...[[1012, "reconnect-after=0.0s"], [1013], [1012, "please reconnect-after=9s"], [1012], [1001, "reconnect-after=9s"]],
    ...[[1012, "reconnect-after=0.0s"], [1013], [1009, "too big"]],
  ];
  const lasts = 8; // is open for long
  let open;
  const url = await scripted(t, (socket, n) => {
    if (n !== lasts) return socket.close(...closes[n]);
    open = socket;
    socket.send(event(1));
  });
  const seen = watched(t, { url, token: "x", minDelay: 1, maxDelay: 50 });
  const started = performance.now();
  await seen.becomes("open");
  assert.ok(performance.now() - started >= 310);
  now = 10_001;
  open.close(...closes[lasts]);
  await seen.becomes("closed");
  const delays = seen.states.filter(({ name }) => name === "waiting").map(({ delay }) => delay);
  assert.deepEqual(delays, [300, 10, 4, 8, 16, 32, 50, 50, 0, 1]);
  assert.equal(seen.client.state.code, 1009);
});

test("Retry-After is kept to where it can be seen", async (t) => {
  const daemon = await new Daemon().start("-max-connections", "1");
  t.after(() => daemon.remove());
  await watched(t, { url: daemon.url, token: daemon.admin }).becomes("open");
  const { delay, reason } = await watched(t, { url: daemon.url, token: daemon.admin }).becomes("waiting");
  assert.equal(reason, "status 503");
  assert.ok(delay >= 5_000 && delay <= 11_000, String(delay));
});

test("odd answers don't make it ask without a pause", async (t) => {
  let pulls = 0;
  const server = createServer((_, answer) => {
    pulls++;
    answer.end(JSON.stringify({ changes: [], cursor: { last_seq: 1 }, has_more: true }));
  });
  const busy = (after) => `HTTP/1.1 503 Service Unavailable\r\nRetry-After: ${after}\r\nContent-Length: 0\r\n\r\n`;
  server.on("upgrade", ({ url }, socket) => socket.end(busy(/\d+/.exec(url)[0])));
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => server.close());
  const address = `127.0.0.1:${server.address().port}`;
  const waits = async (url) => (await watched(t, { url, token: "x", minDelay: 5_000, maxDelay: 5_000 }).becomes("waiting")).delay;
  const delay = await waits(`ws://${address}/9999999`); // as milliseconds it is more than a timer takes
  assert.ok(delay >= 600_000 && delay <= 601_000, String(delay));
  const { mock } = t.mock.method(Math, "random", () => 1);
  assert.equal(await waits(`ws://${address}/0`), 5_000);
  mock.restore();

  const url = await scripted(t, (socket) => {
    socket.send(JSON.stringify({ type: "gap", from: 2, to: 5 }));
    socket.send(resync(5));
  });
  const seen = watched(t, { url, api: `http://${address}`, token: "x", since: 1, minDelay: 5_000 });
  assert.equal((await seen.becomes("waiting")).reason, "fetching what was lost failed");
  assert.equal(pulls, 1);
  assert.equal(seen.client.cursor, 1);
});

test("close ends it in any state, from a handler too", async (t) => {
  for (const name of ["connecting", "open", "waiting"]) {
    const url = await scripted(t, (socket) => {
      socket.send(event(1));
      socket.on("message", () => socket.close(1013));
    });
    const closing = (client) => client.on("state", (state) => void (state.name === name && client.close()));
    const seen = watched(t, { url, token: async () => "x", since: 0 }, closing);
    assert.equal((await seen.becomes("closed")).code, 1000);
    await new Promise((resolve) => setTimeout(resolve, 50)); // twice the first wait: nothing comes after
    assert.equal(seen.states.at(-1).name, "closed");
    assert.deepEqual(seen.seqs, name === "waiting" ? [1] : []);
  }
});

test("mistakes are told at once", () => {
  assert.throws(() => new Client({ url: "live.example.com", token: "x", WebSocket }), TypeError);
  const { WebSocket: own } = globalThis;
  globalThis.WebSocket = undefined; // as in Node before 22
  assert.throws(() => new Client({ url: "ws://127.0.0.1:4322", token: "x" }), /give one as an option/);
  globalThis.WebSocket = own;
});

test("a frozen or silent start is given up", async (t) => {
  const url = await scripted(t, () => {});
  const seen = watched(t, { url, token: "x", patience: 20 });
  assert.equal((await seen.becomes("waiting")).reason, "the server is silent");
});
