// What the page remembers of the answers of GET /v1/stats: rates are differences of two. Pure.

// A page that is open for days remembers ten minutes.
const keptFor = 600;
// Behind a longer pause, as of a hidden tab, a curve is interrupted.
const pause = 10;

// at gives the value at a path such as "process.cpu_seconds", or undefined.
export const at = (answer, path) => path.split(".").reduce((value, name) => value?.[name], answer);

export const sum = (counts) => Object.values(counts ?? {}).reduce((total, n) => total + n, 0);

// History holds answers, oldest first; time is in seconds.
export class History {
  #answers = [];

  // add takes an answer. Those of another process don't count any more.
  add(answer) {
    const time = Date.parse(answer.at) / 1000;
    if (this.last && this.last.answer.server.started_at !== answer.server.started_at) this.#answers = [];
    if (this.last && time <= this.last.time) return;
    this.#answers.push({ time, answer });
    while (time - this.#answers[0].time > keptFor) this.#answers.shift();
  }

  get last() {
    return this.#answers.at(-1);
  }

  // before gives the answer ahead of the last that is nearest to so many seconds older: without seconds the one just before.
  before(seconds = 0) {
    const { last } = this;
    const older = this.#answers.slice(0, -1);
    if (seconds === 0) return older.at(-1);
    return older.find(({ time }) => last.time - time <= seconds + 0.5);
  }

  // rate is how much a counter grows a second, by the last two answers; NaN until there are two.
  rate(read) {
    return rate(this.before(), this.last, read);
  }

  // grown is how much a counter has grown in the last seconds, or since the page has looked.
  grown(seconds, read) {
    const from = this.before(seconds);
    return from ? (read(this.last.answer) ?? 0) - (read(from.answer) ?? 0) : 0;
  }

  // curves are times and, for each of some functions of two answers that follow one another, its values; null
  // where there is none, and in pauses.
  curves(reads) {
    const times = [];
    const values = reads.map(() => []);
    this.#answers.forEach((entry, i) => {
      const previous = this.#answers[i - 1];
      if (previous && entry.time - previous.time > pause) {
        times.push(previous.time + pause);
        values.forEach((line) => line.push(null));
      }
      times.push(entry.time);
      reads.forEach((read, line) => {
        const value = read(entry, previous);
        values[line].push(Number.isFinite(value) ? value : null);
      });
    });
    return [times, ...values];
  }
}

// rate is how much a counter grows a second between two entries.
export function rate(from, to, read) {
  if (!from || !to || to.time - from.time > pause) return NaN;
  return ((read(to.answer) ?? 0) - (read(from.answer) ?? 0)) / (to.time - from.time);
}

// quantile is the value that the part p of what came between two histograms is at or below, by the buckets' bounds,
// in proportion within one; NaN when nothing came. A histogram's buckets count what is at or below each bound, and its
// count is of all. from may be missing: then it is of all since the start.
export function quantile(p, from, to) {
  if (!to) return NaN;
  const wanted = p * (to.count - (from?.count ?? 0));
  if (wanted === 0) return NaN;
  let low = { le: 0, count: 0 };
  for (const [i, { le, count }] of to.buckets.entries()) {
    const bucket = { le, count: count - (from?.buckets[i].count ?? 0) };
    if (bucket.count >= wanted) return low.le + (le - low.le) * (wanted - low.count) / (bucket.count - low.count);
    low = bucket;
  }
  return low.le; // above the last bound nothing is known
}
