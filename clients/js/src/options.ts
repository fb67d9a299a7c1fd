// What a client is told, and what it tells.
import type { Change, Presence, Row, Topic } from "./protocol.ts";

/** What a client is doing. `waiting` says what ended the connection, and the milliseconds until the next. `closed` is
 * the end, by `close()` or by a code behind which nothing is to be had (1008: the token is no good). */
export interface State {
  name: "connecting" | "open" | "waiting" | "closed";
  code?: number;
  reason?: string;
  delay?: number;
}

/** Change events behind `from` and up to `to`, or frames of rows, were lost; the client is about to fetch them. */
export interface Lost {
  from: number;
  to: number;
}

export interface Events {
  state: State;
  change: Change;
  row: Row;
  topic: Topic;
  presence: Presence;
  /** The ids of clients that have left. */
  left: number[];
  /** A binary broadcast. */
  binary: Uint8Array<ArrayBuffer>;
  lost: Lost;
  /** The cursor, each time it has moved: keep it, and give it as `since` the next time. */
  cursor: number;
  /** What a handler, the token's callback or fetching has thrown. Without a handler it goes to console.error. */
  error: unknown;
}

/** May return a promise: what comes next is handed over when that is done, and the cursor moves then. */
export type Handler<T> = (event: T) => unknown;

export interface Options {
  /** The WebSocket's address, such as wss://live.example.com. */
  url: string | URL;
  /** The token, or what gives one, asked before each connection. `refused` is the reason when the server has refused
   * the last token or ended its session: give another then. Nothing, or the same one again, is the end. */
  token: string | ((refused?: string) => string | null | undefined | Promise<string | null | undefined>);
  /** The cursor, as `cursor` events gave it, to go on from. 0: all that there is. Absent: from now on. */
  since?: number;
  /** The HTTP API's address, to pull lost events from. Without it the client connects again to get them, which isn't
   * enough for the events of entities that are subscribed to, where the server has -routing subscribed. */
  api?: string | URL;
  /** Fetches everything anew from your backend. Called when the server's log doesn't reach back to what was lost. What
   * it returns, or else `seq`, is the new cursor. When it throws it is called again later. */
  refetch?: (seq: number) => unknown;
  /** Milliseconds without a message until the server is asked for a sign of life (25,000). */
  quiet?: number;
  /** Milliseconds that this may take (10,000); connecting may take three times that. */
  patience?: number;
  /** Milliseconds of the first wait (1,000) and of the longest (30,000): each is a random part of its limit, which
   * doubles. */
  minDelay?: number;
  maxDelay?: number;
  /** A class like the browser's WebSocket, where there is none (Node before 22: that of the package ws). */
  WebSocket?: new (url: string, protocols: string[]) => any;
}
