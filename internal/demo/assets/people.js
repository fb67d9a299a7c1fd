// Who is here. The server relays presence and keeps no list, so the pages keep one between them: a page
// says "join" when it opens, "here" when somebody joins and now and then, "leave" when it goes.
// A page that vanished can only be noticed by its silence, since a disconnect names a client id and a
// relay names a user.

// A hidden tab's timers fire once a minute, so silence means more than two of those.
const maxSilence = 150_000;
const maxPeople = 200;

// People is the list; its times are milliseconds, passed in.
export class People {
  #seen = new Map();

  // take records one presence message. It reports whether the message is somebody's arrival.
  take(message, now) {
    const from = text(message.from);
    if (from === "") return false;
    const key = JSON.stringify([from, text(message.page)]); // a page is what its sender says, from isn't
    this.#seen.delete(key); // so that the map's order is by last sign of life
    if (message.event === "leave") return false;
    this.#seen.set(key, { from, name: text(message.name) || from, at: now });
    if (this.#seen.size > maxPeople) this.#seen.delete(this.#seen.keys().next().value);
    return message.event === "join";
  }

  // expire forgets those who have been silent for too long.
  expire(now) {
    for (const [key, person] of this.#seen) {
      if (now - person.at > maxSilence) this.#seen.delete(key);
    }
  }

  // clear forgets all.
  clear() {
    this.#seen.clear();
  }

  // list gives [{from, name}], by name.
  list() {
    const people = [...this.#seen.values()].map(({ from, name }) => ({ from, name }));
    return people.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  }
}

function text(value) {
  return typeof value === "string" ? value.slice(0, 60) : "";
}
