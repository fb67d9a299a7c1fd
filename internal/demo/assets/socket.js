// One WebSocket that stays: it reconnects with backoff until it is closed or the server says 1008.
import { retryDelay } from "./backoff.js";
import { bearerProtocol } from "./credentials.js";

const policyViolation = 1008;

// A server over capacity upgrades and then closes with 1013. If opening alone reset the backoff, the
// page would hammer exactly the server that asks for quiet.
const stableAfter = 5_000;

// socketURL is the WebSocket address for a page at `page` (a Location or URL) and a port; since is
// the highest seq seen, 0 when none was.
export function socketURL(page, port, since) {
  const scheme = page.protocol === "https:" ? "wss:" : "ws:";
  const query = since > 0 ? `?since=${since}` : "";
  return `${scheme}//${page.hostname}:${port}/${query}`;
}

// Socket calls its handlers: onState({name, code?, reason?, retryIn?}) with name one of connecting, open,
// waiting, unauthorised, closed; onText(string); onBinary(ArrayBuffer); address() for each try's URL.
export class Socket {
  #handlers;
  #token = "";
  #ws = null;
  #failures = 0;
  #retryTimer = 0;
  #stableTimer = 0;

  constructor(handlers) {
    this.#handlers = handlers;
  }

  // open drops whatever connection there is and connects with token.
  open(token) {
    this.#drop();
    this.#token = token;
    this.#failures = 0;
    this.#connect();
  }

  // close ends the connection, and the trying.
  close() {
    this.#drop();
    this.#handlers.onState({ name: "closed", code: 1000, reason: "signed out" });
  }

  // send reports whether the message was handed to an open connection.
  send(message) {
    if (this.#ws?.readyState !== WebSocket.OPEN) return false;
    this.#ws.send(JSON.stringify(message));
    return true;
  }

  #drop() {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#stableTimer);
    const ws = this.#ws;
    this.#ws = null; // from here on the old socket's events are nobody's
    ws?.close(1000);
  }

  #connect() {
    this.#handlers.onState({ name: "connecting" });
    const ws = new WebSocket(this.#handlers.address(), [bearerProtocol(this.#token)]);
    ws.binaryType = "arraybuffer";
    this.#ws = ws;
    const mine = (act) => (event) => { if (this.#ws === ws) act(event); };
    ws.addEventListener("open", mine(() => this.#opened()));
    ws.addEventListener("message", mine((event) => this.#received(event.data)));
    ws.addEventListener("close", mine((event) => this.#closed(event)));
  }

  #opened() {
    this.#stableTimer = setTimeout(() => { this.#failures = 0; }, stableAfter);
    this.#handlers.onState({ name: "open" });
  }

  #received(data) {
    if (typeof data === "string") this.#handlers.onText(data);
    else this.#handlers.onBinary(data);
  }

  #closed({ code, reason }) {
    clearTimeout(this.#stableTimer);
    this.#ws = null;
    if (code === policyViolation) {
      this.#handlers.onState({ name: "unauthorised", code, reason });
      return;
    }
    const retryIn = retryDelay(this.#failures, Math.random());
    this.#failures += 1;
    this.#retryTimer = setTimeout(() => this.#connect(), retryIn);
    this.#handlers.onState({ name: "waiting", code, reason, retryIn });
  }
}
