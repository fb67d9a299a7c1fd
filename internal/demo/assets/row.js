// The row that the page watches.
import { element } from "./view.js";

export class Row {
  #client = null;
  #wanted = null;
  #end = null; // ends the subscription

  // on goes over to another client.
  on(client) {
    this.#client = client;
    this.#subscribe();
  }

  // watch subscribes to one row in place of the one before.
  watch(entity, rowId) {
    this.unwatch();
    this.#wanted = { entity, rowId };
    element("row-unsubscribe").disabled = false;
    element("row-frame").hidden = true;
    this.#subscribe();
  }

  // unwatch drops the subscription.
  unwatch() {
    this.#end?.();
    this.#end = this.#wanted = null;
    element("row-unsubscribe").disabled = true;
    this.#tell("Not subscribed.");
  }

  // took notes that a row frame has come.
  took({ entity, rowId }) {
    if (this.#wanted?.entity === entity && this.#wanted.rowId === rowId) this.#tell(`Subscribed to ${entity}/${rowId}.`);
  }

  // lost is for a connection that has closed.
  lost() {
    if (this.#wanted !== null) this.#tell(`Subscribes to ${this.#wanted.entity}/${this.#wanted.rowId} again once connected.`);
  }

  #subscribe() {
    if (this.#wanted === null || this.#client === null) return;
    const { entity, rowId } = this.#wanted;
    this.#end = this.#client.subscribeRow(entity, rowId);
    // The server says nothing about a row that isn't there or isn't this user's (docs/protocol.md section 2).
    this.#tell(`Asked for ${entity}/${rowId}. Its snapshot comes once the row is published, if you may read it.`);
  }

  #tell(words) {
    element("row-state").textContent = words;
  }
}
