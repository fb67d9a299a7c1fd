// The change feed: each change once, in order, across reconnects and resyncs.

const maxHeld = 1000;

// ResyncRequired is thrown by a pull whose cursor the server no longer (or not yet) knows.
export class ResyncRequired extends Error {}

// ChangeFeed hands each change to apply once. pull(since) gives a promise of {changes, last, more}.
export class ChangeFeed {
  #apply;
  #pull;
  #held = null; // live changes that arrive while a pull runs; null when none runs
  #again = false; // a pull must be followed by another one

  // highest is the seq of the last change applied, 0 when there was none.
  highest = 0;

  constructor(apply, pull) {
    this.#apply = apply;
    this.#pull = pull;
  }

  // live takes a change from the socket.
  live(change) {
    if (this.#held === null) this.#take(change);
    else if (this.#held.length < maxHeld) this.#held.push(change);
    else this.#again = true; // what isn't held is pulled
  }

  // resync answers the server's {"type":"resync"}: it pulls up to the newest change, then goes on live.
  // The promise is rejected when the pull fails; the feed is live again then all the same.
  async resync({ seq }) {
    if (seq < this.highest) this.highest = 0; // the server's log began anew
    if (this.#held !== null) {
      this.#again = true;
      return;
    }
    this.#held = [];
    try {
      do {
        this.#again = false;
        await this.#pullAll();
      } while (this.#again);
    } finally {
      this.#release();
    }
  }

  async #pullAll() {
    for (;;) {
      const { since, changes, last, more } = await this.#pullPage();
      changes.forEach((change) => this.#take(change));
      if (last > this.highest) this.highest = last;
      if (!more || last <= since) return; // a page that moves nothing would be asked for again for ever
    }
  }

  async #pullPage() {
    const since = this.highest;
    try {
      return { since, ...await this.#pull(since) };
    } catch (error) {
      if (!(error instanceof ResyncRequired) || since === 0) throw error;
      this.highest = 0; // 0 is always a valid cursor: everything retained
      return { since: 0, ...await this.#pull(0) };
    }
  }

  #release() {
    const held = this.#held;
    this.#held = null;
    held.forEach((change) => this.#take(change));
  }

  #take(change) {
    if (change.seq <= this.highest) return;
    this.highest = change.seq;
    this.#apply(change);
  }
}
