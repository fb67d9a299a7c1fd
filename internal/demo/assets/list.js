// A bounded list of rows on the page, newest first.

const maxRows = 200;

// NewestFirst adds rows to one <ol> at most once per frame, so that a thousand messages a second cost
// the page sixty layouts and not a thousand. Neither the DOM nor what waits for it exceeds maxRows.
export class NewestFirst {
  #list;
  #empty;
  #waiting = [];
  #scheduled = false;

  // list is the element; empty, if any, is the text shown while the list has no rows.
  constructor(list, empty) {
    this.#list = list;
    this.#empty = empty;
  }

  // add shows row, a DOM node that the list owns from here on.
  add(row) {
    this.#waiting.push(row);
    if (this.#waiting.length > maxRows) this.#waiting.shift();
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => this.#flush());
  }

  #flush() {
    this.#scheduled = false;
    this.#list.prepend(...this.#waiting.reverse());
    this.#waiting = [];
    while (this.#list.childElementCount > maxRows) this.#list.lastElementChild.remove();
    if (this.#empty) this.#empty.hidden = true;
  }
}
