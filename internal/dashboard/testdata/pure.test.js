// What the page's modules do without a browser. Run beside a copy of the modules.
import assert from "node:assert/strict";
import test from "node:test";
import { bytes, count, percent, seconds, span } from "./format.js";
import { at, History, quantile, rate, sum } from "./history.js";

test("figures as people read them", () => {
  const shown = [0, 7, 0.25, 1234, 99_999, 123_456, 1_234_567, 5e9, NaN].map(count);
  assert.deepEqual(shown, ["0", "7", "0.25", "1,234", "99,999", "123 k", "1.23 M", "5 G", "–"]);
  assert.deepEqual([0, 1023, 1536, 5 << 20].map(bytes), ["0 B", "1,023 B", "1.5 KiB", "5 MiB"]);
  assert.deepEqual([0, 0.0000123, 0.00123, 1.5, 59.9, 75].map(seconds), ["0 s", "12.3 µs", "1.23 ms", "1.5 s", "59.9 s", "1 min 15 s"]);
  assert.deepEqual([0, 59, 60, 3599, 3600, 90_000, 86_400 * 3 + 5].map(span),
    ["0 s", "59 s", "1 min", "59 min 59 s", "1 h", "1 d 1 h", "3 d"]);
  assert.equal(percent(0.1234), "12.3 %");
});

const answer = (second, sent, started = "a") => ({
  at: new Date(second * 1000).toISOString(), server: { started_at: started }, sent, deep: { er: sent },
});
const sent = (a) => a.sent;

test("rates are of the last two answers, and growth of a minute", () => {
  const history = new History();
  history.add(answer(100, 5));
  assert.ok(Number.isNaN(history.rate(sent)));
  history.add(answer(102, 25));
  assert.equal(history.rate(sent), 10);
  history.add(answer(102, 99)); // the same answer again
  for (let s = 104; s <= 200; s += 2) history.add(answer(s, 25 + s - 102));
  assert.equal(history.rate(sent), 1);
  assert.equal(history.grown(60, sent), 60);
  assert.equal(at(history.last.answer, "deep.er"), 123);
  assert.equal(at(history.last.answer, "no.where"), undefined);
});

test("another process begins anew, and so does a counter behind a pause", () => {
  const history = new History();
  history.add(answer(100, 500));
  history.add(answer(101, 1, "b"));
  assert.equal(history.before(), undefined);
  assert.equal(history.grown(60, sent), 0);
  history.add(answer(200, 99, "b"));
  assert.ok(Number.isNaN(history.rate(sent)));
  assert.deepEqual(history.curves([({ answer: a }) => a.sent, (to, from) => rate(from, to, sent)]),
    [[101, 111, 200], [1, null, 99], [null, null, null]]);
});

test("ten minutes are remembered", () => {
  const history = new History();
  for (let s = 0; s < 5000; s += 1) history.add(answer(s, s));
  const [times] = history.curves([]);
  assert.deepEqual([times.length, times[0]], [601, 4399]);
});

// histogram has buckets up to 1, 2 and 4, and one above.
function histogram(...counts) {
  let count = 0;
  const buckets = [1, 2, 4].map((le, i) => ({ le, count: count += counts[i] }));
  return { buckets, count: count + counts[3] };
}

test("quantiles between two histograms", () => {
  const first = histogram(1, 2, 3, 4);
  assert.ok(Number.isNaN(quantile(0.5, first, first)));
  assert.equal(quantile(0.5, histogram(9, 0, 0, 0), histogram(9, 10, 0, 0)), 1.5);
  assert.equal(quantile(0.99, undefined, histogram(0, 50, 50, 0)), 2 + 2 * 49 / 50);
  assert.equal(quantile(0.5, undefined, histogram(10, 0, 0, 0)), 0.5);
  assert.equal(quantile(1, undefined, histogram(1, 0, 0, 1)), 4);
  assert.ok(Number.isNaN(quantile(0.5, undefined, undefined)));
});

test("sums", () => assert.deepEqual([sum({ a: 1, b: 2 }), sum({}), sum(undefined)], [3, 0, 0]));

test("a tab that nobody sees asks nothing, and a server that fails is asked more seldom", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let seen, status = 200, asked = 0, failures = 0;
  globalThis.document = { hidden: false, addEventListener: (_, changed) => { seen = changed; } };
  globalThis.fetch = async () => {
    asked += 1;
    return { ok: status === 200, status, json: async () => ({}) };
  };
  const { Poll, Refused } = await import("./poll.js");
  const answered = () => new Promise(setImmediate);
  const poll = new Poll(() => {}, (error) => { failures += error instanceof Refused ? 100 : 1; });
  const after = async (ms, want) => {
    t.mock.timers.tick(ms);
    await answered();
    assert.equal(asked, want);
  };
  poll.start("token");
  await after(0, 3);
  await after(1500, 6);
  document.hidden = true;
  seen();
  await after(60_000, 6);
  document.hidden = false;
  seen();
  await after(0, 9);
  status = 503;
  await after(1500, 12);
  await after(1500, 12);
  await after(1500, 15);
  assert.equal(failures, 2);
  status = 401;
  await after(6000, 18);
  assert.equal(failures, 102);
  poll.stop();
  await after(60_000, 18);
});
