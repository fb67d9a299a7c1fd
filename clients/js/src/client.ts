// A client of Busbar that stays connected: it reconnects, goes on from where it was, and fetches what was lost.
import type { Events, Handler, Options, State } from "./options.ts";
import { bearer, isFinal, parseRow, reconnectAfter, retryAfter } from "./protocol.ts";
import type { Change, Page } from "./protocol.ts";

export type { Events, Handler, Lost, Options, State } from "./options.ts";
export type { Change, Page, Presence, Row, Topic } from "./protocol.ts";

// A cursor ahead of every log: the answer is a resync whose seq is the newest event. A client that wants what is
// new has a cursor that way before it has seen an event, so that it loses none when it has to connect again.
const fromNowOn = Number.MAX_SAFE_INTEGER;

const stable = 10_000; // ms; a server that accepts and closes at once must see the waits grow
const maxQueue = 10_000; // messages that wait for a handler; beyond, the client starts again from its cursor

export class Client {
  #options: Options;
  #handlers: { [K in keyof Events]?: Set<Handler<any>> } = {};
  #subscriptions = new Map<string, number>(); // what subscribes, and how often
  #presence?: string;

  #cursor?: number;
  #sentSince?: number; // with which cursor this connection began
  #queue: (string | ArrayBuffer)[] = [];
  #stale = 0; // how many of these are an earlier connection's
  #working = false;

  #state: State = { name: "closed" };
  #socket: any;
  #token?: string;
  #refused?: string;
  #attempts = 0;
  #told = false; // the server has said how long to wait
  #retry: any;
  #watch: any;
  #heardAt = 0; // when the last message came
  #openedAt = 0;
  #gap = false; // the next resync is about events that the log has
  #filling = false; // change events wait for the pull that comes first
  #newest = 0; // the log's newest event when this began
  #listening?: AbortController;

  /** Throws when the URL isn't one, and where there is no WebSocket. */
  constructor(options: Options) {
    new URL(options.url);
    const { WebSocket = globalThis.WebSocket } = options;
    if (!WebSocket) throw new Error("there is no WebSocket here: give one as an option");
    this.#options = options;
    this.#cursor = options.since;
  }

  get state(): State {
    return this.#state;
  }

  /** The seq up to which all handlers have had everything; undefined before the first connection of a client that
   * began without `since`. */
  get cursor(): number | undefined {
    return this.#cursor;
  }

  /** Calls handler for each event of a type, until the function that it returns is called. */
  on<K extends keyof Events>(type: K, handler: Handler<Events[K]>): () => void {
    const handlers = (this.#handlers[type] ??= new Set());
    handlers.add(handler);
    return () => void handlers.delete(handler);
  }

  /** Connects, and stays connected until `close()`. Does nothing while it does. */
  connect(): void {
    if (this.#state.name !== "closed") return;
    this.#attempts = 0;
    this.#refused = undefined;
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    const wake = () => this.#wake();
    for (const type of ["online", "offline", "pageshow"]) globalThis.addEventListener?.(type, wake, { signal });
    for (const type of ["visibilitychange", "resume"]) globalThis.document?.addEventListener(type, wake, { signal });
    void this.#connect();
  }

  /** Ends the connection with Close 1000. What is being handled is handled to its end; nothing comes after. */
  close(): void {
    this.#end({ name: "closed", code: 1000, reason: "" });
  }

  /** Sends a message; false when there is no connection. Nothing is kept to be sent later. */
  send(message: object): boolean {
    if (this.#socket?.readyState !== 1) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Sends a message on a topic to those whom the server relays it to. */
  sendTopic(topic: string, data: unknown): boolean {
    return this.send({ type: "topic", topic, data });
  }

  /** Tells the others of this client: now, and on each new connection. null: no more on new ones. */
  setPresence(presence: object | null): void {
    const message = presence && { ...presence, type: "presence" };
    this.#presence = message ? JSON.stringify(message) : undefined;
    if (message) this.send(message);
  }

  /** Subscribes to a row: its snapshot comes now and on each new connection, then its updates. Each of these three
   * returns the function that ends the subscription. */
  subscribeRow(entity: string, rowId: string): () => void {
    return this.#subscribe({ type: "crdt-subscribe", entity, rowId });
  }

  /** Subscribes to a topic, which is needed where the server has -routing subscribed. */
  subscribeTopic(topic: string): () => void {
    return this.#subscribe({ type: "subscribe", topic });
  }

  /** Subscribes to the change events of an entity, for the same servers. */
  subscribeEntity(entity: string): () => void {
    return this.#subscribe({ type: "subscribe", entity });
  }

  #subscribe(message: { type: string; [key: string]: string }): () => void {
    const key = JSON.stringify(message);
    const count = (by: number) => (this.#subscriptions.get(key) ?? 0) + by;
    this.#subscriptions.set(key, count(1));
    this.send(message); // again for a row: whoever comes second needs its snapshot, too
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      this.#subscriptions.set(key, count(-1));
      if (count(0) > 0) return;
      this.#subscriptions.delete(key);
      this.send({ ...message, type: message.type.replace("sub", "unsub") });
    };
  }

  // ---- The connection

  async #connect(): Promise<void> {
    const socket: any = (this.#socket = {}); // stands for the attempt while the token is asked for
    this.#become({ name: "connecting" });
    const { token: source, WebSocket = globalThis.WebSocket } = this.#options;
    try {
      const token = typeof source === "function" ? await source(this.#refused) : source;
      if (this.#socket !== socket) return;
      if (!token || (this.#refused !== undefined && token === this.#token)) {
        return this.#end({ name: "closed", code: 1008, reason: this.#refused ?? "there is no token" });
      }
      this.#token = token;
      const url = new URL(this.#options.url);
      this.#sentSince = this.#cursor;
      // With -routing subscribed, events between a replay and the subscriptions would be lost: there a client
      // subscribes first and then pulls (docs/protocol.md section 1).
      const entities = [...this.#subscriptions.keys()].some((key) => key.includes('"subscribe","entity"'));
      this.#filling = entities && this.#cursor !== undefined && this.#options.api !== undefined;
      url.searchParams.set("since", String((this.#filling ? undefined : this.#cursor) ?? fromNowOn));
      this.#attach(new WebSocket(url.href, [bearer(token)]));
    } catch (error) {
      if (this.#socket !== socket) return;
      this.#report(error);
      this.#lose(1006, "");
    }
  }

  #attach(socket: any): void {
    this.#socket = socket;
    this.#openedAt = 0;
    this.#gap = false;
    const mine = (act: (event: any) => void) => (event: any) => {
      if (this.#socket === socket) act(event);
    };
    socket.binaryType = "arraybuffer";
    socket.onopen = mine(() => this.#greet());
    socket.onmessage = mine(({ data }) => this.#receive(data));
    socket.onclose = mine(({ code, reason }) => this.#lose(code, reason));
    socket.onerror = () => {}; // says nothing, and a close follows
    // Browsers hide the answer to an upgrade that failed; the package ws shows it.
    const refused = mine(({ statusCode: status, headers }) => {
      const code = status === 401 || status === 403 ? 1008 : 1006;
      this.#lose(code, "status " + status, retryAfter(headers["retry-after"]));
    });
    socket.on?.("unexpected-response", (_: unknown, answer: any) => refused(answer));
    this.#expect(3 * (this.#options.patience ?? 10_000));
  }

  /** Sends what a new connection begins with. The answer to the ping says that all of it was acted on, and that the
   * token is good: a connection with another one is opened, too, before it is closed with 1008. */
  #greet(): void {
    for (const key of this.#subscriptions.keys()) this.#socket.send(key);
    if (this.#presence) this.#socket.send(this.#presence);
    this.send({ type: "ping" });
  }

  #receive(data: string | ArrayBuffer): void {
    this.#heardAt = Date.now();
    if (!this.#openedAt) {
      this.#openedAt = this.#heardAt;
      this.#refused = undefined;
      this.#rest();
      this.#become({ name: "open" });
      if (!this.#socket) return; // a handler has closed it
    }
    if (this.#queue.push(data) > maxQueue) {
      this.#queue = [];
      return this.#lose(1006, "handlers are too slow");
    }
    if (!this.#working) void this.#work();
  }

  /** Goes on without the connection: waits and connects again, unless the code is final. */
  #lose(code: number, reason: string, after?: number): void {
    this.#drop(true);
    if (isFinal(code)) return this.#end({ name: "closed", code, reason });
    if (code === 1008) {
      this.#refused = reason || "refused";
      if (typeof this.#options.token !== "function") return this.#end({ name: "closed", code, reason });
    }
    const spread = reconnectAfter(code, reason);
    const lasted = this.#openedAt > 0 && Date.now() - this.#openedAt > stable;
    if (lasted) this.#attempts = 0;
    const { minDelay = 1_000, maxDelay = 30_000 } = this.#options;
    const own = () => Math.random() * Math.min(maxDelay, minDelay * 2 ** this.#attempts++);
    let delay;
    // Retry-After is in whole seconds: without a part of one, many clients would come at once.
    if (after) delay = after + Math.random() * 1_000;
    // Chosen for this client, so that all of them come back evenly.
    else if (spread !== undefined && lasted) delay = spread;
    // A server that names a short wait to every newcomer sees the waits grow, too.
    else delay = Math.max(spread ?? 0, own());
    delay = Math.round(delay);
    this.#told = spread !== undefined || !!after;
    this.#retry = setTimeout(() => this.#connect(), delay);
    this.#become({ name: "waiting", code, reason, delay });
  }

  #end(state: State): void {
    this.#queue = [];
    this.#drop(false);
    this.#listening?.abort();
    if (this.#state.name !== "closed") this.#become(state);
  }

  /** Lets go of the socket. Nobody waits for its closing handshake, which on a dead connection never ends: hard does
   * without, where that can be done. */
  #drop(hard: boolean): void {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#stale = this.#queue.length;
    clearTimeout(this.#retry);
    clearTimeout(this.#watch);
    if (hard && socket?.terminate) socket.terminate();
    else socket?.close?.(1000);
  }

  #become(state: State): void {
    this.#state = state;
    void this.#emit("state", state);
  }

  // ---- Signs of life

  /** Waits for a quiet time, then asks for a sign of life. */
  #rest(): void {
    const { quiet = 25_000, patience = 10_000 } = this.#options;
    const check = () => {
      const left = Math.min(this.#heardAt + quiet - Date.now(), quiet); // the clock may have been set back
      if (left > 0) this.#watch = setTimeout(check, left);
      else this.#ask(patience);
    };
    clearTimeout(this.#watch);
    this.#watch = setTimeout(check, quiet);
  }

  #ask(patience: number): void {
    this.send({ type: "ping" });
    this.#expect(patience);
  }

  /** Loses the connection unless something comes in time. */
  #expect(patience: number): void {
    const from = Date.now();
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => {
      if (this.#heardAt >= from && this.#openedAt) this.#rest();
      // A frozen page runs its timers late, perhaps ahead of a message that has come: ask once more.
      else if (Date.now() - from > 2 * patience && this.#openedAt) this.#ask(patience);
      else this.#lose(1006, "the server is silent");
    }, patience);
  }

  /** The page is seen again, or the network has changed: the connection may be gone without anybody having said so. */
  #wake(): void {
    if (this.#state.name === "open") this.#ask(Math.min(5_000, this.#options.patience ?? 10_000));
    else if (this.#state.name === "waiting" && !this.#told && globalThis.navigator?.onLine !== false) {
      this.#drop(true);
      void this.#connect();
    }
  }

  // ---- What arrives

  /** Hands over what waits, one after the other. */
  async #work(): Promise<void> {
    this.#working = true;
    for (let data; (data = this.#queue.shift()) !== undefined; ) {
      const stale = this.#stale > 0;
      if (stale) this.#stale--;
      const handling = this.#handle(data, stale);
      if (handling) await handling;
    }
    this.#working = false;
  }

  #handle(data: string | ArrayBuffer, stale: boolean): Promise<unknown> | void {
    if (typeof data !== "string") {
      const row = parseRow(data);
      return row ? this.#emit("row", row) : this.#emit("binary", new Uint8Array(data));
    }
    let message: any;
    try {
      message = JSON.parse(data);
    } catch {
      return; // a publisher's own text
    }
    switch (message?.type) {
      case undefined:
        return message?.seq && !this.#filling && this.#change(message);
      case "gap":
        this.#gap ||= !stale;
        return;
      case "resync":
        if (stale) return; // the next connection is told what it has to know
        if (!this.#filling) return this.#resync(message.seq, message.complete !== false);
        this.#newest = message.seq;
        return;
      case "pong":
        if (stale || !this.#filling) return;
        this.#filling = false; // the subscriptions have been made
        return this.#resync(this.#newest, true, true);
      case "topic":
        return this.#emit("topic", message);
      case "presence":
        if (message.event !== "disconnect" || !message.clientId) return this.#emit("presence", message);
        return this.#emit("left", message.clientIds ?? [message.clientId]);
    }
  }

  /** Hands over an event that is new. Those behind one that was pulled or replayed may come once more. */
  #change(change: Change): Promise<unknown> | void {
    if (change.seq <= (this.#cursor ?? 0)) return;
    const handling = this.#emit("change", change);
    if (handling) return handling.then(() => this.#move(change.seq));
    this.#move(change.seq);
  }

  #move(cursor: number): void {
    this.#cursor = cursor;
    void this.#emit("cursor", cursor);
  }

  /** Fetches what was lost up to seq: by a pull, by connecting again, or all anew. */
  async #resync(seq: number, complete: boolean, filling = false): Promise<void> {
    const from = this.#cursor;
    if (from === undefined) return this.#move(seq);
    const socket = this.#socket;
    const { signal } = this.#listening!;
    // Ahead of all events: the log doesn't reach back to where this connection began.
    const atOnce = from === this.#sentSince && !this.#gap && !filling;
    this.#gap = false;
    if (!filling) void this.#emit("lost", { from, to: seq });
    try {
      const api = complete && !atOnce && this.#options.api;
      if (!(api && (await this.#pull(api, filling ? Infinity : seq, signal)))) {
        if (!api && !atOnce) return this.#lose(1006, "messages were lost");
        const refetched = await this.#options.refetch?.(seq);
        if (signal.aborted) return;
        this.#move(typeof refetched === "number" ? refetched : seq);
      }
      if (atOnce || filling || this.#socket !== socket) return; // rows have just been subscribed to
      for (const key of this.#subscriptions.keys()) if (key.includes('"crdt-')) socket.send(key);
    } catch (error: any) {
      if (signal.aborted) return;
      this.#report(error);
      // The cursor hasn't moved, so that the next connection is told the same.
      if (this.#socket === socket) this.#lose(1006, "fetching what was lost failed", error?.retryAfter);
    }
  }

  /** Hands over the events up to seq. False: the log doesn't have them any more. */
  async #pull(api: string | URL, seq: number, signal: AbortSignal): Promise<boolean> {
    for (let more = true; more && this.#cursor! < seq; ) {
      const from = this.#cursor!;
      const url = new URL("/api/sync/pull", api);
      url.search = `since=${this.#cursor}&limit=1000`;
      const answer = await fetch(url, { headers: { Authorization: "Bearer " + this.#token }, signal });
      if (answer.status === 410) return false;
      if (!answer.ok) {
        const error = new Error(`pulling: status ${answer.status}`);
        throw Object.assign(error, { retryAfter: retryAfter(answer.headers.get("retry-after")) });
      }
      const page: Page = await answer.json();
      if (page.complete === false) return false;
      for (const change of page.changes) {
        signal.throwIfAborted();
        await this.#change(change);
      }
      if (page.cursor.last_seq > this.#cursor!) this.#move(page.cursor.last_seq);
      more = page.has_more;
      if (more && this.#cursor === from) throw new Error("pulling: there is more, and nothing came");
    }
    if (this.#cursor! < seq && seq < Infinity) this.#move(seq);
    return true;
  }

  // ---- Handlers

  /** Calls the handlers of an event. The promise, if any handler gave one, is never rejected. */
  #emit<K extends keyof Events>(type: K, event: Events[K]): Promise<unknown> | void {
    let waits: Promise<unknown>[] | undefined;
    for (const handler of this.#handlers[type] ?? []) {
      try {
        const result = handler(event) as any;
        if (result?.then) (waits ??= []).push(result.then(undefined, (error: unknown) => this.#report(error)));
      } catch (error) {
        this.#report(error);
      }
    }
    if (waits) return Promise.all(waits);
  }

  #report(error: unknown): void {
    const handlers = this.#handlers.error;
    if (!handlers?.size) return console.error("busbar:", error);
    for (const handler of handlers) {
      try {
        handler(error);
      } catch (second) {
        console.error("busbar:", second);
      }
    }
  }
}
