// The row that the page watches. The server forgets a subscription with its connection, so it is asked
// for again after each reconnect (docs/protocol.md section 2).
import { element } from "./view.js";

// Row uses send(message), which reports whether the message went out.
export class Row {
  #send;
  #wanted = null;
  #seen = false; // a frame of it has come: the subscription is there

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

  // took notes that a row frame has come.
  took({ entity, rowId }) {
    if (!this.#is(entity, rowId)) return;
    this.#seen = true;
    this.#tell(`Subscribed to ${entity}/${rowId}.`);
  }

  // published asks again for a row that may not have been there when it was asked for.
  published(entity, rowId) {
    if (this.#is(entity, rowId) && !this.#seen) this.resume();
  }

  #is(entity, rowId) {
    return this.#wanted !== null && this.#wanted.entity === entity && this.#wanted.rowId === rowId;
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
    this.#seen = false;
    const sent = this.#send({ type: "crdt-subscribe", entity, rowId });
    // The server says nothing about a row that isn't there or isn't this user's (docs/protocol.md section 2).
    this.#tell(sent ? `Asked for ${entity}/${rowId}. Its snapshot comes if the row was published and you may read it; if not, nothing comes, and you can ask again.`
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
