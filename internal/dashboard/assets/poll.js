// Asking the server once in a while, as long as somebody looks.

const every = 1_500;
const timeout = 10_000;
const slowest = 15_000;

// Refused is thrown when the token doesn't open what is asked for.
export class Refused extends Error {}

// ask makes a call of docs/protocol.md section 5. A call that this server doesn't have gives null.
async function ask(token, path) {
  const headers = { Authorization: `Bearer ${token}` };
  const response = await fetch(path, { headers, credentials: "omit", cache: "no-store", signal: AbortSignal.timeout(timeout) });
  if (response.ok) return response.json();
  if (response.status === 401) throw new Refused("This is not the server's admin token.");
  if (response.status === 403) throw new Refused("This token is no admin's.");
  if (response.status === 404) return null;
  throw new Error(`the server answers ${response.status} ${response.statusText}`);
}

// Poll calls took({stats, laggards, closes}) with each round of answers, and failed(error) for a round without.
// After Refused it ends; after anything else it goes on, ever more slowly.
export class Poll {
  #token = "";
  #timer = 0;
  #running = 0; // counts: the answers of a round that began before the last start or stop are nobody's
  #failures = 0;
  #took;
  #failed;

  constructor(took, failed) {
    this.#took = took;
    this.#failed = failed;
    document.addEventListener("visibilitychange", () => {
      if (this.#token === "") return;
      if (document.hidden) this.#halt();
      else this.#round();
    });
  }

  start(token) {
    this.#token = token;
    this.#failures = 0;
    this.#round();
  }

  stop() {
    this.#token = "";
    this.#halt();
  }

  #halt() {
    clearTimeout(this.#timer);
    this.#running += 1;
  }

  async #round() {
    this.#halt();
    const mine = this.#running;
    try {
      const [stats, laggards, closes] = await Promise.all(
        ["/v1/stats", "/v1/laggards?limit=10", "/v1/closes?limit=10"].map((path) => ask(this.#token, path)));
      if (mine !== this.#running) return;
      this.#failures = 0;
      this.#took({ stats, laggards, closes });
    } catch (error) {
      if (mine !== this.#running) return;
      this.#failures += 1;
      this.#failed(error);
    }
    if (mine !== this.#running || document.hidden) return;
    this.#timer = setTimeout(() => this.#round(), Math.min(slowest, every * 2 ** Math.min(this.#failures, 4)));
  }
}
