// The messages of docs/protocol.md, as a client sees and writes them. Nothing here has state.

/** A record that changed. Each arrives once, in rising order of `seq`. */
export interface Change<Data = any> {
  seq: number;
  entity: string;
  row_id: string;
  kind: "insert" | "update" | "delete";
  data?: Data;
  timestamp?: string;
}

/** A frame of a row that is subscribed to. `payload` is a view of the message, which nobody else has. */
export interface Row {
  kind: "snapshot" | "update";
  entity: string;
  rowId: string;
  payload: Uint8Array<ArrayBuffer>;
}

/** A topic message. `from` is the user who sent it, absent when a server published it. */
export interface Topic<Data = any> {
  type: "topic";
  topic?: string;
  data?: Data;
  from?: string;
  [key: string]: unknown;
}

/** What somebody said of being there: the keys are the sender's own, but for `from`. */
export interface Presence {
  type: "presence";
  from?: string;
  [key: string]: any;
}

/** What a pull answers (GET /api/sync/pull). */
export interface Page {
  changes: Change[];
  cursor: { last_seq: number };
  has_more: boolean;
  complete?: false;
}

/** The subprotocol that carries a token. encodeURIComponent leaves five characters alone; of these RFC 9110 has no
 * parentheses in a token. */
export const bearer = (token: string) =>
  "bearer." + encodeURIComponent(token).replace(/[()]/g, (c) => (c === "(" ? "%28" : "%29"));

const longestSpread = 3_600_000; // ms
const longestRetry = 600_000; // ms; and a timer for more than 2^31 would fire at once

/** The milliseconds that a draining server suggests by Close 1012 and the reason reconnect-after=2.4s. */
export function reconnectAfter(code: number, reason: string): number | undefined {
  const found = code === 1012 && /^reconnect-after=(\d{1,9}(\.\d{1,3})?)s$/.exec(reason);
  return found ? Math.min(Number(found[1]) * 1000, longestSpread) : undefined;
}

/** The milliseconds of a Retry-After, which is in seconds here. */
export function retryAfter(header: string | null | undefined): number | undefined {
  return header && /^\d+$/.test(header) ? Math.min(Number(header) * 1000, longestRetry) : undefined;
}

/** Codes behind which a client doesn't come back by itself: normal, and what another try would meet again. */
export const isFinal = (code: number) => code === 1000 || code === 1002 || code === 1007 || code === 1009;

const kinds: Record<number, Row["kind"]> = { 0x10: "snapshot", 0x11: "update" };

/** Reads a row frame: [type u8][entity_len u16][entity][row_id_len u16][row_id][payload]. Undefined: it is none. */
export function parseRow(message: ArrayBuffer): Row | undefined {
  const view = new DataView(message);
  let at = 1;
  const name = () => {
    const end = at + 2 + view.getUint16(at);
    const bytes = new Uint8Array(message, at + 2, end - at - 2);
    at = end;
    // Without ignoreBOM a name that begins with U+FEFF would be another one.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  };
  try {
    const kind = kinds[view.getUint8(0)];
    return kind && { kind, entity: name(), rowId: name(), payload: new Uint8Array(message, at) };
  } catch {
    return undefined; // too short, or not UTF-8
  }
}
