// One WebSocket that stays: it reconnects with backoff until it is closed or the server says 1008.
import { retryDelay, suggestedDelay } from "./backoff.js";
import { bearerProtocol } from "./credentials.js";

const policyViolation = 1008;

// A server over capacity upgrades and then closes with 1013. If opening alone reset the backoff, the
// page would hammer exactly the server that asks for quiet.
const stableAfter = 5_000;

// Socket calls its handlers: onState({name, code?, reason?, retryIn?}) with name one of connecting, open,
// waiting, unauthorised, closed; onText(string); onBinary(ArrayBuffer); onSent(string); address() for each try's URL.
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
    const text = JSON.stringify(message);
    this.#ws.send(text);
    this.#handlers.onSent(text);
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
    const suggested = suggestedDelay(code, reason); // a server that drains says when: that's no failure
    const retryIn = suggested ?? retryDelay(this.#failures, Math.random());
    this.#failures = suggested === null ? this.#failures + 1 : 0;
    this.#retryTimer = setTimeout(() => this.#connect(), retryIn);
    this.#handlers.onState({ name: "waiting", code, reason, retryIn });
  }
}
