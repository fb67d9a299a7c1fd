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
    cursor: {
        last_seq: number;
    };
    has_more: boolean;
    complete?: false;
}
/** The subprotocol that carries a token. encodeURIComponent leaves five characters alone; of these RFC 9110 has no
 * parentheses in a token. */
export declare const bearer: (token: string) => string;
/** The milliseconds that a draining server suggests by Close 1012 and the reason reconnect-after=2.4s. */
export declare function reconnectAfter(code: number, reason: string): number | undefined;
/** The milliseconds of a Retry-After, which is in seconds here. */
export declare function retryAfter(header: string | null | undefined): number | undefined;
/** Codes behind which a client doesn't come back by itself: normal, and what another try would meet again. */
export declare const isFinal: (code: number) => code is 1000 | 1002 | 1007 | 1009;
/** Reads a row frame: [type u8][entity_len u16][entity][row_id_len u16][row_id][payload]. Undefined: it is none. */
export declare function parseRow(message: ArrayBuffer): Row | undefined;
