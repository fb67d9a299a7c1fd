// The row that the page watches. The server forgets a subscription with its connection, so it is asked
// for again after each reconnect (PROTOCOL 2).
import { element } from "./view.js";

// Row uses send(message), which reports whether the message went out.
export class Row {
  #send;
  #wanted = null;

  constructor(send) {
    this.#send = send;
  }

  // watch subscribes to one row in place of the one before.
  watch(entity, rowId) {
    this.unwatch();
    this.#wanted = { entity, rowId };
    element("row-unsubscribe").disabled = false;
    element("row-frame").hidden = true;
    this.resume();
  }

  // unwatch drops the subscription.
  unwatch() {
    if (this.#wanted === null) return;
    this.#send({ type: "crdt-unsubscribe", ...this.#wanted });
    this.#wanted = null;
    element("row-unsubscribe").disabled = true;
    this.#tell("Not subscribed.");
  }

  // resume subscribes again on a connection that has just opened.
  resume() {
    if (this.#wanted === null) return;
    const { entity, rowId } = this.#wanted;
    const sent = this.#send({ type: "crdt-subscribe", entity, rowId });
    // The server says nothing about a row that isn't there or isn't this user's (PROTOCOL 2).
    this.#tell(sent ? `Subscribed to ${entity}/${rowId}; its snapshot comes if there is one you may read.`
      : `Will subscribe to ${entity}/${rowId} once connected.`);
  }

  // lost is for a connection that has closed.
  lost() {
    if (this.#wanted === null) return;
    this.#tell(`Will subscribe to ${this.#wanted.entity}/${this.#wanted.rowId} again once connected.`);
  }

  #tell(words) {
    element("row-state").textContent = words;
  }
}
