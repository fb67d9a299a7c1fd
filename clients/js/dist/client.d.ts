import type { Events, Handler, Options, State } from "./options.ts";
export type { Events, Handler, Lost, Options, State } from "./options.ts";
export type { Change, Page, Presence, Row, Topic } from "./protocol.ts";
export declare class Client {
    #private;
    /** Throws when the URL isn't one, and where there is no WebSocket. */
    constructor(options: Options);
    get state(): State;
    /** The seq up to which all handlers have had everything; undefined before the first connection of a client that
     * began without `since`. */
    get cursor(): number | undefined;
    /** Calls handler for each event of a type, until the function that it returns is called. */
    on<K extends keyof Events>(type: K, handler: Handler<Events[K]>): () => void;
    /** Connects, and stays connected until `close()`. Does nothing while it does. */
    connect(): void;
    /** Ends the connection with Close 1000. What is being handled is handled to its end; nothing comes after. */
    close(): void;
    /** Sends a message; false when there is no connection. Nothing is kept to be sent later. */
    send(message: object): boolean;
    /** Sends a message on a topic to those whom the server relays it to. */
    sendTopic(topic: string, data: unknown): boolean;
    /** Tells the others of this client: now, and on each new connection. null: no more on new ones. */
    setPresence(presence: object | null): void;
    /** Subscribes to a row: its snapshot comes now and on each new connection, then its updates. Each of these three
     * returns the function that ends the subscription. */
    subscribeRow(entity: string, rowId: string): () => void;
    /** Subscribes to a topic, which is needed where the server has -routing subscribed. */
    subscribeTopic(topic: string): () => void;
    /** Subscribes to the change events of an entity, for the same servers. */
    subscribeEntity(entity: string): () => void;
}
